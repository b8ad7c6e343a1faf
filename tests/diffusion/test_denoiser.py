"""The denoiser contract: parameterisations agree, the net sees what it was trained on."""

import pytest
import torch
from torch import nn

from pipeline.diffusion.denoiser import NO_LABEL, Denoiser
from pipeline.diffusion.draws import DRAWS, make_draw
from pipeline.diffusion.guidance import guided
from pipeline.diffusion.losses import WEIGHTINGS, denoising_loss, weights
from pipeline.diffusion.objectives import OBJECTIVES, coefficients
from pipeline.diffusion.schedules import cosine, karras, linear, sigmoid

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


SCHEDULES = [linear(1000), cosine(1000), sigmoid(1000), karras(1000)]
SCHEDULE = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda one: one.name)
OBJECTIVE = pytest.mark.parametrize("objective", OBJECTIVES)


@SCHEDULE
@OBJECTIVE
@pytest.mark.parametrize("t", [0, 300, 700, 950])
def test_a_net_that_is_right_gives_the_picture_whatever_it_predicts(schedule, objective, t):
    sigma = schedule.sigmas[t].float().repeat(16)
    x_sigma = X0 + sigma.view(-1, 1, 1, 1) * EPS
    labels = torch.zeros(16, dtype=torch.int64)
    denoiser = Denoiser(Oracle(X0), schedule, objective)
    denoiser.net.answer = denoiser.target(X0, EPS, sigma)
    torch.testing.assert_close(
        denoiser(x_sigma, sigma, labels), X0, atol=3e-6 * float(1 + sigma[0]), rtol=0
    )


@OBJECTIVE
def test_the_target_is_what_solves_the_denoisers_equation(objective):
    """(x0 - c_skip x_sigma) / c_out, which the written-out form must equal, in float64."""
    sigma = torch.logspace(-2, 2, 16, dtype=torch.float64).view(-1, 1, 1, 1)
    c = coefficients(objective, sigma, 0.4)
    x0, eps = X0.double(), EPS.double()
    solved = (x0 - c.c_skip * (x0 + sigma * eps)) / c.c_out
    torch.testing.assert_close(c.of_x0 * x0 + c.of_eps * eps, solved)


def test_v_is_its_definition_in_variance_preserving_units():
    """v = alpha eps - sigma x0 with alpha^2 + sigma^2 = 1 (Salimans & Ho 2022, section 4)."""
    bar = cosine(1000).alpha_bar[[10, 500, 990]]
    denoiser = Denoiser(Oracle(X0), cosine(1000), "v")
    sigma = ((1 - bar) / bar).sqrt()
    expected = bar.sqrt().view(-1, 1, 1, 1) * EPS[:3] - (1 - bar).sqrt().view(-1, 1, 1, 1) * X0[:3]
    torch.testing.assert_close(denoiser.target(X0[:3], EPS[:3], sigma), expected.float())


def test_edm_targets_and_inputs_have_unit_variance_at_every_level():
    """What its preconditioning is for (Karras et al. 2022, eq. 7 and appendix B.6)."""
    g = torch.Generator().manual_seed(3)
    x0 = 0.35 * torch.randn(8, 3, 64, 64, generator=g)
    eps = torch.randn(8, 3, 64, 64, generator=g)
    denoiser = Denoiser(Oracle(x0), karras(1000), "edm", sigma_data=0.35)
    for level in (0.002, 0.1, 0.35, 3.0, 80.0):
        sigma = torch.full((8,), level)
        assert denoiser.target(x0, eps, sigma).std().item() == pytest.approx(1, abs=0.01)
        denoiser.output(x0 + level * eps, sigma, torch.zeros(8, dtype=torch.int64))
        assert denoiser.net.asked[0].std().item() == pytest.approx(1, abs=0.01)


@SCHEDULE
def test_the_net_sees_unit_variance_at_every_level(schedule):
    """Clamping x_t to [-1, 1], as two seeds did, leaves 0.72 at the end."""
    g = torch.Generator().manual_seed(3)
    x0 = torch.randn(8, 3, 64, 64, generator=g)
    eps = torch.randn(8, 3, 64, 64, generator=g)
    net = Oracle(x0)
    denoiser = Denoiser(net, schedule, "x0")
    for t in (0, 500, 999):
        sigma = schedule.sigmas[t].repeat(8)
        denoising_loss(denoiser, x0, torch.zeros(8, dtype=torch.int64), sigma, eps)
        assert net.asked[0].std().item() == pytest.approx(1.0, abs=0.01)


