"""What the model draws in the middle of its training, and how near that comes already."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.dataset.dataset import Dataset
from pipeline.diffusion.sampling import Sampling
from pipeline.evaluation.montage import sample_grid
from pipeline.evaluation.quick import quick_figures, quick_reference
from pipeline.model import Architecture, Model
from pipeline.training.loop import Trainer

PREVIEW_STEPS = 10
PREVIEW_BREEDS = 8


@dataclass(frozen=True)
class Preview:
    """What the model draws in the middle of its training."""

    sheet: np.ndarray
    figures: dict[str, float]


def reference_of(dataset: Dataset, architecture: Architecture) -> np.ndarray:
    """The training pictures that previews are held against."""
    breeds = len(architecture.classes[:PREVIEW_BREEDS])
    return quick_reference(dataset.images, dataset.labels, dataset.train_indices, breeds)


def preview_of(
    trainer: Trainer, architecture: Architecture, reference: np.ndarray | None = None
) -> Callable[[], Preview]:
    """What draws a small grid from the averaged weights as they are now: a row a breed, its own
    noise for each picture. With ``reference`` it is also measured."""
    classes = architecture.classes[:PREVIEW_BREEDS]
    device = trainer.data.device
    averaged = copy.deepcopy(trainer.averaged).eval()
    model = Model(averaged, architecture.classes, architecture.size, {}, device)
    labels = torch.arange(len(classes)).repeat_interleave(trainer.params.grid)
    how = Sampling(steps=PREVIEW_STEPS, guidance=2.0)

    def draw() -> Preview:
        images = model.sample(labels, range(len(labels)), how, batch_size=len(labels))
        figures = {} if reference is None else quick_figures(images, reference)
        return Preview(sample_grid(images, labels.numpy(), classes), figures)

    return draw
