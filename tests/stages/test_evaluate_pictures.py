"""The pictures drawn for the result page begin from the noise of the samples beside them."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_evaluate import CLASSES, make_dataset, make_model, params

from pipeline.dataset.dataset import Dataset
from pipeline.evaluation.plan import Plan, plan_samples
from pipeline.evaluation.preparation import how_of
from pipeline.model import Model, load_model
from pipeline.report import pictures

HOW = how_of(params().evaluate)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    make_model(tmp_path)
    return load_model(tmp_path, "cpu")


@pytest.fixture
def plan() -> Plan:
    return plan_samples(np.array([12, 12]), 8, 3, 0)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sheets that are the pictures on them."""
    monkeypatch.setattr(pictures, "sample_grid", lambda images, *_, **__: images)
    monkeypatch.setattr(pictures, "captioned_strip", lambda frame, *_, **__: frame)


def samples(model: Model, plan: Plan, label: int) -> np.ndarray:
    mine = plan.labels == label
    seeds = [seed for seed, own in zip(plan.seeds, mine, strict=True) if own]
    return model.sample(torch.from_numpy(plan.labels[mine]), seeds, HOW)


def close(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal but for the order in which a batch of another size adds."""
    return bool(np.abs(one.astype(int) - other).max() <= 1)


def test_the_sweep_passes_through_the_samples_and_changes_guidance_alone(
    model: Model, plan: Plan, bare: None
):
    shown = pictures.strengths(HOW.guidance)
    assert shown == [1, 1.5, 2, 3, 5] and pictures.strengths(2.5) == [1, 1.5, 2, 2.5, 3, 5]
    swept = pictures.sweep(model, plan, HOW, 3, 1).reshape(len(CLASSES), len(shown), 16, 16, 3)
    for label in range(len(CLASSES)):
        first = samples(model, plan, label)[0]
        assert close(swept[label, shown.index(HOW.guidance)], first)
        assert not close(swept[label, 0], swept[label, -1])


def test_a_model_without_a_snapshot_is_swept_by_its_labels(model: Model, plan: Plan, bare: None):
    early = dataclasses.replace(HOW, guide="early", guidance=1.0)
    assert (
        pictures.sweep(model, plan, early, 3, 1) == pictures.sweep(model, plan, HOW, 3, 1)
    ).all()


def test_the_way_between_two_ends_at_the_first_two_samples(model: Model, plan: Plan, bare: None):
    ways = pictures.interpolation(model, plan, HOW, 5, 1)
    ways = ways.reshape(len(CLASSES), pictures.PLACES, 16, 16, 3)
    for label, way in enumerate(ways):
        first, second = samples(model, plan, label)[:2]
        assert close(way[0], first) and close(way[-1], second)
        steps = [np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(way)]
        assert max(steps) < np.abs(first.astype(int) - second).mean()  # it does not jump


def test_the_film_ends_at_the_samples_and_batches_change_nothing(
    model: Model, plan: Plan, bare: None
):
    ends = np.stack([samples(model, plan, label)[0] for label in range(len(CLASSES))])
    one, two = (pictures.film(model, plan, HOW, size, 1) for size in (1, 2))
    assert len(one) == HOW.steps
    assert close(one[-1], ends) and all(map(close, one, two))


@pytest.mark.parametrize(("classes", "most"), [(1, 4), (2, 4), (6, 4), (120, 4), (3, 3)])
def test_breeds_are_spread_over_all(classes: int, most: int):
    labels = pictures.spread(classes, most)
    assert len(labels) == min(classes, most) and len(set(labels)) == len(labels)
    assert labels[0] == 0 and labels[-1] == (classes - 1 if most > 1 else 0)


def test_only_training_pictures_are_shown(tmp_path: Path, model: Model, plan: Plan):
    make_dataset(tmp_path / "data")
    dataset = Dataset.load(tmp_path / "data")
    reports = tmp_path / "reports"
    reports.mkdir()
    arguments: tuple[Any, ...] = (reports, model, dataset, plan, HOW, 3, lambda rows: 1)
    shown = pictures.write_pictures(*arguments)
    assert set(shown) <= set(dataset.train_indices) and len(shown) == 16
    assert sorted(item.name for item in reports.iterdir()) == sorted(pictures.MADE)
