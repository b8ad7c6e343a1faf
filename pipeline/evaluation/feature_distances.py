"""Distances between two sets of feature vectors, whatever net they come from.

Everywhere ``fake`` comes first and ``real`` second. Swapped, the distances are the same, but
precision becomes recall.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.evaluation.distances import debiased, random_directions

BLOCK = 1_000  # vectors a side of one KID block, as in the paper's protocol
BLOCKS = 100
PROJECTIONS = 512
NEIGHBOURS = 3  # of precision and recall, as Kynkäänniemi et al.
DENSE_NEIGHBOURS = 5  # of density and coverage, as Naeem et al.
MOST = 5_000  # vectors a side for neighbourhoods: a table of 100 MB
ROUNDS = 16


def kid(fake: np.ndarray, real: np.ndarray, seed: int = 0) -> float:
    """Squared maximum mean discrepancy with the kernel (x·y/D + 1)³, unbiased.

    Bińkowski et al., "Demystifying MMD GANs" (ICLR 2018), section 4: zero on average for equal
    sources at any count, so it can be slightly negative. Sets of more than BLOCK vectors are
    compared as the mean over BLOCKS random blocks.

    Args:
        fake, real: N×D and M×D, at least 2 each. ``seed`` is that of the blocks.
    """
    return KidTo(real, seed)(fake)


class KidTo:
    """``kid`` to one set: what depends on it alone, which is most of the work, is done once."""

    def __init__(self, real: np.ndarray, seed: int = 0) -> None:
        self.real, self.seed = real, seed
        self.blocks = _blocks(len(real), (seed, 1))
        self.inside = [_inside(real[rows]) for rows in self.blocks]

    def __call__(self, fake: np.ndarray) -> float:
        blocks = _blocks(len(fake), (self.seed, 0))
        inside = [_inside(fake[rows]) for rows in blocks]
        values = []
        for k in range(max(len(blocks), len(self.blocks))):  # a set that is one block meets all
            mine, other = k % len(blocks), k % len(self.blocks)
            between = _kernel(fake[blocks[mine]], self.real[self.blocks[other]]).mean()
            values.append(inside[mine] + self.inside[other] - 2 * between)
        return float(np.mean(values))


def _blocks(count: int, seed: tuple[int, int]) -> list[np.ndarray]:
    """Rows of random blocks of a set of ``count``; of a small set one block, all of it."""
    if count <= BLOCK:
        return [np.arange(count)]
    rng = np.random.default_rng(seed)
    return [rng.choice(count, BLOCK, replace=False) for _ in range(BLOCKS)]


def _inside(x: np.ndarray) -> float:
    kernel = _kernel(x, x)
    return float((kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1)))


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a.astype(np.float64) @ b.T.astype(np.float64) / a.shape[1] + 1) ** 3


def mind(fake: np.ndarray, real: np.ndarray, seed: int = 0) -> float:
    """Squared sliced 2-Wasserstein distance of the features, with the 1/n bias removed.

    The distance of Berthet et al., "MIND: Monge Inception Distance" (arXiv:2605.06797, 2026): the
    mean of exact 1-D distances over PROJECTIONS random directions. Theirs keeps the bias.
    """
    directions = random_directions(fake.shape[1], PROJECTIONS, seed)
    return debiased((fake @ directions)[:, None], (real @ directions)[:, None], seed)


def frechet(fake: np.ndarray, real: np.ndarray) -> float:
    """|m₁ - m₂|² + tr(C₁ + C₂ - 2 √(C₁C₂)) of the fitted Gaussians (Heusel et al., NeurIPS 2017).

    On Inception features this is FID. It is biased upwards by about 1/n.
    """
    fake, real = fake.astype(np.float64), real.astype(np.float64)
    a, b = np.cov(fake, rowvar=False), np.cov(real, rowvar=False)
    # √C₁ C₂ √C₁ is symmetric with the eigenvalues of C₁C₂, so no general matrix root is needed.
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b @ root), 0)).sum()
    shift = np.square(fake.mean(axis=0) - real.mean(axis=0)).sum()
    return float(shift + np.trace(a) + np.trace(b) - 2 * cross)


def neighbourhoods(
    fake: np.ndarray, real: np.ndarray, count: int | None = None, seed: int = 0
) -> dict[str, float]:
    """``precision``, ``recall``, ``density`` and ``coverage`` by nearest neighbours.

    The first two after Kynkäänniemi et al., "Improved Precision and Recall Metric" (NeurIPS 2019),
    the others after Naeem et al., "Reliable Fidelity and Diversity Metrics" (ICML 2020). Recall and
    coverage depend on the counts, so both sides have ``count`` vectors (by default as many as the
    smaller side, MOST at most): the mean over rounds that use each fake once, ROUNDS at most.
    """
    count = min(count or MOST, len(fake), len(real), MOST)
    found = [
        _neighbourhoods(fake[rows], real[others])
        for rows, others in _rounds(len(fake), len(real), count, seed)
    ]
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def _rounds(
    fakes: int, reals: int, count: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    order = rng.permutation(fakes)
    for start in range(0, min(fakes // count, ROUNDS) * count, count):
        yield order[start : start + count], rng.permutation(reals)[:count]


def _neighbourhoods(fake: np.ndarray, real: np.ndarray) -> dict[str, float]:
    between = squared_distances(fake, real)
    fake_radius = _radius(fake, NEIGHBOURS)
    real_radius, wide = _radius(real, NEIGHBOURS), _radius(real, DENSE_NEIGHBOURS)
    k = min(DENSE_NEIGHBOURS, len(real) - 1)
    return {
        "precision": float((between <= real_radius).any(axis=1).mean()),
        "recall": float((between <= fake_radius[:, None]).any(axis=0).mean()),
        "density": float((between <= wide).sum() / (k * len(fake))),
        "coverage": float((between.min(axis=0) <= wide).mean()),
    }


def _radius(x: np.ndarray, k: int) -> np.ndarray:
    """Squared distance of each vector to its k-th nearest other one."""
    k = min(k, len(x) - 1)
    return np.partition(squared_distances(x, x), k, axis=1)[:, k]  # place 0 is itself


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances of the rows: N×M, equal rows exactly 0."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    norms = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
    result = np.maximum(norms - 2 * a @ b.T, 0)
    result[result < 1e-10 * norms] = 0  # what is left of equal rows is rounding
    return result
