"""What several nets are made of: time as sines, attention over tokens, pairs of convolutions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Conv = TypeVar("Conv", bound=nn.Conv2d)


class Sinusoid(nn.Module):
    """(B,) times to (B, width) sines and cosines of geometric frequencies (Vaswani et al. 2017).

    The frequencies fall from 1 towards 1/10,000; with ``closed`` the last one is 1/10,000 itself.
    """

    def __init__(self, width: int, closed: bool = False) -> None:
        super().__init__()
        self.frequencies = width // 2
        self.steps = self.frequencies - closed

    def forward(self, t: Tensor) -> Tensor:
        exponent = torch.arange(self.frequencies, device=t.device, dtype=torch.float32)
        angle = t.float()[:, None] * torch.exp(-math.log(10_000) * exponent / self.steps)
        return torch.cat([angle.sin(), angle.cos()], dim=1)


def groups(channels: int) -> int:
    """At most 8 groups that divide the channels, of at least 4 channels where possible."""
    for number in (8, 4, 2):
        if channels % number == 0 and channels // number >= 4:
            return number
    return 1


def zeroed(conv: Conv) -> Conv:
    """The same layer at zero: a net that ends in one starts by predicting zero."""
    for parameter in conv.parameters():
        nn.init.zeros_(parameter)
    return conv


# --------------------------------------------------------------------------- attention


def tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, H W, C): a token a pixel."""
    return x.flatten(2).transpose(1, 2)


def pixels(x: Tensor, like: Tensor) -> Tensor:
    """(B, H W, C) back to (B, C, H, W), H and W being those of ``like``."""
    return x.transpose(1, 2).unflatten(2, like.shape[2:])


def attend(qkv: Tensor, heads: int) -> Tensor:
    """Softmax attention in ``heads`` heads: (B, N, 3 C), queries first, to (B, N, C).

    The heads are split off the channels and moved before the tokens, so that each attends over
    whole tokens: the N tokens are a set, and permuted tokens give permuted results.
    """
    split = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)  # (3, B, heads, N, C / heads)
    return F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)


# --------------------------------------------------------------------------- convolutions


@dataclass(frozen=True)
class Style:
    """How a net's pairs of convolutions are made.

    Attributes:
        activation: a layer without parameters.
        bias: whether convolutions have one.
        groups: group norms' number of groups by channels.
    """

    activation: Callable[[], nn.Module]
    bias: bool
    groups: Callable[[int], int]


class DoubleConv(nn.Module):
    """Conv 3x3, norm, activation, conv 3x3, norm; channels i -> m -> o.

    Args:
        end: ``plain`` (nothing follows), ``active`` (an activation does), or ``residual`` (the
            activation of the sum with the input; i = o).
    """

    def __init__(self, i: int, m: int, o: int, style: Style, end: str = "plain") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(i, m, 3, padding=1, bias=style.bias)
        self.norm1 = nn.GroupNorm(style.groups(m), m)
        self.activation = style.activation()
        self.conv2 = nn.Conv2d(m, o, 3, padding=1, bias=style.bias)
        self.norm2 = nn.GroupNorm(style.groups(o), o)
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        h = self.activation(self.norm1(self.conv1(x)))
        h = self.norm2(self.conv2(h))
        if self.end == "plain":
            return h
        return self.activation(x + h if self.end == "residual" else h)


class Level(nn.Module):
    """One resolution of the nets of seeds 003 and 004: two pairs of convolutions, the time added
    to their result, attention.

    Args:
        i, m, o: channels that come, of the second pair's middle, that go.
        time: a layer from the embedded time to (B, o).
        attention: a layer on (B, o, H, W).
    """

    def __init__(
        self, i: int, m: int, o: int, style: Style, time: nn.Module, attention: nn.Module
    ) -> None:
        super().__init__()
        self.first = DoubleConv(i, i, i, style, "residual")
        self.second = DoubleConv(i, m, o, style)
        self.time = time
        self.attention = attention

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.second(self.first(x))
        return self.attention(h + self.time(time)[:, :, None, None])


def doubled(x: Tensor) -> Tensor:
    """Twice the side by bilinear interpolation, corner pixels on corner pixels."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class PooledUNet(nn.Module):
    """How the nets of seeds 003 and 004 are walked through: max-pooling before each level down,
    bilinear interpolation and the skip of the same side before each level up.

    Subclasses make the parts: ``time`` (times to embeddings), ``stem``, ``down`` and ``up`` (lists
    of ``Level``), ``middle`` and ``head``.
    """

    conditional = False
    time: nn.Module
    stem: nn.Module
    down: nn.ModuleList
    middle: nn.Module
    up: nn.ModuleList
    head: nn.Module

    def forward(self, x_t: Tensor, t: Tensor, _labels: Tensor) -> Tensor:
        """(B, 3, S, S) in, the same out. ``t``: (B,) in 0..1000. Labels are ignored."""
        time, h, skips = self.time(t), self.stem(x_t), []
        for level in self.down:
            skips.append(h)
            h = level(F.max_pool2d(h, 2), time)
        h = self.middle(h)
        for level in self.up:
            h = level(torch.cat([skips.pop(), doubled(h)], 1), time)
        return self.head(h)
