"""Noise schedules: which noise levels a net is trained on, and where a sampler stops by."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MAX_SIGMA = 80.0  # Karras et al. 2022: above it only 1/80 of the picture is left to tell apart


@dataclass(frozen=True)
class Schedule:
    """A discrete forward process of ``T`` noise levels.

    Attributes:
        name: what params call it.
        alpha_bar: (T,) float64, strictly falling, alpha_bar[t - 1] = prod of (1 - beta) up to
            step t (Ho et al. 2020, after eq. 4).
    """

    name: str
    alpha_bar: Tensor

    @property
    def timesteps(self) -> int:
        return len(self.alpha_bar)

    @property
    def sigmas(self) -> Tensor:
        """(T,) float64, rising: the noise levels that exist for a net trained on this schedule."""
        return ((1 - self.alpha_bar) / self.alpha_bar).sqrt()

    @property
    def terminal_signal(self) -> float:
        """sqrt(alpha_bar_T): how much of the picture is left where sampling starts from noise.

        Should be near 0; seed 000's T = 300 left 0.22, a gap between training and sampling.
        """
        return float(self.alpha_bar[-1].sqrt())

    def index(self, sigma: Tensor) -> Tensor:
        """The 0-based timestep whose noise level is nearest to ``sigma`` (any shape), in log."""
        known = self.sigmas.log().to(sigma.device)
        wanted = sigma.double().log()
        right = torch.searchsorted(known, wanted).clamp(1, self.timesteps - 1)
        left = right - 1
        return torch.where(wanted - known[left] <= known[right] - wanted, left, right)

    def levels(self, steps: int, grid: str = "timesteps") -> Tensor:
        """Noise levels for a sampler: falling, each one trained on, closed by 0.

        Args:
            steps: how many; any number works for any T. More than T gives T of them.
            grid: ``timesteps`` spaces them evenly in t, always from t = T (what a DDPM or DDIM
                wants); ``karras`` spaces sigma^(1/7) evenly from min(sigma_T, 80) down to the
                least (Karras et al. 2022, eq. 5: what a higher-order solver wants).

        Returns:
            (n + 1,) float64 with n <= steps; the last is 0. Levels that fall on one trained
            level are merged, so no step has length zero.
        """
        if steps < 1:
            raise ValueError(f"steps: got {steps}, expected at least 1")
        if grid == "timesteps":
            chosen = torch.linspace(self.timesteps, 0, steps + 1, dtype=torch.float64)[:-1]
            index = chosen.round().long().clamp(1, self.timesteps) - 1
        elif grid == "karras":
            top = min(float(self.sigmas[-1]), MAX_SIGMA) ** (1 / 7)
            bottom = float(self.sigmas[0]) ** (1 / 7)
            index = self.index(torch.linspace(top, bottom, steps, dtype=torch.float64) ** 7)
        else:
            raise ValueError(f"grid: got {grid!r}, expected timesteps or karras")
        index = torch.unique(index).flip(0)
        return torch.cat([self.sigmas[index], torch.zeros(1, dtype=torch.float64)])


def linear(timesteps: int) -> Schedule:
    """beta rises from 1e-4 to 0.02 for T = 1000 (Ho et al. 2020, section 4).

    For another T both ends are scaled by 1000 / T (Nichol & Dhariwal 2021's code does the same),
    so that the picture is as nearly destroyed at the end; left alone, T = 300 keeps 22 % of it.
    """
    scale = 1000 / timesteps
    betas = torch.linspace(1e-4 * scale, 0.02 * scale, timesteps, dtype=torch.float64)
    return _from_betas("linear", betas)


def cosine(timesteps: int, s: float = 0.008) -> Schedule:
    """alpha_bar(t) = f(t) / f(0), f(t) = cos^2((t/T + s) / (1 + s) * pi / 2).

    Nichol & Dhariwal 2021, eq. 17, with their clip of beta at 0.999.
    """
    t = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    f = torch.cos((t + s) / (1 + s) * math.pi / 2) ** 2
    return _from_betas("cosine", 1 - f[1:] / f[:-1])


def _from_betas(name: str, betas: Tensor) -> Schedule:
    return Schedule(name, torch.cumprod(1 - betas.clamp(1e-8, 0.999), dim=0))


_BY_NAME = {"linear": linear, "cosine": cosine}


def make_schedule(name: str, timesteps: int) -> Schedule:
    """The schedule that params call ``name``. Raises ``KeyError`` for an unknown one."""
    return _BY_NAME[name](timesteps)
