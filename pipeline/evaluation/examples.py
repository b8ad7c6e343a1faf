"""What training sees: pictures of each breed, and one picture on its way into noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.dataset.dataset import Dataset
from pipeline.diffusion.samplers import from_uint8, to_uint8
from pipeline.diffusion.schedules import Schedule
from pipeline.evaluation.montage import captioned_strip, sample_grid, write_png
from pipeline.model import Architecture
from pipeline.params import Params

FRAMES = 10
_BREEDS = 40  # rows of the sheet at most


def write_examples(params: Params, dataset: Dataset, folder: Path) -> list[Path]:
    """Write examples.png (training pictures, a row a breed) and forward.png to ``folder``."""
    chosen = choose(dataset, params.train.grid, params.seed)
    sheet = sample_grid(dataset.images[chosen], dataset.labels[chosen], dataset.classes)
    write_png(folder / "examples.png", sheet)
    schedule = Architecture.of(params, dataset.size, dataset.classes, dataset.sigma_data).noise()
    write_png(folder / "forward.png", forward_strip(dataset.images[chosen[0]], schedule))
    return [folder / "examples.png", folder / "forward.png"]


def choose(dataset: Dataset, each: int, seed: int) -> np.ndarray:
    """Indices of up to ``each`` training pictures of each breed (of the first 40), breed by breed,
    a function of ``seed``."""
    random = np.random.default_rng(seed)
    shuffled = random.permutation(dataset.train_indices)
    labels = dataset.labels[shuffled]
    present = np.unique(labels)[:_BREEDS]
    return np.concatenate([shuffled[labels == label][:each] for label in present])


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
