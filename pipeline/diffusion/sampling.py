"""From labels and seeds to pictures: noise, levels, guidance and sampler put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.diffusion.denoiser import Denoiser
from pipeline.diffusion.guidance import guided
from pipeline.diffusion.samplers import GRIDS, Seed, noise_of_seeds, run_sampler
from pipeline.diffusion.schedules import Schedule
from pipeline.diffusion.steps import Step


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn.

    Attributes:
        sampler: one of ``samplers.GRIDS``.
        steps: of the sampler; a DDPM of T levels takes at most T.
        guidance: strength, 1 for none; guide: ``labels`` (classifier-free) or ``early``
            (autoguidance by an early snapshot).
        eta: share of ddpm's noise in ddim's steps; variance: of ddpm's steps.
        strength: how far a given picture is taken back into noise before it is drawn anew: 1 all
            the way, so that nothing of it stays.
    """

    sampler: str = "heun"
    steps: int = 18
    guidance: float = 1.0
    guide: str = "labels"
    eta: float = 0.0
    variance: str = "posterior"
    strength: float = 1.0

    def levels(self, schedule: Schedule) -> Tensor:
        """Falling noise levels, 0 last; fewer where less than the whole way is taken."""
        levels = schedule.levels(self.steps, GRIDS[self.sampler])
        if self.strength >= 1:
            return levels
        # The share of the way is counted in steps, as a person sees them pass.
        return levels[len(levels) - 1 - max(1, round(self.strength * (len(levels) - 1))) :]


def walk(
    denoiser: Denoiser,
    labels: Tensor,
    seeds: Sequence[Seed],
    shape: tuple[int, int, int],
    how: Sampling,
    guide: Denoiser | None = None,
    picture: Tensor | None = None,
) -> Iterator[Step]:
    """The sampler's steps for one batch, on the device of ``labels``.

    Args:
        labels: (B,) int64, ``NO_LABEL`` for none.
        seeds: B; picture k depends on labels[k] and seeds[k], not on its batch.
        shape: (C, H, W) of a picture.
        guide: what guides where ``how.guide`` is early.
        picture: (B, C, H, W) or (C, H, W) in [-1, 1] to start from: noise of the first level is
            added to it, ``how.strength`` of the way from its end (SDEdit, Meng et al. 2022).
    """
    noise = noise_of_seeds(seeds, shape, labels.device)
    levels = how.levels(denoiser.schedule)
    x = noise(-1) * levels[0].float()
    if picture is not None:
        x = picture + x
    denoise = guided(denoiser, labels, how.guidance, guide if how.guide == "early" else None)
    return run_sampler(how.sampler, denoise, x, levels, noise, how.eta, how.variance)


def frame_places(steps: int, frames: int) -> list[int]:
    """Which of ``steps`` steps to show as ``frames`` frames: evenly spread, the last among them."""
    spread = torch.linspace(0, steps - 1, min(frames, steps)).round().long()
    return torch.unique(spread).tolist()
