"""Seed 003's net: three levels, each followed by self-attention up to full resolution; 22.8 M
parameters at width 64."""

from __future__ import annotations

from torch import Tensor, nn

from pipeline.nets.blocks import (
    DoubleConv,
    Level,
    PooledUNet,
    Sinusoid,
    Style,
    attend,
    groups,
    pixels,
    tokens,
    zeroed,
)

TIME = 32
STYLE = Style(nn.ReLU, bias=True, groups=groups)


class SmolUNet(PooledUNet):
    """Max-pooling down, bilinear interpolation up, attention at S/2, S/4, S/8, S/4, S/2 and S.

    As the original, but with group norms for its batch norms (a picture depended on its batch
    companions), attention whose heads are split off the channels (the original's mixed tokens and
    channels) and which is added to what it attends to, and a head that starts at zero.

    Args:
        width: channels at full resolution, a multiple of 8.

    Pictures: any side that is a multiple of 8.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        w = width
        self.time = nn.Sequential(Sinusoid(TIME), nn.Linear(TIME, TIME), nn.ReLU())
        self.stem = DoubleConv(3, w, w, STYLE)
        self.down = nn.ModuleList(
            _level(i, o, o, heads)
            for i, o, heads in ((w, 2 * w, 4), (2 * w, 4 * w, 16), (4 * w, 4 * w, 32))
        )
        self.middle = nn.Sequential(
            DoubleConv(4 * w, 8 * w, 8 * w, STYLE),
            DoubleConv(8 * w, 8 * w, 8 * w, STYLE),
            DoubleConv(8 * w, 4 * w, 4 * w, STYLE),
        )
        self.up = nn.ModuleList(
            _level(i, i // 2, o, heads)
            for i, o, heads in ((8 * w, 2 * w, 8), (4 * w, w, 2), (2 * w, w, 1))
        )
        self.head = zeroed(nn.Conv2d(w, 3, 1))


class Attention(nn.Module):
    """x + self-attention over pixels."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups(channels), channels)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + pixels(self.out(attend(self.qkv(tokens(self.norm(x))), self.heads)), like=x)


def _level(i: int, m: int, o: int, heads: int) -> Level:
    time = nn.Sequential(nn.Linear(TIME, o), nn.ReLU())
    return Level(i, m, o, STYLE, time, Attention(o, heads))
