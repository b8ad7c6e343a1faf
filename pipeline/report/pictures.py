"""Pictures of the result page that are drawn for it alone: what the model saw, what guidance does,
the film of denoising, the way between two seeds.

They begin from the noise of pictures in the grid of samples, so that a reader finds these again.
Together they are at most 4 x 6 + 3 x 8 + 6 pictures, a fraction of what the figures need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pipeline.dataset.dataset import Dataset
from pipeline.diffusion.samplers import Between
from pipeline.diffusion.sampling import Sampling, frame_places
from pipeline.evaluation.examples import choose
from pipeline.evaluation.montage import (
    captioned_strip,
    sample_grid,
    spoken,
    write_film,
    write_png,
)
from pipeline.evaluation.plan import Plan
from pipeline.model import Model, as_pixels, unit

STRENGTHS = (1.0, 1.5, 2.0, 3.0, 5.0)  # of guidance; the params' own is put among them
SWEPT, BETWEEN, FILMED = 4, 3, 6  # breeds in each picture at most
PLACES = 8  # from one seed to another, both ends among them
FRAMES = 24  # of the film at most
SEEN = 8  # training pictures a breed

MADE = ("seen.png", "sweep.png", "interpolation.png", "denoising.webp")


def write_pictures(
    reports: Path,
    model: Model,
    dataset: Dataset,
    plan: Plan,
    how: Sampling,
    batch_size: int,
    scale: Callable[[int], int],
) -> np.ndarray:
    """Write ``MADE`` into ``reports``. Returns the indices of the training pictures shown.

    Args:
        plan: of the samples; its first pictures of a breed are begun from again.
        how: the way the samples were drawn.
        scale: from rows of pictures to their whole enlargement.
    """
    rows = choose(dataset.labels, dataset.train_indices, SEEN, 0)
    images, labels, classes = dataset.images[rows], dataset.labels[rows], dataset.classes
    breeds = len(np.unique(labels))
    write_png(
        reports / "seen.png", sample_grid(images, labels, classes, scale=max(1, scale(breeds) // 2))
    )
    write_png(reports / "sweep.png", sweep(model, plan, how, batch_size, scale(SWEPT)))
    write_png(
        reports / "interpolation.png", interpolation(model, plan, how, batch_size, scale(BETWEEN))
    )
    write_film(
        reports / "denoising.webp", film(model, plan, how, batch_size, scale(1)), lossless=False
    )
    return rows


def spread(classes: int, most: int) -> list[int]:
    """At most ``most`` labels, evenly spread over all, the first and the last among them."""
    return frame_places(classes, most)


def seeds_of_label(plan: Plan, label: int) -> list[int]:
    """The plan's seeds of a breed, as many as there are, in the order of the grid."""
    return [plan.seeds[i] for i in np.flatnonzero(plan.labels == label)]


def strengths(guidance: float) -> list[float]:
    """Which strengths of guidance to show beside the params' own."""
    return sorted({*STRENGTHS, guidance})


def sweep(model: Model, plan: Plan, how: Sampling, batch_size: int, scale: int) -> np.ndarray:
    """The first sample of some breeds at rising guidance, a row a breed: uint8 H×W×3."""
    labels = np.array(spread(len(model.classes), SWEPT))
    seeds = [seeds_of_label(plan, label)[0] for label in labels]
    guide = "early" if how.guide == "early" and model.guide is not None else "labels"
    shown = strengths(how.guidance)
    columns = [
        model.sample(
            torch.from_numpy(labels), seeds, replace(how, guidance=each, guide=guide), batch_size
        )
        for each in shown
    ]
    images = np.stack(columns, axis=1).reshape(-1, *columns[0].shape[1:])
    return sample_grid(
        images,
        labels.repeat(len(shown)),
        model.classes,
        heads=[f"{each:g}" for each in shown],
        scale=scale,
    )


def interpolation(
    model: Model, plan: Plan, how: Sampling, batch_size: int, scale: int
) -> np.ndarray:
    """From the first sample of some breeds to their second, a row a breed: uint8 H×W×3."""
    labels = np.array(spread(len(model.classes), BETWEEN)).repeat(PLACES)
    seeds = []
    for label in labels[::PLACES]:
        first, second = (seeds_of_label(plan, label) * 2)[:2]
        seeds += [Between(first, second, place / (PLACES - 1)) for place in range(PLACES)]
    images = model.sample(torch.from_numpy(labels), seeds, how, batch_size)
    return sample_grid(images, labels, model.classes, scale=scale)


def film(model: Model, plan: Plan, how: Sampling, batch_size: int, scale: int) -> list[np.ndarray]:
    """The first sample of some breeds growing from noise: uint8 H×W×3 frames."""
    labels = spread(len(model.classes), FILMED)
    seeds = [seeds_of_label(plan, label)[0] for label in labels]
    names = [spoken(model.classes[label]).replace(" ", "\n") for label in labels]
    parts = []
    for start in range(0, len(labels), batch_size):
        some = slice(start, start + batch_size)
        # One picture a step is kept, not the step: a DDPM has a thousand.
        steps = [
            as_pixels(unit(s)) for s in model.walk(torch.tensor(labels[some]), seeds[some], how)
        ]
        parts.append(np.stack([steps[place] for place in frame_places(len(steps), FRAMES)]))
    frames = np.concatenate(parts, axis=1)
    return [captioned_strip(frame, names, scale=scale) for frame in frames]
