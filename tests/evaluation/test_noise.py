"""The standard error of a figure, against the one that is known."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.features import LocalFeatures
from pipeline.evaluation.metrics import Pictures, evaluate
from pipeline.evaluation.noise import MEASURED, half_of, measure_of, standard_error


def pictures(count: int, seed: int, spread: int = 40) -> Pictures:
    """Flat pictures whose grey levels are normal, of two breeds."""
    grey = np.random.default_rng(seed).normal(128, spread, (count, 1, 1, 1)).clip(0, 255)
    images = np.broadcast_to(grey, (count, 16, 16, 3)).astype(np.uint8)
    return Pictures(images, np.arange(count) % 2)


def mean(some: Pictures) -> float:
    return float(some.images.mean())


@pytest.mark.parametrize("count", [40, 200])
def test_the_error_of_a_mean_is_its_textbook_one(count: int) -> None:
    samples = pictures(count, 1)
    own = [samples.images[samples.labels == label, 0, 0, 0].std(ddof=1) for label in (0, 1)]
    known = np.sqrt(np.square(own).mean() / count)
    assert standard_error(mean, samples, repeats=600) == pytest.approx(known, rel=0.12)


def test_the_error_of_a_distance_is_how_it_scatters_over_new_samples() -> None:
    """Half-samples of one set against fresh sets of the same source."""
    train = pictures(40, 99)
    measure = measure_of("colour", train, 2, 0)
    fresh = np.std([measure(pictures(40, seed)) for seed in range(24)], ddof=1)
    guessed = [standard_error(measure, pictures(40, seed)) for seed in range(3)]
    assert 0.5 < np.mean(guessed) / fresh < 2


def test_it_is_a_function_of_its_seed_and_halves_keep_the_mixture() -> None:
    samples = pictures(41, 3)
    assert standard_error(mean, samples, seed=4) == standard_error(mean, samples, seed=4)
    for seed in range(5):
        rows = half_of(samples.labels, np.random.default_rng(seed))
        assert len(set(rows)) == len(rows)
        assert abs((samples.labels[rows] == 0).sum() - 10.5) < 1


def test_every_figure_has_one() -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (24, 16, 16, 3), dtype=np.uint8)
    train, samples = (Pictures(images[k::2], np.arange(12) % 2) for k in (0, 1))
    for name in MEASURED:
        measure = measure_of(name, train, 2, 0, lambda x: x.reshape(len(x), -1).astype(np.float32))
        assert standard_error(measure, samples, repeats=3) >= 0
    with pytest.raises(ValueError, match="no figure 'fid'; there are swd"):
        measure_of("fid", train, 2, 0)


def test_a_figure_measured_alone_is_that_of_the_evaluation() -> None:
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (48, 16, 16, 3), dtype=np.uint8)
    train, samples = (Pictures(images[k::2], np.arange(24) % 2) for k in (0, 1))
    features = LocalFeatures.fit(train.images, train.labels, 2)
    figures = evaluate(samples, train, samples, ["a", "b"], 0, features).figures
    for name in MEASURED:
        alone = measure_of(name, train, 2, 0, features)(samples)
        assert alone == pytest.approx(figures[name], rel=1e-5), name
