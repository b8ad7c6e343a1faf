"""Schedules against their closed forms and the figures of the papers."""

import math

import pytest
import torch

from pipeline.diffusion.schedules import (
    GRIDS,
    MAX_SIGMA,
    cosine,
    karras,
    linear,
    make_schedule,
    sigmoid,
)


def test_linear_is_the_product_of_the_papers_betas():
    expected = 1.0
    alpha_bar = linear(1000).alpha_bar
    for t in range(1000):
        beta = 1e-4 + (0.02 - 1e-4) * t / 999
        expected *= 1 - beta
        assert alpha_bar[t].item() == pytest.approx(expected, rel=1e-9)
    assert expected == pytest.approx(4.036e-5, rel=1e-3)


def test_cosine_is_cos_squared_until_the_clip():
    alpha_bar = cosine(1000).alpha_bar

    def f(t: int) -> float:
        return math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    for t in (1, 10, 500, 900):
        assert alpha_bar[t - 1].item() == pytest.approx(f(t) / f(0), rel=1e-9)
    assert alpha_bar[499].item() == pytest.approx(0.492, abs=2e-3)


@pytest.mark.parametrize("name", ["linear", "cosine", "sigmoid", "karras"])
@pytest.mark.parametrize("timesteps", [50, 300, 1000, 4000])
def test_little_of_the_picture_is_left_at_the_end_for_any_length(name, timesteps):
    assert make_schedule(name, timesteps).terminal_signal < 0.02


def test_unscaled_betas_of_a_short_process_leave_a_gap_and_warn():
    """Seed 000: T = 300 with the betas of T = 1000. Seed 001: T = 500."""
    gap = linear(300, rescale=False)
    assert gap.terminal_signal == pytest.approx(0.219, abs=1e-3)
    assert "0.22" in gap.warning()
    assert linear(500, rescale=False).terminal_signal == pytest.approx(0.080, abs=1e-3)
    for name in ("linear", "cosine", "sigmoid", "karras"):
        assert make_schedule(name, 300).warning() is None


def test_sigmoid_is_its_logistic_curve_until_the_clip():
    def f(t: int) -> float:
        low, high = (1 / (1 + math.exp(-u)) for u in (-3.0, 3.0))
        return (high - 1 / (1 + math.exp(-(t / 1000 * 6 - 3)))) / (high - low)

    alpha_bar = sigmoid(1000).alpha_bar
    for t in (1, 100, 500, 900):
        assert alpha_bar[t - 1].item() == pytest.approx(f(t), rel=1e-9)
    assert alpha_bar[499].item() == pytest.approx(0.5, abs=1e-9)


def test_karras_levels_are_the_papers():
    """sigma_i = (80^(1/7) + i / (N - 1) (0.002^(1/7) - 80^(1/7)))^7, Karras et al. 2022, eq. 5."""
    levels = karras(1000).levels(18, "karras")
    top, bottom = 80 ** (1 / 7), 0.002 ** (1 / 7)
    expected = [(top + i / 17 * (bottom - top)) ** 7 for i in range(18)]
    torch.testing.assert_close(levels[:-1], torch.tensor(expected, dtype=torch.float64))


def test_logsnr_levels_are_even_in_log_sigma():
    steps = karras(1000).levels(20, "logsnr")[:-1].log().diff()
    torch.testing.assert_close(steps, steps.mean().expand(19))


@pytest.mark.parametrize("name", ["linear", "cosine", "sigmoid"])
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("steps", [1, 3, 18, 30, 999, 1000, 5000])
def test_levels_fall_to_zero_and_each_was_trained_on(name, grid, steps):
    schedule = make_schedule(name, 1000)
    levels = schedule.levels(steps, grid)
    assert levels[-1] == 0
    assert (levels.diff() < 0).all()
    assert len(levels) - 1 <= min(steps, 1000)
    assert set(levels[:-1].tolist()) <= set(schedule.sigmas.tolist())


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("steps", [1, 7, 2000])
def test_a_continuous_process_gives_any_number_of_levels(grid, steps):
    levels = karras(100).levels(steps, grid)
    assert len(levels) == steps + 1
    assert levels[0].item() == pytest.approx(80)
    assert levels[-1] == 0


def test_timestep_levels_are_all_of_them_at_full_length():
    schedule = linear(300)
    levels = schedule.levels(300)
    torch.testing.assert_close(levels[:-1].flip(0), schedule.sigmas, rtol=0, atol=0)


@pytest.mark.parametrize("steps", [25, 30])
def test_few_timestep_levels_start_from_the_noisiest(steps):
    """Seed 002 asked for a negative timestep when T is no multiple of the steps."""
    schedule = linear(500)
    levels = schedule.levels(steps)
    assert levels[0] == schedule.sigmas[-1]
    assert len(levels) == steps + 1


def test_the_table_of_levels_is_copied_to_a_device_once():
    """Seeds 001 and 004 looked it up on the CPU in each step, and waited for the copy."""
    schedule, elsewhere = linear(100), torch.device("meta")
    assert schedule._log_sigmas(elsewhere) is schedule._log_sigmas(elsewhere)
    assert schedule._log_sigmas(elsewhere).device == elsewhere


def test_karras_levels_start_below_the_useful_maximum():
    assert cosine(1000).levels(18, "karras")[0] <= MAX_SIGMA * 1.1


def test_index_finds_every_trained_level_and_the_nearest_between():
    schedule = cosine(1000)
    torch.testing.assert_close(schedule.index(schedule.sigmas), torch.arange(1000))
    between = (schedule.sigmas[500] ** 0.6) * (schedule.sigmas[501] ** 0.4)
    assert schedule.index(between) == 500
    assert schedule.index(torch.tensor(1e-9)) == 0
    assert schedule.index(torch.tensor(1e9)) == 999
