"""Seed 001's net: weight-standardised residual blocks with linear attention, 35.7 M parameters.

The UNet of "The Annotated Diffusion Model" (Rogge & Rasul 2022), at width 64 with widths
1-2-4-8 and a 1x1 stem.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.nets.blocks import Sinusoid, attend, pixels, tokens, zeroed

HEADS = 4
HEAD = 32  # channels a head, whatever the level's


class AnnotatedUNet(nn.Module):
    """Four levels at sides S, S/2, S/4, S/8, two skips a level.

    As the original, but with a head that starts at zero.

    Args:
        width: channels of the stem and of the first level's blocks, a multiple of 4.

    Pictures: any side that is a multiple of 8.
    """

    conditional = False

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        widths, e = [width, width, 2 * width, 4 * width, 8 * width], 4 * width
        pairs = list(pairwise(widths))
        self.stem = nn.Conv2d(3, width, 1)
        self.time = nn.Sequential(
            Sinusoid(width, closed=True), nn.Linear(width, e), nn.GELU(), nn.Linear(e, e)
        )
        self.down = nn.ModuleList(
            LevelDown(i, _halve(i, o) if k < 3 else nn.Conv2d(i, o, 3, padding=1), e)
            for k, (i, o) in enumerate(pairs)
        )
        deepest = widths[-1]
        self.middle = nn.ModuleList(
            [Block(deepest, deepest, e), FullAttention(deepest), Block(deepest, deepest, e)]
        )
        self.up = nn.ModuleList(
            LevelUp(o, i, _double(o, i) if k < 3 else nn.Conv2d(o, i, 3, padding=1), e)
            for k, (i, o) in enumerate(reversed(pairs))
        )
        self.final = Block(2 * width, width, e)
        self.head = zeroed(nn.Conv2d(width, 3, 1))

    def forward(self, x_t: Tensor, t: Tensor, _labels: Tensor) -> Tensor:
        """(B, 3, S, S) in, the same out. ``t``: (B,) in 0..1000. Labels are ignored."""
        time = self.time(t)
        h = stem = self.stem(x_t)
        skips: list[Tensor] = []
        for level in self.down:
            h, *more = level(h, time)
            skips += more
        first, attention, second = self.middle
        h = second(attention(first(h, time)), time)
        for level in self.up:
            h = level(h, (skips.pop(), skips.pop()), time)
        return self.head(self.final(torch.cat([h, stem], 1), time))


class LevelDown(nn.Module):
    """Two blocks, linear attention, ``resample``. Returns what goes on, and the two skips."""

    def __init__(self, channels: int, resample: nn.Module, embedding: int) -> None:
        super().__init__()
        self.block1 = Block(channels, channels, embedding)
        self.block2 = Block(channels, channels, embedding)
        self.attention = LinearAttention(channels)
        self.resample = resample

    def forward(self, x: Tensor, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first = self.block1(x, time)
        second = self.attention(self.block2(first, time))
        return self.resample(second), first, second


class LevelUp(nn.Module):
    """Two blocks that take a skip each, linear attention, ``resample``."""

    def __init__(self, channels: int, skip: int, resample: nn.Module, embedding: int) -> None:
        super().__init__()
        self.block1 = Block(channels + skip, channels, embedding)
        self.block2 = Block(channels + skip, channels, embedding)
        self.attention = LinearAttention(channels)
        self.resample = resample

    def forward(self, x: Tensor, skips: Sequence[Tensor], time: Tensor) -> Tensor:
        h = self.block1(torch.cat([x, skips[0]], 1), time)
        h = self.block2(torch.cat([h, skips[1]], 1), time)
        return self.resample(self.attention(h))


class Block(nn.Module):
    """Residual block: (standardised conv, norm, SiLU) twice, the first scaled and shifted by time
    before its SiLU."""

    def __init__(self, i: int, o: int, embedding: int) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * o))
        self.conv1 = StandardisedConv(i, o, 3, padding=1)
        self.norm1 = nn.GroupNorm(4, o)
        self.conv2 = StandardisedConv(o, o, 3, padding=1)
        self.norm2 = nn.GroupNorm(4, o)
        self.shortcut = nn.Conv2d(i, o, 1) if i != o else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.time(time)[:, :, None, None].chunk(2, dim=1)
        h = F.silu(self.norm1(self.conv1(x)) * (1 + scale) + shift)
        return F.silu(self.norm2(self.conv2(h))) + self.shortcut(x)


class StandardisedConv(nn.Conv2d):
    """A convolution whose filters have mean 0 and variance 1 (Qiao et al. 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight
        variance, mean = torch.var_mean(w, dim=(1, 2, 3), correction=0, keepdim=True)
        return self._conv_forward(x, (w - mean) * (variance + 1e-5).rsqrt(), self.bias)


class LinearAttention(nn.Module):
    """x + attention whose cost is linear in the pixels (Shen et al. 2018): the keys' softmax runs
    over the pixels, so values are summed to one 32x32 matrix a head before a query meets them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.qkv = nn.Conv2d(channels, 3 * HEADS * HEAD, 1, bias=False)
        self.out = nn.Conv2d(HEADS * HEAD, channels, 1)
        self.after = nn.GroupNorm(1, channels)

    def forward(self, x: Tensor) -> Tensor:
        split = self.qkv(self.norm(x)).flatten(2).unflatten(1, (3, HEADS, HEAD))
        q, k, v = split.unbind(1)  # each (B, heads, channels a head, pixels)
        context = v @ k.softmax(-1).transpose(-1, -2)
        h = context @ (q.softmax(-2) * HEAD**-0.5)
        return x + self.after(self.out(h.flatten(1, 2).unflatten(2, x.shape[2:])))


class FullAttention(nn.Module):
    """x + softmax attention over all pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.qkv = nn.Conv2d(channels, 3 * HEADS * HEAD, 1, bias=False)
        self.out = nn.Conv2d(HEADS * HEAD, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.out(pixels(attend(tokens(self.qkv(self.norm(x))), HEADS), like=x))


def _halve(i: int, o: int) -> nn.Module:
    return nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * i, o, 1))


def _double(i: int, o: int) -> nn.Module:
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(i, o, 3, padding=1))
