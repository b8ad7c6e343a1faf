"""All figures of an evaluation in one call, and what each of them means.

Every metric ``x`` comes with ``x_held_out``: the same measured on held-out real pictures in place
of samples. That is the best a generator can be expected to reach; a value alone says little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation import copies
from pipeline.evaluation.copies import CopyCheck, check_copies
from pipeline.evaluation.distances import distances
from pipeline.evaluation.diversity import diversity, uniqueness
from pipeline.evaluation.recognition import BreedClassifier

DIGITS = 6
FLOOR = "_held_out"


@dataclass(frozen=True)
class Metric:
    """What a reader needs to judge a figure."""

    name: str
    title: str
    better: str  # "lower", "higher" or "near 1"
    meaning: str


METRICS = (
    Metric(
        "swd",
        "Texture and shape",
        "lower",
        "Sliced Wasserstein distance between small patches of samples and of training pictures, "
        "at three scales. Noise, blur and broken shapes raise it.",
    ),
    Metric(
        "spectrum",
        "Sharpness",
        "lower",
        "Distance between the power spectra, in squared decibels: samples that are too smooth, "
        "too noisy or show a checkerboard raise it.",
    ),
    Metric(
        "colour",
        "Colour",
        "lower",
        "Distance between the distributions of colour and light, in thousandths of squared "
        "intensity. A cast, washed-out coats or too much contrast raise it.",
    ),
    Metric(
        "breed_accuracy",
        "Right breed",
        "higher",
        "Share of pictures in which a small classifier, trained on the training pictures only, "
        "recognises the asked breed.",
    ),
    Metric(
        "diversity",
        "Diversity",
        "near 1",
        "How much two samples of a breed differ, relative to two training pictures of it. Far "
        "below 1 the generator repeats itself.",
    ),
    Metric(
        "uniqueness",
        "No repeats",
        "near 1",
        "Distance from a sample to the most similar other sample of its breed, relative to "
        "training pictures. Near 0 the generator has a few pictures it always draws.",
    ),
    Metric(
        "copies",
        "Copies",
        "lower",
        f"Share of pictures that look like a training picture, mirrored or not: its pixels are at "
        f"most {copies.RATIO:g} times as far as those of the {copies.NEIGHBOURS} nearest on "
        f"average, or it is nearest and differs in at most {copies.HASH_BITS} of 64 bits of the "
        "perceptual hash.",
    ),
)


@dataclass(frozen=True)
class Pictures:
    """Labelled pictures: uint8 N×S×S×3 and N labels."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Evaluation:
    """The figures (NaN where a side has too few pictures), and what the pictures need."""

    figures: dict[str, float]
    accuracy_by_breed: dict[str, float]
    copies: CopyCheck

    def to_json(self) -> dict[str, object]:
        """For metrics.json: 6 significant digits; figures that do not exist (NaN) are left out."""
        return {
            **rounded(self.figures),
            "accuracy_by_breed": rounded(self.accuracy_by_breed),
        }


def evaluate(
    samples: Pictures, train: Pictures, held_out: Pictures, classes: list[str], seed: int = 0
) -> Evaluation:
    """Measure ``samples`` against ``train``, and ``held_out`` the same way, the same by seed."""
    classifier = BreedClassifier.fit(train.images, train.labels, len(classes), seed)
    named = classifier.labels(samples.images)
    check = check_copies(samples.images, train.images)
    figures = _compare(samples, train, classifier, check, seed)
    if len(held_out) >= 2:
        floor_check = check_copies(held_out.images, train.images)
        floor = _compare(held_out, train, classifier, floor_check, seed)
        figures |= {f"{name}{FLOOR}": value for name, value in floor.items()}
    figures |= {"n_samples": len(samples), "n_train": len(train), "n_held_out": len(held_out)}
    return Evaluation(
        figures,
        {
            classes[label]: float(np.mean(named[samples.labels == label] == label))
            for label in np.unique(samples.labels)
        },
        check,
    )


def _compare(
    pictures: Pictures,
    train: Pictures,
    classifier: BreedClassifier,
    check: CopyCheck,
    seed: int,
) -> dict[str, float]:
    sides = (pictures.images, pictures.labels, train.images, train.labels)
    return {
        **distances(pictures.images, train.images, seed),
        "breed_accuracy": classifier.accuracy(pictures.images, pictures.labels),
        "diversity": diversity(*sides),
        "uniqueness": uniqueness(*sides, seed),
        "copies": check.share,
    }


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """Six significant digits: what is below is the order in which a machine adds."""
    return {
        name: value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")
        for name, value in figures.items()
        if not math.isnan(value)
    }
