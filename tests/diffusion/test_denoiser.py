"""The denoiser contract: parameterisations agree, the net sees what it was trained on."""

import pytest
import torch
from torch import nn

from pipeline.diffusion.denoiser import NO_LABEL, Denoiser, guided
from pipeline.diffusion.losses import (
    denoising_loss,
    draw_timesteps,
    importance_factor,
    timestep_density,
    weights,
)
from pipeline.diffusion.schedules import cosine, linear

G = torch.Generator().manual_seed(0)
X0 = torch.rand(16, 3, 8, 8, generator=G) * 2 - 1
EPS = torch.randn(16, 3, 8, 8, generator=G)


class Oracle(nn.Module):
    """Answers with a fixed tensor and remembers what it was asked."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer
        self.asked = None

    def forward(self, x_t, t, labels):
        self.asked = (x_t, t, labels)
        return self.answer


@pytest.mark.parametrize("schedule", [linear(1000), cosine(1000)], ids=["linear", "cosine"])
@pytest.mark.parametrize("t", [0, 300, 700, 950])
def test_x0_and_eps_nets_that_are_right_give_the_same_estimate(schedule, t):
    sigma = schedule.sigmas[t].float().repeat(16)
    x_sigma = X0 + sigma.view(-1, 1, 1, 1) * EPS
    labels = torch.zeros(16, dtype=torch.int64)
    by_x0 = Denoiser(Oracle(X0), schedule, "x0")(x_sigma, sigma, labels)
    by_eps = Denoiser(Oracle(EPS), schedule, "eps")(x_sigma, sigma, labels)
    torch.testing.assert_close(by_x0, X0)
    torch.testing.assert_close(by_eps, X0, atol=2e-6 * float(1 + sigma[0] ** 1), rtol=0)


@pytest.mark.parametrize("schedule", [linear(1000), cosine(1000)], ids=["linear", "cosine"])
def test_the_net_sees_unit_variance_at_every_level(schedule):
    """Clamping x_t to [-1, 1], as two seeds did, leaves 0.72 at the end."""
    g = torch.Generator().manual_seed(3)
    x0 = torch.randn(8, 3, 64, 64, generator=g)
    eps = torch.randn(8, 3, 64, 64, generator=g)
    net = Oracle(x0)
    denoiser = Denoiser(net, schedule, "x0")
    for t in (0, 500, 999):
        index = torch.full((8,), t)
        denoising_loss(denoiser, x0, torch.zeros(8, dtype=torch.int64), index, eps)
        assert net.asked[0].std().item() == pytest.approx(1.0, abs=0.01)


def test_only_trained_timesteps_are_asked_of_the_net():
    net = Oracle(X0)
    schedule = linear(500)
    denoiser = Denoiser(net, schedule, "x0")
    for sigma in (1e-6, 0.37, 5.1, 1e6):
        denoiser(X0, torch.full((16,), sigma), torch.zeros(16, dtype=torch.int64))
        t = net.asked[1] / 1000 * 500
        assert ((t >= 0) & (t <= 499)).all()
        torch.testing.assert_close(t, t.round())


def test_a_perfect_net_has_no_loss_and_a_zero_net_the_power_of_its_target():
    schedule, labels = linear(1000), torch.zeros(16, dtype=torch.int64)
    index = torch.arange(16) * 60
    for objective, target in (("x0", X0), ("eps", EPS)):
        perfect = Denoiser(Oracle(target), schedule, objective)
        assert denoising_loss(perfect, X0, labels, index, EPS).abs().max() < 1e-12
        zero = Denoiser(Oracle(torch.zeros_like(X0)), schedule, objective)
        torch.testing.assert_close(
            denoising_loss(zero, X0, labels, index, EPS), (target**2).mean(dim=(1, 2, 3))
        )


def test_min_snr_weighs_both_objectives_alike():
    """On the clean estimate, whose error is sigma times the noise's, the two are one weighting."""
    sigma = torch.tensor([0.05, 0.3, 1.0, 4.0, 50.0])
    on_x0 = weights("min_snr", "x0", sigma)
    on_eps = weights("min_snr", "eps", sigma)
    torch.testing.assert_close(on_eps, on_x0 * sigma**2)
    torch.testing.assert_close(on_x0, torch.tensor([5.0, 5.0, 1.0, 1 / 16, 1 / 2500]))


def test_drawn_timesteps_cover_the_schedule_evenly():
    density = timestep_density(linear(1000), "uniform", "none", "x0")
    g = torch.Generator().manual_seed(5)
    draws = torch.cat([draw_timesteps(density, 20, g) for _ in range(500)])
    assert draws.min() >= 0
    assert draws.max() <= 999
    counts = torch.histc(draws.float(), bins=20, min=0, max=1000)
    assert (counts == 500).all()  # one of each stratum in each batch
    first = torch.stack([draw_timesteps(density, 20, g)[0] for _ in range(400)]).float()
    assert first.std() > 200  # a place in the batch is no stratum


@pytest.mark.parametrize("objective", ["x0", "eps"])
def test_importance_drawing_changes_the_spread_of_the_loss_and_not_its_mean(objective):
    """Any f(t) keeps its uniform mean, and the weight's second moment has its closed form."""
    schedule = linear(1000)
    density = timestep_density(schedule, "importance", "min_snr", objective)
    every = torch.arange(1000)
    factor = importance_factor(density, every).double()
    for f in (every.double(), weights("min_snr", objective, schedule.sigmas)):
        assert float((density * factor * f).sum()) == pytest.approx(float(f.mean()), rel=1e-5)

    weight = weights("min_snr", objective, schedule.sigmas)
    second_moment = float((density * (factor * weight) ** 2).sum())
    expected = weight.sqrt().mean() * (weight**1.5).mean()
    assert second_moment == pytest.approx(float(expected), rel=1e-5)
    assert second_moment < float((weight**2).mean())

    g = torch.Generator().manual_seed(6)
    draws = torch.cat([draw_timesteps(density, 25, g) for _ in range(4000)])
    counts = torch.bincount(draws, minlength=1000).double() / 100_000
    coarse = counts.view(20, 50).sum(1), density.view(20, 50).sum(1)
    torch.testing.assert_close(*coarse, atol=0.002, rtol=0)


class ByLabel(nn.Module):
    """Predicts 0.5 for class 3 and -0.25 without a label."""

    def forward(self, x_t, t, labels):
        value = torch.where(labels == NO_LABEL, -0.25, 0.5)
        return value.view(-1, 1, 1, 1).expand(x_t.shape)


def test_guidance_is_the_papers_line_through_both_estimates():
    denoiser = Denoiser(ByLabel(), linear(1000), "x0")
    labels, sigma = torch.full((2,), 3), torch.full((2,), 1.0)
    x = torch.zeros(2, 3, 8, 8)
    for scale, expected in ((0.0, -0.25), (1.0, 0.5), (1.5, 0.875)):
        estimate = guided(denoiser, labels, scale, clip=False)(x, sigma)
        torch.testing.assert_close(estimate, torch.full_like(x, expected))
    assert guided(denoiser, labels, 4.0)(x, sigma).max() == 1.0  # the estimate is clipped


def test_unlabelled_images_stay_unconditional_beside_labelled_ones():
    denoiser = Denoiser(ByLabel(), linear(1000), "x0")
    mixed = torch.tensor([3, NO_LABEL])
    estimate = guided(denoiser, mixed, 1.2)(torch.zeros(2, 3, 8, 8), torch.ones(2))
    torch.testing.assert_close(estimate[:, 0, 0, 0], torch.tensor([0.65, -0.25]))
