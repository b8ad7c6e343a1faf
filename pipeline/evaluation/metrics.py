"""All figures of an evaluation in one call.

Every metric ``x`` comes with ``x_held_out``: the same measured on held-out real pictures in place
of samples. That is the best a generator can be expected to reach; a value alone says little. What
each means is in ``catalogue``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from pipeline.evaluation import distances, feature_distances, memorisation
from pipeline.evaluation.catalogue import FLOOR, LOCAL
from pipeline.evaluation.catalogue import METRICS as METRICS
from pipeline.evaluation.copies import CopyCheck, Nearest, check_copies
from pipeline.evaluation.diversity import diversity, uniqueness
from pipeline.evaluation.feature_distances import KidTo
from pipeline.evaluation.features import LocalFeatures
from pipeline.evaluation.memorisation import TrainingFeatures
from pipeline.evaluation.recognition import BreedClassifier

DIGITS = 6
MOST_HELD_OUT = 3_000  # measured: the floor needs no more, and each is held against all of train
_TURNED = 4_096  # pictures mirrored at once

Extract = Callable[[np.ndarray], np.ndarray]
"""uint8 N×S×S×3 pictures to float32 N×D features."""


@dataclass(frozen=True)
class Pictures:
    """Labelled pictures: uint8 N×S×S×3 and N labels."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def some(self, most: int, seed: int) -> Pictures:
        """At most so many of them, at random by ``seed``, in their order."""
        if len(self) <= most:
            return self
        rows = np.sort(np.random.default_rng(seed).permutation(len(self))[:most])
        return Pictures(self.images[rows], self.labels[rows])


