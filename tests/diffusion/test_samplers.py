"""Samplers against models whose answer is known."""

import math

import pytest
import torch
from known_denoisers import gaussian_denoiser, ideal_denoiser

from pipeline.diffusion.samplers import (
    GRIDS,
    Between,
    ddim,
    ddpm,
    evaluations,
    from_uint8,
    noise_of_seeds,
    run_sampler,
    to_uint8,
)
from pipeline.diffusion.schedules import cosine, linear

CPU = torch.device("cpu")


@pytest.fixture
def points():
    """Five 'pictures' of 3x4x4 in [-1, 1]."""
    return torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(7)) * 2 - 1


def last(steps):
    *_, step = steps
    return step.x_sigma


def start(levels, count=6, shape=(3, 4, 4)):
    noise = noise_of_seeds(list(range(count)), shape, CPU)
    return noise(-1).double() * levels[0], lambda i: noise(i).double()


@pytest.mark.parametrize("schedule", [linear(1000), cosine(1000)], ids=["linear", "cosine"])
@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("steps", [30, 250])
def test_every_sampler_lands_on_the_data_of_the_ideal_denoiser(schedule, name, steps, points):
    levels = schedule.levels(steps, GRIDS[name])
    x, noise = start(levels)
    end = last(run_sampler(name, ideal_denoiser(points), x, levels, noise))
    nearest = torch.cdist(end.flatten(1), points.double().flatten(1)).min(dim=1).values
    assert nearest.max() < 0.02


def test_ddpm_reaches_every_point_of_the_data(points):
    levels = linear(1000).levels(100)
    x, noise = start(levels, count=60)
    end = last(ddpm(ideal_denoiser(points), x, levels, noise))
    reached = torch.cdist(end.flatten(1), points.double().flatten(1)).argmin(dim=1)
    assert set(reached.tolist()) == set(range(5))


def solver_error(solver, steps, top=20.0, bottom=0.05):
    """Distance from the closed form on Gaussian data, levels even in log sigma down to ``bottom``.

    The ODE dx/dsigma = (x - D) / sigma with the linear D has the solution
    x(s) = mean + (x(t) - mean) sqrt((std^2 + s^2) / (std^2 + t^2)).
    """
    mean, std = 0.3, 0.5
    levels = torch.logspace(math.log10(top), math.log10(bottom), steps + 1, dtype=torch.float64)
    x = torch.linspace(-1.5, 1.5, 48, dtype=torch.float64).view(1, 3, 4, 4) * top
    end = last(solver(gaussian_denoiser(mean, std), x, levels))
    exact = mean + (x - mean) * math.sqrt((std**2 + bottom**2) / (std**2 + top**2))
    return float((end - exact).abs().max())


@pytest.mark.parametrize(
    ("name", "order"), [("ddim", 1), ("heun", 2), ("dpmpp_2m", 2), ("dpmpp_3m", 3), ("unipc", 4)]
)
def test_the_order_of_each_solver_is_what_its_paper_says(name, order):
    """Multistep solvers start with steps of lower order; from sigma = 20,000, where the estimate
    hardly changes yet, that start costs nothing that could be seen here. UniPC's corrector adds
    one to the three of its predictor (Zhao et al. 2023, theorem 3.1)."""

    def solver(denoise, x, levels):
        return run_sampler(name, denoise, x, levels, lambda i: x)

    top = 20.0 if name in ("ddim", "heun") else 20_000.0
    measured = math.log2(solver_error(solver, 400, top) / solver_error(solver, 800, top))
    assert measured == pytest.approx(order, abs=0.2)


def test_ddim_with_eta_one_is_the_ddpm_with_posterior_variance(points):
    levels = cosine(1000).levels(40)
    x, noise = start(levels)
    ancestral = last(ddpm(ideal_denoiser(points), x, levels, noise))
    x, noise = start(levels)
    torch.testing.assert_close(last(ddim(ideal_denoiser(points), x, levels, noise, 1.0)), ancestral)


@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_a_ddpm_step_equals_the_papers_formula_in_its_own_units(variance):
    """Ho et al. 2020, eq. 6, 7 and algorithm 2, with x_t of unit variance."""
    schedule, t = linear(1000), 400
    bar, bar_before = schedule.alpha_bar[t], schedule.alpha_bar[t - 1]
    alpha = bar / bar_before
    beta = 1 - alpha
    g = torch.Generator().manual_seed(1)
    x0, eps, z = (torch.randn(1, 3, 4, 4, generator=g).double() for _ in range(3))
    x_t = bar.sqrt() * x0 + (1 - bar).sqrt() * eps
    mean = (x_t - beta / (1 - bar).sqrt() * eps) / alpha.sqrt()
    spread = beta if variance == "beta" else beta * (1 - bar_before) / (1 - bar)
    expected = mean + spread.sqrt() * z

    levels = schedule.sigmas[[t, t - 1]]
    x_sigma = x_t * (1 + levels[0] ** 2).sqrt()
    step = next(ddpm(lambda x, s: x0, x_sigma, levels, lambda i: z, variance))
    torch.testing.assert_close(step.x_sigma / (1 + levels[1] ** 2).sqrt(), expected)


def test_evaluations_are_counted_right(points):
    for name, grid in GRIDS.items():
        calls = []

        def denoise(x, sigma, calls=calls):
            calls.append(sigma)
            return torch.zeros_like(x)

        levels = linear(1000).levels(12, grid)
        x, noise = start(levels)
        last(run_sampler(name, denoise, x, levels, noise))
        assert len(calls) == evaluations(name, 12)


def test_noise_of_an_image_depends_on_its_seed_alone():
    together = noise_of_seeds([3, 4, 5], (3, 4, 4), CPU)
    alone = noise_of_seeds([4], (3, 4, 4), CPU)
    for i in range(3):
        assert torch.equal(together(i)[1], alone(i)[0])
    assert not torch.equal(together(3)[0], together(4)[0])


def test_noise_between_seeds_is_unit_noise_also_from_a_seed_to_itself():
    """Two equal draws mixed like two independent ones would have a variance of 2."""
    for ends in ((3, 4), (5, 5)):
        for share in (0.0, 0.3, 0.5, 1.0):
            noise = noise_of_seeds([Between(*ends, share)], (3, 64, 64), CPU)(0)
            assert noise.std().item() == pytest.approx(1, abs=0.03)


def test_out_of_range_values_are_clamped_not_wrapped():
    """Seeds 000 and 001 turned 1.02 into 4 and -0.02 (of [0, 1]) into 251: neon pixels."""
    values = to_uint8(torch.tensor([1.04, 1.02, 1.0, 0.0, -1.0, -1.02]))
    assert values.tolist() == [255, 255, 255, 128, 0, 0]


def test_uint8_round_trip_is_exact():
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(from_uint8(every)), every)
