from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from pipeline.evaluation import distances as module
from pipeline.evaluation.distances import (
    DISTANCES,
    debiased,
    distances,
    laplacian_pyramid,
    opponent_pixels,
    patches,
    radial_power,
    shrink,
    wasserstein,
)

NAMES = tuple(DISTANCES)


def rising(values: Sequence[float]) -> bool:
    return all(a < b for a, b in pairwise(values))


# --------------------------------------------------------------------------- one dimension


def test_a_shift_costs_its_square_and_a_stretch_its_closed_form():
    x = np.random.default_rng(0).standard_normal((500, 2))
    assert wasserstein(x, x + np.array([3.0, 0.5])) == pytest.approx([9.0, 0.25])
    q = np.sort(x[:, :1], axis=0)
    assert wasserstein(x[:, :1], 2 * x[:, :1]) == pytest.approx(np.square(q).mean(axis=0))


def test_unequal_counts_are_exact_as_if_each_side_were_repeated_to_a_common_count():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((6, 3)), rng.standard_normal((4, 3))
    assert wasserstein(a, b) == pytest.approx(wasserstein(a.repeat(2, 0), b.repeat(3, 0)))
    assert wasserstein(np.array([[0.0], [1.0]]), np.array([[0.0]])) == pytest.approx([0.5])


def test_wasserstein_is_symmetric_and_blind_to_order():
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((50, 2)), rng.standard_normal((31, 2))
    assert wasserstein(a, b) == pytest.approx(wasserstein(b, a))
    assert wasserstein(a[::-1], b) == pytest.approx(wasserstein(a, b))


@pytest.mark.parametrize(("n", "m"), [(40, 40), (30, 200)])
def test_debiasing_brings_equal_sources_to_zero_and_leaves_a_true_distance(n: int, m: int):
    rng = np.random.default_rng(3)
    raw, fair, shifted = [], [], []
    for trial in range(60):
        a = rng.standard_normal((n, 1, 8)).astype(np.float32)
        b = rng.standard_normal((m, 1, 8)).astype(np.float32)
        raw.append(wasserstein(a[:, 0], b[:, 0]).mean())
        fair.append(debiased(a, b, trial))
        shifted.append(debiased(a + 1, b, trial))
    assert np.mean(raw) > 0.05
    assert abs(np.mean(fair)) < np.mean(raw) / 5
    assert np.mean(shifted) == pytest.approx(1, abs=0.05)


def test_sets_too_small_to_halve_are_compared_whole():
    a, b = np.zeros((2, 1, 1), np.float32), np.ones((3, 1, 1), np.float32)
    assert debiased(a, b) == pytest.approx(1)


# --------------------------------------------------------------------------- descriptors


def test_the_pyramid_adds_up_to_the_picture(train):
    images = train.images[:5]
    fine, middle, coarse = (
        module.torch.from_numpy(level).permute(0, 3, 1, 2) for level in laplacian_pyramid(images)
    )
    again = fine + module._expand(middle + module._expand(coarse))
    pixels = (again.permute(0, 2, 3, 1).numpy() + 1) * 127.5
    assert np.abs(pixels - images).max() < 1e-3
    assert [fine.shape[-1], middle.shape[-1], coarse.shape[-1]] == [64, 32, 16]


@pytest.mark.parametrize(("side", "levels"), [(16, [16]), (32, [32, 16]), (24, [24]), (8, [8])])
def test_small_and_odd_sizes_have_the_levels_they_can(side: int, levels: list[int]):
    images = np.zeros((2, side, side, 3), np.uint8)
    assert [level.shape[1] for level in laplacian_pyramid(images)] == levels


def test_patches_are_squares_of_the_picture():
    side = 16  # one level: the picture itself
    ramp = np.arange(side * side).reshape(1, side, side, 1).repeat(3, axis=3)
    cut = (patches(ramp.astype(np.uint8))[0][0, :, :, :, 0] + 1) * 127.5
    corner = cut[:, :1, :1]
    inside = np.arange(7)[:, None] * side + np.arange(7)
    assert np.allclose(np.mod(cut - corner, 256), np.mod(inside, 256), atol=1e-2)
    assert len(np.unique(corner)) > 30


@pytest.mark.parametrize("frequency", [2, 9, 20])
def test_a_grating_has_its_power_at_its_frequency(frequency: int):
    wave = np.sin(2 * np.pi * frequency * np.arange(64) / 64)
    image = (127.5 + 100 * wave)[None, :, None].repeat(64, axis=0).repeat(3, axis=2)
    power = radial_power(np.rint(image)[None].astype(np.uint8))[0, 0]
    assert power.argmax() + 1 == frequency