class Costs:
    """Seconds spent, by name. ``on_part`` hears each name when its work begins."""

    def __init__(self, on_part: Callable[[str], object] | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self.on_part = on_part

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Add the time of the block to ``name``."""
        if self.on_part:
            self.on_part(name)
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Evaluation:
    """The figures (NaN where a side has too few pictures), and what the pictures need."""

    figures: dict[str, float]
    accuracy_by_breed: dict[str, float]
    copies: CopyCheck
    confusion: np.ndarray  # int64 C×C: samples by asked breed (row) and recognised breed (column)
    by_features: Nearest  # the training picture nearest to each sample in the local features
    seconds: dict[str, float] = field(default_factory=dict)  # by metric, held-out included

    def to_json(self) -> dict[str, object]:
        """For metrics.json: 6 significant digits; figures that do not exist (NaN) are left out."""
        return {
            **rounded(self.figures),
            "accuracy_by_breed": rounded(self.accuracy_by_breed),
        }


def evaluate(
    samples: Pictures,
    train: Pictures,
    held_out: Pictures,
    classes: list[str],
    seed: int = 0,
    features: LocalFeatures | None = None,
    others: Mapping[str, Extract] | None = None,
    on_part: Callable[[str], object] | None = None,
) -> Evaluation:
    """Measure ``samples`` against ``train``, and ``held_out`` the same way, the same by seed.

    Args:
        features: the frozen net; by default it is trained on ``train`` first.
        others: adds the metrics on the features of these nets, by what ends the metrics' names:
            nothing for Inception.
        on_part: is told what is measured next.
    """
    costs = Costs(on_part)
    held_out = held_out.some(MOST_HELD_OUT, seed)
    with costs.of("breed_accuracy"):
        classifier = BreedClassifier.fit(train.images, train.labels, len(classes), seed)
        named = classifier.labels(samples.images)
    with costs.of("feature net"):
        local = features or LocalFeatures.fit(train.images, train.labels, len(classes))
    sets = {"": samples} | ({FLOOR: held_out} if len(held_out) >= 2 else {})
    checks: dict[str, CopyCheck] = {}
    figures: dict[str, float] = {}
    for suffix, pictures in sets.items():
        with costs.of("copies"):
            checks[suffix] = check_copies(pictures.images, train.images)
        found = _on_pictures(pictures, train, seed, costs)
        found["copies"] = checks[suffix].share
        with costs.of("breed_accuracy"):
            found["breed_accuracy"] = classifier.accuracy(pictures.images, pictures.labels)
        figures |= {f"{name}{suffix}": value for name, value in found.items()}
    on_local, by_features = _on_features(local, LOCAL, sets, train, seed, costs)
    figures |= on_local
    for kind, extract in (others or {}).items():
        figures |= _on_features(extract, kind, sets, train, seed, costs)[0]
    figures |= {"n_samples": len(samples), "n_train": len(train), "n_held_out": len(held_out)}
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (samples.labels, named), 1)
    accuracy = {
        classes[label]: float(confusion[label, label] / confusion[label].sum())
        for label in np.unique(samples.labels)
    }
    return Evaluation(figures, accuracy, checks[""], confusion, by_features, costs.seconds)


def _on_pictures(pictures: Pictures, train: Pictures, seed: int, costs: Costs) -> dict[str, float]:
    sides = (pictures.images, pictures.labels, train.images, train.labels)
    found = {}
    for name, function in distances.DISTANCES.items():
        with costs.of(name):
            found[name] = function(pictures.images, train.images, seed)
    with costs.of("diversity"):
        found["diversity"] = diversity(*sides)
    with costs.of("uniqueness"):
        found["uniqueness"] = uniqueness(*sides, seed)
    return found


def _on_features(
    extract: Extract,
    kind: str,
    sets: dict[str, Pictures],
    train: Pictures,
    seed: int,
    costs: Costs,
) -> tuple[dict[str, float], Nearest]:
    """The metrics on one net's features, for samples and held-out pictures alike.

    ``kind`` ends their names. Also the nearest training pictures of the samples.
    """
    with costs.of(f"features{kind}"):
        known = TrainingFeatures(extract(train.images), _of_mirrored(extract, train.images))
        vectors = {suffix: extract(pictures.images) for suffix, pictures in sets.items()}
    count = min(len(known.plain), *map(len, vectors.values()))
    figures: dict[str, float] = {}
    with costs.of(f"kid{kind}"):
        to_train = KidTo(known.plain, seed)
    for suffix, fake in vectors.items():
        found = _distances(fake, to_train, count, kind, costs)
        figures |= {f"{name}{kind}{suffix}": value for name, value in found.items()}
    with costs.of(f"memorisation{kind}"):
        nearest = {suffix: known.nearest(fake) for suffix, fake in vectors.items()}
        asked = np.unique(np.concatenate([one.index for one in nearest.values()]))
        own = known.own_distances(asked)
        for suffix, fake in vectors.items():
            figures[f"authpct{kind}{suffix}"] = memorisation.authpct(nearest[suffix], own)
            figures[f"cosine{kind}{suffix}"] = cosine = known.cosine(fake)
            if f"fid{suffix}" in figures and not kind:
                fid = figures[f"fid{suffix}"]
                figures[f"mifid{suffix}"] = fid * memorisation.mifid_factor(cosine)
        if FLOOR in nearest:
            real = nearest[FLOOR].distance
            figures[f"ct{kind}"] = memorisation.ct(nearest[""].distance, real)
            # The floor: one half of the held-out pictures against the other.
            figures[f"ct{kind}{FLOOR}"] = memorisation.ct(real[::2], real[1::2])
    return figures, nearest[""]


def _of_mirrored(extract: Extract, images: np.ndarray) -> np.ndarray:
    """Features of the mirror images, of which only some exist at a time."""
    starts = range(0, len(images), _TURNED)
    parts = (np.ascontiguousarray(images[k : k + _TURNED, :, ::-1]) for k in starts)
    return np.concatenate([extract(part) for part in parts])


def _distances(
    fake: np.ndarray, to_train: KidTo, count: int, kind: str, costs: Costs
) -> dict[str, float]:
    real, seed = to_train.real, to_train.seed
    found = {}
    if kind != LOCAL:
        with costs.of(f"fid{kind}"):
            found["fd" if kind else "fid"] = feature_distances.frechet(fake, real)
    with costs.of(f"kid{kind}"):
        found["kid"] = to_train(fake)
    with costs.of(f"mind{kind}"):
        found["mind"] = feature_distances.mind(fake, real, seed)
    with costs.of(f"neighbourhoods{kind}"):
        found |= feature_distances.neighbourhoods(fake, real, count, seed)
    return found


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """Six significant digits: what is below is the order in which a machine adds."""
    return {
        name: value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")
        for name, value in figures.items()
        if not math.isnan(value)
    }
