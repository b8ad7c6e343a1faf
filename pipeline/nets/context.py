"""Seed 002's net: a small UNet around one vector, told time and class; 1.5 M parameters at width
64 for 16x16 pictures and 5 classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.nets.blocks import DoubleConv, Style, groups, zeroed

STYLE = Style(nn.GELU, bias=True, groups=groups)


class ContextUNet(nn.Module):
    """Two halvings, an average over all that is left, and the way back up.

    On the way up each level is scaled by the class and shifted by the time: a one-hot class, zeros
    for none, and the scalar t / 1000.

    As the original, but with group norms for its batch norms, a last layer that starts at zero,
    and for any size: the original averages over 4x4 cells and returns from the average by S/4, two
    lengths that agree at 16 pixels alone (at 32 it returned 64). Here both are S/4, so that the
    parameters at 16 pixels are the same; they grow with S, by the return from the average.

    Args:
        classes: number of labels.
        width: channels at full resolution (the original's features), a multiple of 8.
        size: side of the pictures, a multiple of 4.
    """

    conditional = True

    def __init__(self, classes: int, width: int = 64, size: int = 16) -> None:
        super().__init__()
        f, side = width, size // 4
        self.classes = classes
        self.stem = Stem(f)
        self.down = nn.ModuleList(
            nn.Sequential(_double_conv(i, o), _double_conv(o, o), nn.MaxPool2d(2))
            for i, o in ((f, f), (f, 2 * f))
        )
        self.vector = nn.Sequential(nn.AvgPool2d(side), nn.GELU())
        self.time = nn.ModuleList([_embedding(1, 2 * f), _embedding(1, f)])
        self.context = nn.ModuleList([_embedding(classes, 2 * f), _embedding(classes, f)])
        self.spread = nn.Sequential(
            nn.ConvTranspose2d(2 * f, 2 * f, side, side), nn.GroupNorm(8, 2 * f), nn.ReLU()
        )
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(i, f, 2, 2), _double_conv(f, f), _double_conv(f, f))
            for i in (4 * f, 2 * f)
        )
        self.head = nn.Sequential(
            nn.Conv2d(2 * f, f, 3, padding=1),
            nn.GroupNorm(8, f),
            nn.ReLU(),
            zeroed(nn.Conv2d(f, 3, 3, padding=1)),
        )

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """(B, 3, S, S) in, the same out. ``t``: (B,) in 0..1000. ``labels``: (B,), -1 for none."""
        every = torch.arange(self.classes, device=labels.device)
        one_hot = (labels[:, None] == every).to(x_t.dtype)
        scalar = t.to(x_t.dtype)[:, None] / 1000
        h = stem = self.stem(x_t)
        skips = []
        for part in self.down:
            h = part(h)
            skips.append(h)
        h = self.spread(self.vector(h))
        for part, time, context in zip(self.up, self.time, self.context, strict=True):
            h = h * context(one_hot)[:, :, None, None] + time(scalar)[:, :, None, None]
            h = part(torch.cat([h, skips.pop()], 1))
        return self.head(torch.cat([h, stem], 1))


class Stem(nn.Module):
    """Two convolutions beside a 1x1 one, their sum brought back to unit variance."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convs = _double_conv(3, width)
        self.shortcut = nn.Conv2d(3, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return (self.convs(x) + self.shortcut(x)) * 0.5**0.5


def _double_conv(i: int, o: int) -> DoubleConv:
    return DoubleConv(i, o, o, STYLE, "active")


def _embedding(i: int, o: int) -> nn.Module:
    return nn.Sequential(nn.Linear(i, o), nn.GELU(), nn.Linear(o, o))
