"""The feature net: a function of its pictures, and kept as such."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.evaluation import features
from pipeline.evaluation.features import DIMENSIONS, LocalFeatures, cached_features


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "STEPS", (12, 12))


@pytest.fixture(scope="module")
def shown(train) -> tuple[np.ndarray, np.ndarray, int]:
    return train.images[:80], train.labels[:80], 4


def test_equal_pictures_give_equal_weights_with_any_number_of_threads(shown):
    before, state = torch.get_num_threads(), torch.get_rng_state()
    first = LocalFeatures.fit(*shown)
    torch.set_num_threads(2 if before == 1 else 1)
    again = LocalFeatures.fit(*shown)
    torch.set_num_threads(before)
    assert first.digest == again.digest
    assert (first(shown[0]) == again(shown[0])).all()
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's draws have changed
    assert LocalFeatures.fit(*shown, seed=1).digest != first.digest


def test_features_of_the_training_pictures_have_mean_0_and_spread_1(shown):
    found = LocalFeatures.fit(*shown)(shown[0])
    assert found.shape == (80, DIMENSIONS) and found.dtype == np.float32
    assert np.abs(found.mean(axis=0)).max() < 1e-3
    spread = found.std(axis=0, ddof=1)
    assert np.median(spread) == pytest.approx(1, abs=1e-2) and spread.max() < 1.01


def test_it_is_frozen_and_survives_the_file_bit_for_bit(shown):
    made = LocalFeatures.fit(*shown)
    again = LocalFeatures.from_bytes(made.to_bytes())
    assert again.digest == made.digest
    assert (again(shown[0]) == made(shown[0])).all()
    assert not any(weight.requires_grad for weight in again.net.parameters())


def test_it_is_trained_once_for_a_data_set(shown, tmp_path: Path, monkeypatch):
    first = cached_features(tmp_path, "a" * 64, *shown)
    (kept,) = tmp_path.iterdir()
    monkeypatch.setattr(LocalFeatures, "fit", None)
    assert cached_features(tmp_path, "a" * 64, *shown).digest == first.digest
    with pytest.raises(TypeError):
        cached_features(tmp_path, "b" * 64, *shown)
    monkeypatch.undo()
    monkeypatch.setattr(features, "STEPS", (12, 12))
    kept.write_bytes(kept.read_bytes()[:1000])  # damaged: made again
    assert cached_features(tmp_path, "a" * 64, *shown).digest == first.digest
    assert LocalFeatures.from_bytes(kept.read_bytes()).digest == first.digest


def test_one_class_trains_it_by_rotation_alone(shown):
    images, labels, _ = shown
    one = LocalFeatures.fit(images, np.zeros_like(labels), 1)
    assert np.isfinite(one(images)).all()
    assert one.digest != LocalFeatures.fit(*shown).digest


@pytest.mark.parametrize("side", [16, 24, 64, 128])
def test_any_size_works(side: int):
    images = np.random.default_rng(0).integers(0, 256, (6, side, side, 3), dtype=np.uint8)
    found = LocalFeatures.fit(images, np.arange(6) % 2, 2)(images)
    assert found.shape == (6, DIMENSIONS) and np.isfinite(found).all()
    assert LocalFeatures.fit(images, np.arange(6) % 2, 2)(images[:0]).shape == (0, DIMENSIONS)


def test_a_batch_holds_each_quarter_turn_of_a_quarter_of_its_pictures():
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    turned = features._turned(images, np.array([False, True] * 4))
    upright = features._prepared(images)
    assert torch.equal(turned[0], upright[0]) and torch.equal(turned[1], upright[1].flip(2))
    for k in range(4):
        assert torch.equal(turned[2 * k], upright[2 * k].rot90(k, (1, 2)))
