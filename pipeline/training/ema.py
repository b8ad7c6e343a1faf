"""Exponential moving averages of the weights: what is sampled from and what is kept."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn


class Average:
    """A copy of a net whose weights follow it slowly.

    Args:
        foreach: update all tensors in one call; otherwise one after the other, as most do.

    Attributes:
        net: the averaged copy, in eval mode, without gradients.
    """

    def __init__(self, net: nn.Module, foreach: bool = True) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.foreach = foreach

    def decay_at(self, step: int) -> float:
        """The share of itself that the average keeps at its ``step``-th update (from 1)."""
        raise NotImplementedError

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """Follow ``net`` after its ``step``-th update (1 for the first)."""
        own: list[torch.Tensor] = list(self.net.parameters())
        new: list[torch.Tensor] = list(net.parameters())
        weight = 1 - self.decay_at(step)
        if self.foreach:
            torch._foreach_lerp_(own, new, weight)
        else:
            for mine, theirs in zip(own, new, strict=True):
                mine.lerp_(theirs, weight)
        for mine, theirs in zip(self.net.buffers(), net.buffers(), strict=True):
            mine.copy_(theirs)


class Ema(Average):
    """The classic average, of a length in steps.

    The decay ramps up as (1 + n) / (10 + n), n steps taken, to ``decay``, so that a short run does
    not keep its random start (the ramp-up of TensorFlow's ExponentialMovingAverage).
    """

    def __init__(self, net: nn.Module, decay: float, foreach: bool = True) -> None:
        super().__init__(net, foreach)
        self.decay = decay

    def decay_at(self, step: int) -> float:
        return min(self.decay, (1 + step) / (10 + step))


class PowerEma(Average):
    """The power-function average, of a length that is a share of the run so far.

    The weight of step s after T steps is proportional to s^gamma, so the first steps vanish by
    themselves and a run of any length is averaged alike (Karras et al. 2024, "Analyzing and
    improving the training dynamics of diffusion models", section 3.1, eq. 2).

    Args:
        length: sigma_rel, the standard deviation of that profile over T; below 0.288.
    """

    def __init__(self, net: nn.Module, length: float, foreach: bool = True) -> None:
        super().__init__(net, foreach)
        self.length = length
        self.gamma = gamma_of(length)

    def decay_at(self, step: int) -> float:
        return (1 - 1 / step) ** (self.gamma + 1)  # their eq. 3; 0 at the first step


def length_of(gamma: float) -> float:
    """sigma_rel of the profile s^gamma: (gamma + 1)^1/2 (gamma + 2)^-1 (gamma + 3)^-1/2 (section
    3.1: it is the beta distribution of gamma + 1 and 1)."""
    return (gamma + 1) ** 0.5 / ((gamma + 2) * (gamma + 3) ** 0.5)


def gamma_of(length: float) -> float:
    """The gamma whose profile has ``length``: the one root of g^3 + 7 g^2 + (16 - l^-2) g + 12 -
    l^-2 that is not negative (appendix C.1)."""
    if not 0 < length < length_of(0):
        raise ValueError(f"length: got {length}, expected between 0 and {length_of(0):.3f}")
    inverse = length**-2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())