def test_only_trained_timesteps_are_asked_of_the_net():
    """Seed 003 was trained on 1,000 timesteps and sampled on 15,000 of another schedule."""
    net = Oracle(X0)
    schedule = linear(500)
    denoiser = Denoiser(net, schedule, "x0")
    for sigma in (1e-6, 0.37, 5.1, 1e6):
        denoiser(X0, torch.full((16,), sigma), torch.zeros(16, dtype=torch.int64))
        t = net.asked[1] / 1000 * 500
        assert ((t >= 0) & (t <= 499)).all()
        torch.testing.assert_close(t, t.round())


def test_a_continuous_process_names_its_levels_by_their_logarithm():
    schedule = karras(200)
    sigma = torch.tensor([0.002, (0.002 * 80) ** 0.5, 80.0, 1e-9, 1e9])
    torch.testing.assert_close(
        schedule.time(sigma), torch.tensor([0.0, 500, 1000, 0, 1000]).double(), atol=1e-4, rtol=0
    )
    assert schedule.snap(torch.tensor(0.123)).item() == pytest.approx(0.123)


@OBJECTIVE
@SCHEDULE
def test_a_perfect_net_has_no_loss_and_a_zero_net_the_power_of_its_target(schedule, objective):
    labels, sigma = torch.zeros(16, dtype=torch.int64), schedule.sigmas[torch.arange(16) * 60]
    denoiser = Denoiser(Oracle(X0), schedule, objective)
    target = denoiser.target(X0, EPS, sigma.float())
    denoiser.net.answer = target
    assert denoising_loss(denoiser, X0, labels, sigma, EPS).abs().max() < 1e-12
    denoiser.net.answer = torch.zeros_like(X0)
    torch.testing.assert_close(
        denoising_loss(denoiser, X0, labels, sigma, EPS), (target**2).mean(dim=(1, 2, 3))
    )


def test_the_weightings_are_those_of_their_papers():
    sigma = torch.tensor([0.05, 0.3, 1.0, 4.0, 50.0], dtype=torch.float64)
    snr = sigma**-2
    least = snr.clamp(max=5)
    torch.testing.assert_close(weights("min_snr", "x0", sigma), least)
    torch.testing.assert_close(weights("min_snr", "eps", sigma), least / snr)
    torch.testing.assert_close(weights("min_snr", "v", sigma), least / (snr + 1))
    torch.testing.assert_close(
        weights("edm", "x0", sigma, 0.4), (sigma**2 + 0.16) / (0.4 * sigma) ** 2
    )
    torch.testing.assert_close(weights("edm", "edm", sigma, 0.4), torch.ones_like(sigma))
    torch.testing.assert_close(weights("none", "v", sigma), torch.ones_like(sigma))


@pytest.mark.parametrize("weighting", [name for name in WEIGHTINGS if name != "none"])
@SCHEDULE
def test_a_weighting_means_the_same_loss_for_every_objective(schedule, weighting):
    """One estimate of the picture, put in terms of each output, costs the same."""
    labels, sigma = torch.zeros(16, dtype=torch.int64), schedule.sigmas[torch.arange(16) * 60]
    x0, eps, estimate = X0.double(), EPS.double(), X0.double() + 0.1
    x_sigma = x0 + sigma.view(-1, 1, 1, 1) * eps
    losses = []
    for objective in OBJECTIVES:
        c = coefficients(objective, sigma.view(-1, 1, 1, 1), 0.5)
        denoiser = Denoiser(Oracle((estimate - c.c_skip * x_sigma) / c.c_out), schedule, objective)
        error = denoiser.net.answer - (c.of_x0 * x0 + c.of_eps * eps)
        weight = weights(weighting, objective, sigma, 0.5)
        losses.append(weight * (error**2).mean(dim=(1, 2, 3)))
        got = denoising_loss(
            denoiser, X0, labels, sigma, EPS, weighting=weighting
        )  # the same in float32, where the error is small beside the output
        assert got.isfinite().all()
    for loss in losses[1:]:
        torch.testing.assert_close(loss, losses[0])


