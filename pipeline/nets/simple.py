"""Seed 000's net: a plain UNet of strided convolutions, 62.4 M parameters at width 64."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.nets.blocks import Sinusoid, groups, zeroed

TIME = 32


class SimpleUNet(nn.Module):
    """No attention, no residuals, no bottleneck: four halvings, four doublings, skips between.

    As the original, but with group norms for its batch norms, which made a picture depend on its
    batch companions, and a head that starts at zero. Two oddities are its shape and stay, as
    mending them would change the parameter count: the first doubling is given the coarsest
    features twice over (they are their own skip), and the stem's features have no skip.

    Args:
        width: channels of the stem; they double with each halving of the side.

    Pictures: any side that is a multiple of 16.
    """

    conditional = False

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        self.time = nn.Sequential(Sinusoid(TIME, closed=True), nn.Linear(TIME, TIME), nn.ReLU())
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.ModuleList(
            Body(i, o, nn.Conv2d(o, o, 4, stride=2, padding=1)) for i, o in pairwise(widths)
        )
        self.up = nn.ModuleList(
            Body(2 * i, o, nn.ConvTranspose2d(o, o, 4, stride=2, padding=1))
            for o, i in reversed(list(pairwise(widths)))
        )
        self.head = zeroed(nn.Conv2d(width, 3, 1))

    def forward(self, x_t: Tensor, t: Tensor, _labels: Tensor) -> Tensor:
        """(B, 3, S, S) in, the same out. ``t``: (B,) in 0..1000. Labels are ignored."""
        time, h, skips = self.time(t), self.stem(x_t), []
        for body in self.down:
            h = body(h, time)
            skips.append(h)
        for body in self.up:
            h = body(torch.cat([h, skips.pop()], 1), time)
        return self.head(h)


class Body(nn.Module):
    """Two convolutions, each with ReLU and norm, the time added between them; then ``resample``."""

    def __init__(self, i: int, o: int, resample: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(i, o, 3, padding=1)
        self.norm1 = nn.GroupNorm(groups(o), o)
        self.time = nn.Linear(TIME, o)
        self.conv2 = nn.Conv2d(o, o, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups(o), o)
        self.resample = resample

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.norm1(F.relu(self.conv1(x))) + F.relu(self.time(time))[:, :, None, None]
        return self.resample(self.norm2(F.relu(self.conv2(h))))
