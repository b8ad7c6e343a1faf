"""What training sees, for people: which pictures to show, and one on its way into noise."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.diffusion.samplers import from_uint8, to_uint8
from pipeline.diffusion.schedules import Schedule
from pipeline.evaluation.montage import captioned_strip

FRAMES = 10
_BREEDS = 40  # rows of the sheet at most


def choose(labels: np.ndarray, among: np.ndarray, each: int, seed: int) -> np.ndarray:
    """Indices from ``among``, up to ``each`` of each label (of the first 40), label by label, a
    function of ``seed``."""
    shuffled = np.random.default_rng(seed).permutation(among)
    present = np.unique(labels[among])[:_BREEDS]
    return np.concatenate([shuffled[labels[shuffled] == label][:each] for label in present])


def forward_process(
    x0: Tensor, schedule: Schedule, frames: int = FRAMES, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """One picture at several timesteps, each straight from x0: x_t = sqrt(a) x0 + sqrt(1 - a) eps
    (Ho et al. 2020, eq. 4; a is alpha_bar_t), with noise of its own for each.

    Args:
        x0: (C, S, S) in [-1, 1].
        frames: timesteps, evenly spaced from the first to the last.

    Returns:
        (F, C, S, S) x_t, not clipped, and the F 0-based timesteps.
    """
    timesteps = torch.linspace(0, schedule.timesteps - 1, frames).round().long().unique()
    alpha_bar = schedule.alpha_bar[timesteps].float()[:, None, None, None]
    generator = torch.Generator().manual_seed(seed)
    eps = torch.randn((len(timesteps), *x0.shape), generator=generator)
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps, timesteps


def forward_strip(image: np.ndarray, schedule: Schedule) -> np.ndarray:
    """``forward_process`` of a uint8 S×S×3 picture as a strip, t and sigma under each frame."""
    x0 = from_uint8(torch.from_numpy(np.array(image)).permute(2, 0, 1))
    noisy, timesteps = forward_process(x0, schedule)
    captions = [f"t {int(t)}\nσ {float(schedule.sigmas[t]):.3g}" for t in timesteps]
    return captioned_strip(to_uint8(noisy).permute(0, 2, 3, 1).numpy(), captions)
