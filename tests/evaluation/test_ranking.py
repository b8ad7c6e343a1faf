"""Each metric gets worse, step by step, under each kind of damage that it is meant to see.

The pictures are the dogs of the built-in gallery, drawn anew: no metric has seen the spoiled ones.
All sets have equal counts. What a metric does not see, and why:

- ``colour`` looks at coarse pixels, so noise and blur average out;
- ``spectrum`` describes single pictures, so it is nearly blind to which of them are there;
- ``precision``, ``density`` and ``breed_accuracy`` ask whether each picture is good, not whether
  all kinds are there: missing breeds and repeats leave them as they are (their scatter rises);
- ``diversity`` and ``uniqueness`` compare within a breed, so a missing breed is no loss to them;
  both average noise and detail away;
- the measures of copying ask for nearness, not quality: see ``test_memorisation``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from pipeline.evaluation.distances import DISTANCES
from pipeline.evaluation.diversity import diversity, uniqueness
from pipeline.evaluation.feature_distances import kid, mind, neighbourhoods
from pipeline.evaluation.features import LocalFeatures
from pipeline.evaluation.recognition import BreedClassifier
from pipeline.scraping.gallery.picture import describe, on_white, render

BREEDS = ("beagle", "dachshund", "poodle", "rottweiler", "samoyed", "siberian husky")
COUNT = 60  # of every set that is judged, and of each breed in the pool it is taken from
STRENGTHS = {
    "noise": (0, 40, 80),
    "blur": (0.01, 1.5, 3.5),
    "missing": (6, 3, 1),  # breeds that are left
    "collapse": (COUNT, 18, 3),  # different pictures that are left
}
SEEN = {
    "swd": ("noise", "blur", "missing", "collapse"),
    "spectrum": ("noise", "blur"),
    "colour": ("missing", "collapse"),
    "kid": ("noise", "blur", "missing", "collapse"),
    "mind": ("noise", "blur", "missing", "collapse"),
    "precision": ("noise", "blur"),
    "recall": ("noise", "blur", "missing", "collapse"),
    "density": ("noise", "blur"),
    "coverage": ("noise", "blur", "missing", "collapse"),
    "breed_accuracy": ("noise", "blur"),
    "diversity": ("collapse",),
    "uniqueness": ("collapse",),
}
HIGHER = ("precision", "recall", "density", "coverage", "breed_accuracy", "diversity", "uniqueness")


@dataclass(frozen=True)
class Dogs:
    images: np.ndarray
    labels: np.ndarray


def dogs(each: int, first: int) -> Dogs:
    """``each`` of every breed, the breeds in turn."""
    pictures = [
        np.asarray(on_white(render(describe(3, breed, index), 64, 64)))
        for index in range(first, first + each)
        for breed in BREEDS
    ]
    return Dogs(np.stack(pictures), np.tile(np.arange(len(BREEDS)), each))


@pytest.fixture(scope="module")
def judge():
    """Every metric of a set of pictures, higher for worse."""
    real = dogs(50, 0)
    local = LocalFeatures.fit(real.images, real.labels, len(BREEDS))
    classifier = BreedClassifier.fit(real.images, real.labels, len(BREEDS))
    features = local(real.images)

    def measure(fake: Dogs) -> dict[str, float]:
        vectors, sides = local(fake.images), (fake.images, fake.labels, real.images, real.labels)
        found = {name: f(fake.images, real.images, 0) for name, f in DISTANCES.items()}
        found |= {"kid": kid(vectors, features), "mind": mind(vectors, features)}
        found |= neighbourhoods(vectors, features)
        found["breed_accuracy"] = classifier.accuracy(fake.images, fake.labels)
        found |= {"diversity": diversity(*sides), "uniqueness": uniqueness(*sides, seed=0)}
        return {name: -value if name in HIGHER else value for name, value in found.items()}

    return measure


@pytest.fixture(scope="module")
def table(judge, damage) -> dict[str, list[dict[str, float]]]:
    """For each damage the metrics at each strength."""
    pool = dogs(COUNT, 1000)
    plain = Dogs(pool.images[:COUNT], pool.labels[:COUNT])

    def spoiled(kind: str, strength: float) -> Dogs:
        if kind == "missing":
            rows = np.flatnonzero(pool.labels < strength)[:COUNT]
            return Dogs(pool.images[rows], pool.labels[rows])
        if kind == "collapse":  # as many of each breed as before
            rows = np.arange(COUNT) % (strength if strength < COUNT else COUNT)
            return Dogs(plain.images[rows], plain.labels[rows])
        return Dogs(damage[kind](plain.images, strength), plain.labels)

    return {
        kind: [judge(spoiled(kind, strength)) for strength in strengths]
        for kind, strengths in STRENGTHS.items()
    }


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in SEEN for kind in SEEN[name]])
def test_more_damage_is_worse(table, name: str, kind: str) -> None:
    values = [figures[name] for figures in table[kind]]
    assert values[0] < values[-1]
    # Shares cannot pass 0 and 1: only there may two steps be equal.
    assert all(a < b or a == b in (0, -1) for a, b in pairwise(values)), values


@pytest.mark.parametrize("name", ["precision", "density", "breed_accuracy"])
def test_what_looks_at_single_pictures_is_blind_to_missing_breeds(table, name: str) -> None:
    values = [figures[name] for figures in table["missing"]]
    noise = [figures[name] for figures in table["noise"]]
    assert max(values) - values[0] < (noise[-1] - noise[0]) / 3
