"""Seed 004's net: four levels of paired convolutions with self-attention, 93.4 M parameters at
width 64."""

from __future__ import annotations

from torch import Tensor, nn

from pipeline.nets.blocks import (
    DoubleConv,
    Level,
    PooledUNet,
    Sinusoid,
    Style,
    attend,
    pixels,
    tokens,
    zeroed,
)

TIME = 256
HEADS = 4
STYLE = Style(nn.GELU, bias=False, groups=lambda channels: 1)


class DogsUNet(PooledUNet):
    """Max-pooling down, bilinear interpolation up, attention after every level but the finest.

    As the original, but with fused attention, which never holds the weights of all pairs of
    pixels, and a head that starts at zero. ``unused`` is the attention of the finest level: the
    original builds it, counts it and never calls it, so its parameters are here, without gradient.

    Args:
        width: channels at full resolution, a multiple of 4.

    Pictures: any side that is a multiple of 16.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        w = width
        self.time = Sinusoid(TIME)
        self.stem = DoubleConv(3, w, w, STYLE)
        self.down = nn.ModuleList(
            _level(i, o, o, Attention(o)) for i, o in ((w, 2 * w), (2 * w, 4 * w), (4 * w, 8 * w))
        )
        self.down.append(_level(8 * w, 8 * w, 8 * w, Attention(8 * w)))
        self.middle = nn.Sequential(
            DoubleConv(8 * w, 16 * w, 16 * w, STYLE),
            DoubleConv(16 * w, 16 * w, 16 * w, STYLE),
            DoubleConv(16 * w, 8 * w, 8 * w, STYLE),
        )
        self.up = nn.ModuleList(_level(4 * o, 2 * o, o, Attention(o)) for o in (4 * w, 2 * w, w))
        self.up.append(_level(2 * w, w, w, nn.Identity()))
        self.unused = Attention(w).requires_grad_(False)
        self.head = zeroed(nn.Conv2d(w, 3, 1))


class Attention(nn.Module):
    """Self-attention over pixels, then two layers on each pixel; both are added to what comes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.layers = nn.Sequential(
            nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = tokens(x)
        h = h + self.out(attend(self.qkv(self.norm1(h)), HEADS))
        return pixels(h + self.layers(self.norm2(h)), like=x)


def _level(i: int, m: int, o: int, attention: nn.Module) -> Level:
    time = nn.Sequential(nn.SiLU(), nn.Linear(TIME, o))
    return Level(i, m, o, STYLE, time, attention)
