"""The exponential moving average of the weights: what is sampled from and what is kept."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Ema:
    """A copy of a net whose weights follow it slowly.

    The decay ramps up as (1 + n) / (10 + n), n steps taken, to ``decay``, so that a short run does
    not keep its random start (the ramp-up of TensorFlow's ExponentialMovingAverage).

    Attributes:
        net: the averaged copy, in eval mode, without gradients.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """Follow ``net`` after its ``step``-th update (1 for the first)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        own: list[torch.Tensor] = list(self.net.parameters())
        new: list[torch.Tensor] = list(net.parameters())
        torch._foreach_lerp_(own, new, 1 - decay)
        for mine, theirs in zip(self.net.buffers(), net.buffers(), strict=True):
            mine.copy_(theirs)
