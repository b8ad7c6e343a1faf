"""What a net's output means: four parameterisations of one estimate.

All are affine in the output F (Karras et al. 2022, eq. 7):

    denoised = c_skip(sigma) x_sigma + c_out(sigma) F(c_in(sigma) x_sigma, t)

| objective | F estimates               | c_skip                | c_out                       |
|-----------|---------------------------|-----------------------|-----------------------------|
| x0        | the picture               | 0                     | 1                           |
| eps       | the noise                 | 1                     | -s                          |
| v         | (eps - s x0) / sqrt(1+s^2)| 1 / (1 + s^2)         | -s / sqrt(1 + s^2)          |
| edm       | what is left to unit size | d^2 / (s^2 + d^2)     | s d / sqrt(s^2 + d^2)       |

with s = sigma and d = sigma_data. v is Salimans & Ho 2022 (section 4) in their variance-preserving
units; edm is Karras et al. 2022, table 1. c_in gives the net unit variance: 1 / sqrt(1 + s^2) for
the first three, whose data count as unit variance as a DDPM's do, and 1 / sqrt(s^2 + d^2) for edm.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

OBJECTIVES = ("x0", "eps", "v", "edm")


@dataclass(frozen=True)
class Coefficients:
    """c_in, c_skip and c_out for some noise levels, each of their shape; ``of_x0`` and ``of_eps``
    are what the target is made of: target = of_x0 x0 + of_eps eps."""

    c_in: Tensor
    c_skip: Tensor
    c_out: Tensor
    of_x0: Tensor
    of_eps: Tensor


def coefficients(objective: str, sigma: Tensor, sigma_data: float = 0.5) -> Coefficients:
    """The coefficients of ``objective`` at noise levels ``sigma`` > 0, any shape.

    The target's are written out, as (x0 - c_skip x_sigma) / c_out loses digits at small sigma.
    """
    one, none = torch.ones_like(sigma), torch.zeros_like(sigma)
    norm = (1 + sigma**2).sqrt()
    if objective == "x0":
        return Coefficients(1 / norm, none, one, one, none)
    if objective == "eps":
        return Coefficients(1 / norm, one, -sigma, none, one)
    if objective == "v":
        return Coefficients(1 / norm, 1 / norm**2, -sigma / norm, -sigma / norm, 1 / norm)
    if objective == "edm":
        d, size = sigma_data, (sigma**2 + sigma_data**2).sqrt()
        return Coefficients(
            1 / size, d**2 / size**2, sigma * d / size, sigma / (d * size), -d / size
        )
    raise ValueError(f"objective: got {objective!r}, expected one of {', '.join(OBJECTIVES)}")
