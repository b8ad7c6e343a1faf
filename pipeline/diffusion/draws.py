"""How training draws noise levels: stratified over a batch, by a density of choice."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.diffusion.losses import weights
from pipeline.diffusion.schedules import Schedule

DRAWS = ("uniform", "importance", "lognormal")


@dataclass(frozen=True)
class Draw:
    """A distribution of noise levels.

    Attributes:
        schedule: whose levels are drawn.
        density: (T,) float64 probabilities of its tabulated levels, or None for the log-normal.
        mean, std: of log sigma, for the log-normal.
    """

    schedule: Schedule
    density: Tensor | None
    mean: float = -1.2
    std: float = 1.2

    def __call__(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(count,) float64 noise levels, and (count,) float32: what a draw of each counts, so that
        the mean loss is that of the density the draws stand for.

        One level is drawn from each of ``count`` strata of equal probability: each is distributed
        as it should be by itself, and together they cover the schedule, which lowers the variance
        of the loss (so does the low-discrepancy sampler of Kingma et al. 2021, whose levels share
        one shift). The strata are shuffled so that a place in the batch says nothing about the
        level.
        """
        u = (torch.arange(count) + torch.rand(count, generator=generator)) / count
        u = u[torch.randperm(count, generator=generator)].double()
        if self.density is None:
            normal = torch.special.ndtri(u.clamp(1e-9, 1 - 1e-9))
            return self.schedule.snap((self.mean + self.std * normal).exp()), torch.ones(count)
        index = torch.searchsorted(self.density.cumsum(0), u, right=True)
        index = index.clamp(max=len(self.density) - 1)
        factor = 1 / (len(self.density) * self.density[index])
        return self.schedule.sigmas[index], factor.float()


def make_draw(
    name: str,
    schedule: Schedule,
    weighting: str,
    objective: str,
    sigma_data: float = 0.5,
    mean: float = -1.2,
    std: float = 1.2,
) -> Draw:
    """The draw that params call ``name``.

    ``uniform`` is 1 / T for each tabulated level. ``importance`` is proportional to the square root
    of the loss's weight: where the weight is small a draw teaches little, so it is drawn seldom
    and counts for more. The expected loss is that of ``uniform``; its gradient is less noisy
    (importance sampling, as Nichol & Dhariwal 2021, section 3.3, do by measured losses).
    ``lognormal`` is Karras et al. 2022, section 5: ln sigma is N(mean, std^2), and each draw counts
    the same.
    """
    if name == "uniform":
        density = torch.ones(schedule.timesteps, dtype=torch.float64)
    elif name == "importance":
        density = weights(weighting, objective, schedule.sigmas, sigma_data).sqrt()
    elif name == "lognormal":
        return Draw(schedule, None, mean, std)
    else:
        raise ValueError(f"draw: got {name!r}, expected one of {', '.join(DRAWS)}")
    return Draw(schedule, density / density.sum())
