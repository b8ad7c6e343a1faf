"""Figures quick enough to take during training, on the few pictures of the grid."""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.distances import distances
from pipeline.evaluation.examples import choose

EACH = 32
"""Training pictures of a breed that the grid is held against."""


def quick_reference(
    images: np.ndarray, labels: np.ndarray, among: np.ndarray, breeds: int
) -> np.ndarray:
    """Up to EACH training pictures of each of the first ``breeds`` labels: uint8 M×S×S×3.

    The grid shows equally many of each of them; so must what it is held against. ``images`` may be
    a memory map; ``among`` holds the training rows.
    """
    shown = among[labels[among] < breeds]
    rows = choose(labels, shown, EACH, seed=0) if len(shown) else shown
    return np.ascontiguousarray(images[np.sort(rows)])


def quick_figures(images: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """``quick/swd``, ``quick/spectrum`` and ``quick/colour`` of uint8 N×S×S×3 ``images``.

    Few pictures from few steps: good for a curve within one training, not to be held beside the
    figures of ``evaluate``. Empty where a side has fewer than two pictures.
    """
    if min(len(images), len(reference)) < 2:
        return {}
    return {f"quick/{name}": value for name, value in distances(images, reference).items()}
