from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.evaluation.metrics import FLOOR, METRICS, Evaluation, Pictures, evaluate, rounded

CLASSES = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def parts(train, fresh) -> dict[str, Pictures]:
    return {
        "train": Pictures(train.images[:200], train.labels[:200]),
        "held_out": Pictures(train.images[200:], train.labels[200:]),
        "fresh": Pictures(fresh.images, fresh.labels),
    }


def measure(parts: dict[str, Pictures], images: np.ndarray | None = None) -> Evaluation:
    samples = parts["fresh"]
    if images is not None:
        samples = Pictures(images, samples.labels)
    return evaluate(samples, parts["train"], parts["held_out"], CLASSES)


@pytest.fixture(scope="module")
def good(parts) -> Evaluation:
    return measure(parts)


def test_every_metric_comes_with_the_same_of_held_out_pictures_and_with_counts(good):
    for metric in METRICS:
        assert metric.name in good.figures
        assert metric.name + FLOOR in good.figures
    counts = {name: good.figures[f"n_{name}"] for name in ("samples", "train", "held_out")}
    assert counts == {"samples": 120, "train": 200, "held_out": 40}


def test_a_perfect_generator_reaches_the_floor(good):
    figures = good.figures
    assert figures["breed_accuracy"] > 0.95
    assert figures["diversity"] == pytest.approx(1, abs=0.1)
    assert figures["copies"] == figures["copies_held_out"] == 0
    assert abs(figures["swd"]) < 0.02


def test_replaying_the_training_set_is_caught_by_copies_alone(parts, good):
    replay = parts["train"].images[:120]
    figures = measure(parts, replay).figures
    assert figures["copies"] == 1
    assert abs(figures["swd"]) < 0.02  # the distances cannot see it


def test_swapped_breeds_are_caught_by_accuracy_alone(parts, good):
    swapped = Pictures(parts["fresh"].images, (parts["fresh"].labels + 1) % 4)
    figures = evaluate(swapped, parts["train"], parts["held_out"], CLASSES).figures
    assert figures["breed_accuracy"] < 0.05
    assert figures["swd"] == good.figures["swd"]


def test_the_written_form_is_plain_json_with_six_digits(good):
    text = json.dumps(good.to_json(), allow_nan=False)
    assert json.loads(text)["accuracy_by_breed"].keys() == set(CLASSES)
    assert rounded({"x": 1 / 3, "n": 12345678, "none": float("nan")}) == {
        "x": 0.333333,
        "n": 12345678,
    }


def test_the_same_pictures_give_the_same_figures(parts, good):
    assert measure(parts).to_json() == good.to_json()


def test_without_held_out_pictures_there_is_no_floor_and_no_failure(parts):
    nothing = Pictures(parts["train"].images[:0], parts["train"].labels[:0])
    figures = evaluate(parts["fresh"], parts["train"], nothing, CLASSES).figures
    assert figures["n_held_out"] == 0
    assert not any(name.endswith(FLOOR) for name in figures if not name.startswith("n_"))


def test_nothing_here_calls_itself_fid():
    assert not any("fid" in metric.name.lower() for metric in METRICS)
