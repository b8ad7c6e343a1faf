"""What all samplers share: the step they report, and the levels they walk along."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from pipeline.diffusion.schedules import wide


@dataclass(frozen=True)
class Step:
    """What a sampler knows after one step.

    Attributes:
        sigma: the level the step came from; to: the level it reached.
        x_sigma: (B, C, H, W) at level ``to``.
        denoised: (B, C, H, W), the clean estimate the step was made with.
    """

    sigma: float
    to: float
    x_sigma: Tensor
    denoised: Tensor


def pairs(levels: Tensor) -> list[tuple[float, float]]:
    """(from, to) of each step along falling levels."""
    return list(pairwise(levels.tolist()))


def at_level(x: Tensor, sigma: float) -> Tensor:
    """(B,) float64 (see ``wide``): one level for the whole batch ``x``."""
    return torch.full((len(x),), sigma, dtype=wide(x.device), device=x.device)