def test_a_flat_picture_has_the_power_of_rounding_and_no_less():
    flat = np.full((1, 64, 64, 3), 90, np.uint8)
    floor = 10 * np.log10(1 / 255**2 / 12)
    assert radial_power(flat) == pytest.approx(floor, abs=0.01)


def test_grey_pictures_have_no_colour_and_the_axes_are_opponent():
    grey = np.full((1, 32, 32, 3), 51, np.uint8)
    assert opponent_pixels(grey)[0] == pytest.approx(np.array([[0.2, 0, 0]] * 256), abs=1e-6)
    red = np.zeros((1, 32, 32, 3), np.uint8)
    red[..., 0] = 255
    assert opponent_pixels(red)[0, 0] == pytest.approx([1 / 3, 0.5, 0.25], abs=1e-6)


def test_shrinking_averages_whole_boxes():
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1).repeat(3, axis=3)
    assert shrink(image, 2)[0, :, :, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert shrink(image, 8).shape == (1, 4, 4, 3)


# --------------------------------------------------------------------------- on pictures


def test_a_set_is_at_distance_zero_from_itself(train):
    assert distances(train.images, train.images) == dict.fromkeys(NAMES, 0.0)


def test_equal_seeds_give_equal_values_and_nothing_global_is_touched(train, fresh):
    state = np.random.get_state()[1].copy()
    first = distances(fresh.images, train.images, seed=5)
    assert distances(fresh.images, train.images, seed=5) == first
    assert distances(fresh.images, train.images, seed=6) != first
    assert (np.random.get_state()[1] == state).all()


@pytest.mark.parametrize("count", [30, 60, 120])
def test_fresh_pictures_of_the_same_source_are_near_zero_at_any_count(train, fresh, damage, count):
    floor = distances(fresh.images[:count], train.images)
    spoiled = distances(damage["blur"](fresh.images[:count], 1.5), train.images)
    assert abs(floor["swd"]) < spoiled["swd"] / 10
    assert abs(floor["spectrum"]) < spoiled["spectrum"] / 10
    tinted = fresh.images[:count] // 2
    assert abs(floor["colour"]) < distances(tinted, train.images)["colour"] / 10


@pytest.mark.parametrize("name", ["swd", "spectrum"])
def test_more_noise_is_farther(train, fresh, damage, name: str):
    function = DISTANCES[name]
    values = [
        function(damage["noise"](fresh.images, s), train.images, 0) for s in (0, 10, 20, 40, 80)
    ]
    assert rising(values), values


@pytest.mark.parametrize("name", ["swd", "spectrum"])
def test_more_blur_is_farther(train, fresh, damage, name: str):
    function = DISTANCES[name]
    values = [
        function(damage["blur"](fresh.images, s), train.images, 0) for s in (0.01, 0.5, 1, 2, 4)
    ]
    assert rising(values), values


def test_a_stronger_cast_is_farther_in_colour_alone(train, fresh):
    values = []
    for gain in (1.0, 0.9, 0.75, 0.5):
        cast = fresh.images.copy()
        cast[..., 2] = np.rint(cast[..., 2] * gain)
        values.append(DISTANCES["colour"](cast, train.images, 0))
    assert rising(values), values
    assert DISTANCES["spectrum"](cast, train.images, 0) < 1  # blue is a ninth of the brightness


@pytest.mark.parametrize("name", NAMES)
def test_more_missing_classes_are_farther(train, fresh, name: str):
    values = [
        DISTANCES[name](fresh.images[fresh.labels < kept], train.images, 0) for kept in (4, 2, 1)
    ]
    assert rising(values), values


@pytest.mark.parametrize("name", NAMES)
def test_fewer_modes_are_farther(train, fresh, damage, name: str):
    values = [
        DISTANCES[name](damage["collapse"](fresh.images, modes), train.images, 0)
        for modes in (120, 12, 3, 1)
    ]
    assert rising(values), values


@pytest.mark.parametrize("name", NAMES)
def test_of_very_many_pictures_some_are_compared(train, fresh, monkeypatch, name: str):
    whole = DISTANCES[name](fresh.images, train.images, 0)
    monkeypatch.setattr(module, "MOST", 100)
    cut = DISTANCES[name](fresh.images, train.images, 0)
    some = module.some(train.images, 0)
    assert len(some) == 100 and cut != whole
    assert cut == DISTANCES[name](module.some(fresh.images, 0), some, 0)
    assert DISTANCES[name](train.images, train.images, 0) == 0