def test_uniform_draws_cover_the_schedule_evenly():
    draw = make_draw("uniform", linear(1000), "none", "x0")
    g = torch.Generator().manual_seed(5)
    sigma = torch.cat([draw(20, g)[0] for _ in range(500)])
    index = linear(1000).index(sigma)
    assert (index.min(), index.max()) >= (0, 990)
    counts = torch.histc(index.float(), bins=20, min=0, max=1000)
    assert (counts == 500).all()  # one of each stratum in each batch
    first = linear(1000).index(torch.stack([draw(20, g)[0][0] for _ in range(400)])).float()
    assert first.std() > 200  # a place in the batch is no stratum


@OBJECTIVE
@SCHEDULE
def test_importance_drawing_changes_the_spread_of_the_loss_and_not_its_mean(schedule, objective):
    """Any f(t) keeps its uniform mean, and the weight's second moment has its closed form."""
    draw = make_draw("importance", schedule, "min_snr", objective)
    density, count = draw.density, schedule.timesteps
    factor = 1 / (count * density)
    weight = weights("min_snr", objective, schedule.sigmas)
    for f in (torch.arange(1000.0).double(), weight):
        assert float((density * factor * f).sum()) == pytest.approx(float(f.mean()), rel=1e-9)
    second_moment = float((density * (factor * weight) ** 2).sum())
    assert second_moment == pytest.approx(float(weight.sqrt().mean() * (weight**1.5).mean()))
    assert second_moment < float((weight**2).mean())

    g = torch.Generator().manual_seed(6)
    sigma, counts = (
        torch.cat(parts) for parts in zip(*(draw(25, g) for _ in range(4000)), strict=True)
    )
    index = schedule.index(sigma)
    torch.testing.assert_close(counts, factor[index].float())
    share = torch.bincount(index, minlength=1000).double() / 100_000
    coarse = share.view(20, 50).sum(1), density.view(20, 50).sum(1)
    torch.testing.assert_close(*coarse, atol=0.002, rtol=0)


def test_lognormal_draws_have_the_papers_mean_and_spread():
    draw = make_draw("lognormal", karras(1000, 1e-4, 1000.0), "none", "edm", 0.5, -1.2, 1.2)
    g = torch.Generator().manual_seed(6)
    sigma, counts = (
        torch.cat(parts) for parts in zip(*(draw(64, g) for _ in range(400)), strict=True)
    )
    assert (counts == 1).all()
    assert sigma.log().mean().item() == pytest.approx(-1.2, abs=0.005)
    assert sigma.log().std().item() == pytest.approx(1.2, abs=0.005)


@SCHEDULE
@pytest.mark.parametrize("name", DRAWS)
def test_every_draw_stays_on_trained_levels(schedule, name):
    draw = make_draw(name, schedule, "min_snr", "eps")
    sigma, _ = draw(256, torch.Generator().manual_seed(1))
    torch.testing.assert_close(schedule.snap(sigma), sigma, rtol=1e-12, atol=0)
    assert sigma.dtype == torch.float64


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


class Constant(nn.Module):
    """Predicts one value for all; knows no labels."""

    conditional = False

    def __init__(self, value):
        super().__init__()
        self.value, self.calls = value, 0

    def forward(self, x_t, t, labels):
        self.calls += 1
        return torch.full_like(x_t, self.value)


def test_autoguidance_goes_away_from_the_worse_model():
    """Karras et al. 2024: worse + w (better - worse)."""
    better = Denoiser(Constant(0.4), linear(1000), "x0")
    worse = Denoiser(Constant(0.1), cosine(500), "x0")
    x, sigma, labels = torch.zeros(2, 3, 8, 8), torch.ones(2), torch.tensor([0, NO_LABEL])
    for scale, expected in ((0.0, 0.1), (1.0, 0.4), (2.0, 0.7)):
        estimate = guided(better, labels, scale, guide=worse)(x, sigma)
        torch.testing.assert_close(estimate, torch.full_like(x, expected))


def test_a_net_without_labels_is_asked_once_whatever_the_guidance():
    net = Constant(0.4)
    guided(Denoiser(net, linear(1000), "x0"), torch.tensor([1, 2]), 3.0)(
        torch.zeros(2, 3, 8, 8), torch.ones(2)
    )
    assert net.calls == 1
