"""Do the samples of a breed differ as much as real pictures of it do? Mode collapse shows here."""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.distances import shrink

SIDE = 16
MOST = 2000  # pictures of a breed whose pairs are looked at: a table of 32 MB


def diversity(
    fake: np.ndarray, fake_labels: np.ndarray, real: np.ndarray, real_labels: np.ndarray
) -> float:
    """Mean distance of two pictures of a breed, over the same for real pictures: best is 1.

    The distance is the root mean square difference at 16×16, where pixel noise is averaged away.
    A mean over pairs of different pictures has no bias, so the two counts may differ. The result
    is the mean over the breeds that have at least two pictures on both sides, NaN without any.
    """
    return _mean_ratio(fake, fake_labels, real, real_labels, _spread)


def uniqueness(
    fake: np.ndarray, fake_labels: np.ndarray, real: np.ndarray, real_labels: np.ndarray, seed: int
) -> float:
    """Mean distance to the nearest other picture of the breed, over the same for real ones.

    It falls as soon as samples repeat, long before ``diversity`` does. Nearest distances shrink as
    pictures are added, so the breed's larger side is cut to the smaller one's count (at random by
    ``seed``).
    """

    def nearest(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
        rng = np.random.default_rng(seed)
        count = min(len(a), len(b), MOST)
        first, second = (
            _pairwise(x[rng.permutation(len(x))[:count]], diagonal=np.inf).min(axis=1).mean()
            for x in (a, b)
        )
        return float(first), float(second)

    return _mean_ratio(fake, fake_labels, real, real_labels, nearest)


def _mean_ratio(fake, fake_labels, real, real_labels, measure) -> float:  # type: ignore[no-untyped-def]
    fake, real = shrink(fake, SIDE), shrink(real, SIDE)
    ratios = []
    for label in np.unique(fake_labels):
        ours, theirs = fake[fake_labels == label], real[real_labels == label]
        if min(len(ours), len(theirs)) >= 2:
            top, bottom = measure(ours, theirs)
            ratios.append(top / max(bottom, 1e-9))
    return float(np.mean(ratios)) if ratios else float("nan")


def _spread(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    a, b = (x[np.linspace(0, len(x) - 1, min(len(x), MOST)).astype(int)] for x in (a, b))
    first, second = (_pairwise(x).sum() / (len(x) * (len(x) - 1)) for x in (a, b))
    return float(first), float(second)


def _pairwise(images: np.ndarray, diagonal: float = 0.0) -> np.ndarray:
    """Root mean square differences of N pictures: N×N, with ``diagonal`` on the diagonal."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    flat -= flat.mean(axis=0)
    norms = np.square(flat).sum(axis=1)
    squares = np.maximum(norms[:, None] + norms - 2 * flat @ flat.T, 0) / flat.shape[1]
    result = np.sqrt(squares)
    np.fill_diagonal(result, diagonal)
    return result
