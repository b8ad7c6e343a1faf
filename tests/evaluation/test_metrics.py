from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.evaluation import metrics
from pipeline.evaluation.features import LocalFeatures
from pipeline.evaluation.metrics import FLOOR, METRICS, Evaluation, Pictures, evaluate, rounded

CLASSES = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def parts(train, fresh) -> dict[str, Pictures]:
    return {
        "train": Pictures(train.images[:200], train.labels[:200]),
        "held_out": Pictures(train.images[200:], train.labels[200:]),
        "fresh": Pictures(fresh.images, fresh.labels),
    }


@pytest.fixture(scope="module")
def local(parts) -> LocalFeatures:
    return LocalFeatures.fit(parts["train"].images, parts["train"].labels, len(CLASSES))


@pytest.fixture(scope="module")
def measure(parts, local):
    """Samples to figures, with one feature net for all."""

    def call(samples: Pictures, held_out: Pictures = parts["held_out"]) -> Evaluation:
        return evaluate(samples, parts["train"], held_out, CLASSES, features=local)

    return call


@pytest.fixture(scope="module")
def good(parts, measure) -> Evaluation:
    return measure(parts["fresh"])


def test_every_metric_comes_with_the_same_of_held_out_pictures_and_with_counts(good):
    for metric in METRICS:
        assert (metric.name in good.figures) is not metric.weights
        assert (metric.name + FLOOR in good.figures) is not metric.weights
    counts = {name: good.figures[f"n_{name}"] for name in ("samples", "train", "held_out")}
    assert counts == {"samples": 120, "train": 200, "held_out": 40}


def test_each_part_is_told_before_its_cost_is_known(parts, local):
    sides = parts["fresh"], parts["train"], parts["held_out"]
    told: list[str] = []
    found = evaluate(*sides, CLASSES, features=local, on_part=told.append)
    assert list(dict.fromkeys(told)) == list(found.seconds)


def test_a_perfect_generator_reaches_the_floor(good):
    figures = good.figures
    assert figures["breed_accuracy"] > 0.95
    assert figures["diversity"] == pytest.approx(1, abs=0.1)
    assert figures["copies"] == figures["copies_held_out"] == 0
    assert abs(figures["swd"]) < 0.02


def test_replaying_the_training_set_is_caught_by_every_measure_of_copying_alone(parts, measure):
    replay = Pictures(parts["train"].images[:120], parts["train"].labels[:120])
    figures = measure(replay).figures
    assert figures["copies"] == 1
    assert figures["authpct_local"] == 0
    assert figures["ct_local"] < -8
    assert figures["cosine_local"] < 1e-6
    assert abs(figures["swd"]) < 0.02  # the distances cannot see it
    assert figures["kid_local"] < 0.05 and figures["mind_local"] < 0.02


def test_held_out_pictures_are_no_copies_by_any_measure(good):
    figures = good.figures
    assert figures["copies_held_out"] == 0
    assert 30 < figures["authpct_local_held_out"] < 80
    assert abs(figures["ct_local_held_out"]) < 3 and abs(figures["ct_local"]) < 3
    assert figures["cosine_local_held_out"] > 0.05


def test_swapped_breeds_are_caught_by_accuracy_alone(parts, measure, good):
    swapped = Pictures(parts["fresh"].images, (parts["fresh"].labels + 1) % 4)
    found = measure(swapped)
    assert found.figures["breed_accuracy"] < 0.05
    assert found.figures["swd"] == good.figures["swd"]
    assert found.figures["kid_local"] == good.figures["kid_local"]
    # By the asked breed in rows: all of them lie one place beside the diagonal.
    assert np.roll(found.confusion, 1, axis=1).trace() > 0.95 * len(swapped)


def test_the_written_form_is_plain_json_with_six_digits(good):
    text = json.dumps(good.to_json(), allow_nan=False)
    assert json.loads(text)["accuracy_by_breed"].keys() == set(CLASSES)
    assert rounded({"x": 1 / 3, "n": 12345678, "none": float("nan")}) == {
        "x": 0.333333,
        "n": 12345678,
    }


def test_the_same_pictures_give_the_same_figures(parts, measure, good):
    assert measure(parts["fresh"]).to_json() == good.to_json()


def test_the_time_of_every_metric_is_known(good):
    assert {"swd", "copies", "kid_local", "mind_local", "neighbourhoods_local"} <= set(good.seconds)
    assert all(value >= 0 for value in good.seconds.values())


def test_the_nearest_training_picture_by_features_is_known(parts, measure):
    rows = [7, 6, 5, 4]
    replay = Pictures(parts["train"].images[rows], parts["train"].labels[rows])
    assert measure(replay).by_features.index.tolist() == rows


def test_without_held_out_pictures_there_is_no_floor_and_no_failure(parts, measure):
    nothing = Pictures(parts["train"].images[:0], parts["train"].labels[:0])
    figures = measure(parts["fresh"], nothing).figures
    assert figures["n_held_out"] == 0 and "ct_local" not in figures
    assert not any(name.endswith(FLOOR) for name in figures if not name.startswith("n_"))


def test_of_many_held_out_pictures_the_same_few_are_measured(parts, measure, monkeypatch):
    held_out = parts["held_out"]
    monkeypatch.setattr(metrics, "MOST_HELD_OUT", 30)
    cut = measure(parts["fresh"]).figures
    by_hand = measure(parts["fresh"], held_out.some(30, 0)).figures
    assert cut["n_held_out"] == 30 and cut == by_hand
    rows = [
        int((held_out.images == one).all(axis=(1, 2, 3)).argmax())
        for one in held_out.some(30, 0).images
    ]
    assert rows == sorted(set(rows)) and len(held_out.some(40, 0)) == 40


def test_mirror_images_have_the_same_features_however_many_are_made_at_once(parts, monkeypatch):
    images = parts["train"].images[:50]
    monkeypatch.setattr(metrics, "_TURNED", 7)
    by_parts = metrics._of_mirrored(lambda some: some.reshape(len(some), -1), images)
    assert (by_parts == images[:, :, ::-1].reshape(50, -1)).all()


def test_nothing_here_calls_itself_fid():
    assert not any("fid" in metric.name.lower() for metric in METRICS if not metric.weights)
