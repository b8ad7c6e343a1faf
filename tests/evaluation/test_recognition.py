from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline.evaluation import recognition
from pipeline.evaluation.recognition import BreedClassifier


@pytest.fixture(scope="module")
def classifier(train) -> BreedClassifier:
    return BreedClassifier.fit(train.images, train.labels, 4)


def test_it_knows_fresh_pictures_of_breeds_that_differ(classifier, fresh):
    assert classifier.accuracy(fresh.images, fresh.labels) > 0.95


def test_samples_of_the_wrong_breed_are_not_recognised(classifier, fresh):
    assert classifier.accuracy(fresh.images, (fresh.labels + 1) % 4) < 0.05


def test_noise_is_recognised_by_chance_only(classifier):
    noise = np.random.default_rng(0).integers(0, 256, (80, 64, 64, 3), dtype=np.uint8)
    assert classifier.accuracy(noise, np.arange(80) % 4) < 0.5


def test_a_mirror_image_is_the_same_breed(classifier, fresh):
    mirror = np.ascontiguousarray(fresh.images[:, :, ::-1])
    assert (classifier.labels(mirror) == classifier.labels(fresh.images)).mean() > 0.9


def test_equal_data_gives_an_equal_classifier(classifier, train, fresh):
    again = BreedClassifier.fit(train.images, train.labels, 4)
    assert (again.labels(fresh.images) == classifier.labels(fresh.images)).all()


def test_rare_breeds_count_as_much(train, fresh):
    chosen = np.flatnonzero((train.labels != 3) | (np.arange(240) < 40))  # breed 3: 10 of 60
    small = train.only(chosen)
    fitted = BreedClassifier.fit(small.images, small.labels, 4)
    rare = fresh.labels == 3
    assert fitted.accuracy(fresh.images[rare], fresh.labels[rare]) > 0.8


@pytest.mark.parametrize("side", [16, 24, 64])
def test_any_size_and_a_breed_without_pictures_work(side: int):
    images = np.random.default_rng(0).integers(0, 256, (12, side, side, 3), dtype=np.uint8)
    images[::2] //= 4
    fitted = BreedClassifier.fit(images, np.arange(12) % 2, 3)
    assert fitted.accuracy(images, np.arange(12) % 2) == 1


def test_of_very_many_pictures_a_part_is_enough(train, fresh, monkeypatch):
    monkeypatch.setattr("pipeline.evaluation.recognition.MOST", 100)
    fitted = BreedClassifier.fit(train.images, train.labels, 4)
    assert fitted.accuracy(fresh.images, fresh.labels) > 0.9


def test_the_convolution_equals_filters_on_normalised_patches():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 32, 32, generator=generator)
    filters = torch.randn(5, 3 * recognition.PATCH**2, generator=generator)
    columns = F.unfold(images, recognition.PATCH, stride=recognition.STRIDE).transpose(1, 2)
    plain = (recognition._normalise(columns) @ filters.T).transpose(1, 2)
    assert torch.allclose(recognition._responses(images, filters).flatten(2), plain, atol=1e-4)
