"""How far a figure would move if other samples had been drawn: its standard error.

Random half-samples without replacement (Efron, "The Jackknife, the Bootstrap and Other Resampling
Plans", SIAM 1982, chapter 8): over halves of n values a mean scatters with variance s²/n, which is
just its variance over new samples of n. The bootstrap would draw the same sample twice, which
distances between sets and all that looks for repeats take for a fault of the generator.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.evaluation.copies import check_copies
from pipeline.evaluation.distances import DISTANCES
from pipeline.evaluation.diversity import diversity, uniqueness
from pipeline.evaluation.feature_distances import KidTo, mind, neighbourhoods
from pipeline.evaluation.metrics import LOCAL, Extract, Pictures
from pipeline.evaluation.recognition import BreedClassifier

REPEATS = 12
NOISE = "_noise"  # ends the name of a figure's standard error
MEASURED = (
    *DISTANCES, "breed_accuracy", "diversity", "uniqueness", "copies",
    *(f"{name}{LOCAL}" for name in ("kid", "mind", "precision", "recall", "density", "coverage")),
)  # fmt: skip

Measure = Callable[[Pictures], float]


def standard_error(
    measure: Measure, samples: Pictures, seed: int = 0, repeats: int = REPEATS
) -> float:
    """Standard error of ``measure(samples)``; NaN where halves cannot be measured.

    Halves keep the mixture of breeds.
    """
    values = []
    for repeat in range(repeats):
        rows = half_of(samples.labels, np.random.default_rng((seed, repeat)))
        values.append(measure(Pictures(samples.images[rows], samples.labels[rows])))
    return float(np.std(values, ddof=1))


def half_of(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Rows of a random half of each breed, of an odd number one more or less by chance."""
    rows = []
    for label in np.unique(labels):
        own = generator.permutation(np.flatnonzero(labels == label))
        count = (len(own) + generator.integers(2)) // 2
        rows.append(own[: max(count, 1)])
    return np.sort(np.concatenate(rows))


def measure_of(
    name: str, train: Pictures, classes: int, seed: int, features: Extract | None = None
) -> Measure:
    """What computes the figure ``name`` (one of ``MEASURED``) of samples, against ``train``.

    Args:
        features: the local net, for figures on its features.
    """
    if name in DISTANCES:
        return lambda some: DISTANCES[name](some.images, train.images, seed)
    if name == "breed_accuracy":
        classifier = BreedClassifier.fit(train.images, train.labels, classes, seed)
        return lambda some: classifier.accuracy(some.images, some.labels)
    real = (train.images, train.labels)
    if name == "diversity":
        return lambda some: diversity(some.images, some.labels, *real)
    if name == "uniqueness":
        return lambda some: uniqueness(some.images, some.labels, *real, seed)
    if name == "copies":
        return lambda some: check_copies(some.images, train.images).share
    if name in MEASURED and features is not None:
        return _on_features(name.removesuffix(LOCAL), features, train, seed)
    raise ValueError(f"no figure {name!r}; there are {', '.join(MEASURED)}")


def _on_features(name: str, extract: Extract, train: Pictures, seed: int) -> Measure:
    known = extract(train.images)
    if name == "kid":
        distance = KidTo(known, seed)
        return lambda some: distance(extract(some.images))
    if name == "mind":
        return lambda some: mind(extract(some.images), known, seed)
    return lambda some: neighbourhoods(
        extract(some.images), known, min(len(some), len(known)), seed
    )[name]
