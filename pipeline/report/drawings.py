"""The pictures of one evaluation: the grid of samples, the way from noise, the likest copies."""

from __future__ import annotations

import numpy as np

from pipeline.diffusion.sampling import Sampling
from pipeline.evaluation import montage
from pipeline.evaluation.metrics import Evaluation, Pictures
from pipeline.evaluation.plan import Plan
from pipeline.model import Model

FRAMES = 8
TILE = 128  # pixels a picture is enlarged to, about


def enlargement(side: int, breeds: int = 1) -> int:
    """Whole factor to about TILE pixels; half of it where many breeds make a tall picture."""
    return max(1, TILE // side // (2 if breeds > 12 else 1))


def draw_grid(images: np.ndarray, plan: Plan, classes: list[str]) -> np.ndarray:
    scale = enlargement(images.shape[1], len(classes))
    return montage.sample_grid(images[plan.shown], plan.labels[plan.shown], classes, scale=scale)


def draw_denoising(model: Model, plan: Plan, how: Sampling) -> np.ndarray:
    """The way of the first sample in the grid."""
    noisy, denoised, sigmas = model.trajectory(int(plan.labels[0]), plan.seeds[0], how, FRAMES)
    return montage.denoising_strip(noisy, denoised, sigmas, scale=enlargement(model.size))


def draw_nearest(samples: Pictures, train: Pictures, result: Evaluation, count: int) -> np.ndarray:
    """The samples that look most like copies, beside what they look like."""
    found, by_features = result.copies, result.by_features
    worst = found.worst(count)
    turned = np.where(found.by_hash.mirrored, ", mirrored", "")
    ways = {
        "by hash": (found.by_hash, [f"{found.by_hash.distance[i]} bits{turned[i]}" for i in worst]),
        "by pixels": (found.by_pixels, [f"ratio {found.ratio[i]:.2f}" for i in worst]),
        "by features": (by_features, [f"distance {by_features.distance[i]:.2f}" for i in worst]),
    }
    return montage.nearest_grid(
        samples.images[worst],
        {name: (one.pictures(train.images)[worst], notes) for name, (one, notes) in ways.items()},
        scale=enlargement(samples.images.shape[1]),
    )
