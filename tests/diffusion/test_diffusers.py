"""Equality with the schedulers of ``diffusers``, an implementation by other people.

Conventions. Theirs: x_t has unit variance, timesteps count from 0, and sigma is the standard
deviation of the noise in x_sigma = x_t sqrt(1 + sigma^2), as ours. Ours: levels of sigma, 0 last.
Compared are the noise levels of each schedule, and single steps from the same x with the same
estimate and, where there is noise, the same noise.
"""

import pytest
import torch

diffusers = pytest.importorskip("diffusers", reason="diffusers is a development dependency")

from pipeline.diffusion.objectives import coefficients  # noqa: E402
from pipeline.diffusion.samplers import ddim, ddpm, heun, run_sampler  # noqa: E402
from pipeline.diffusion.schedules import cosine, karras, linear  # noqa: E402

G = torch.Generator().manual_seed(4)
X = torch.randn(2, 3, 4, 4, generator=G, dtype=torch.float64)
NAMES = {"linear": "linear", "cosine": "squaredcos_cap_v2", "sigmoid": "sigmoid"}
TYPES = {"x0": "sample", "eps": "epsilon", "v": "v_prediction"}


def exact(theirs, schedule):
    """Theirs with the tables in float64 (equal to 1e-5, as tested above): in float32 1 - alpha_bar
    keeps three digits at the first timesteps, and a step could be compared no better."""
    theirs.alphas_cumprod = schedule.alpha_bar
    theirs.alphas = torch.cat(
        [schedule.alpha_bar[:1], schedule.alpha_bar[1:] / schedule.alpha_bar[:-1]]
    )
    theirs.betas = 1 - theirs.alphas
    return theirs


@pytest.mark.parametrize("timesteps", [100, 1000])
def test_the_linear_schedule_is_theirs(timesteps):
    theirs = diffusers.DDPMScheduler(timesteps, beta_start=1e-4, beta_end=0.02)
    ours = linear(timesteps, rescale=False)
    torch.testing.assert_close(ours.alpha_bar, theirs.alphas_cumprod.double(), atol=1e-5, rtol=0)


def test_the_cosine_schedule_is_theirs():
    theirs = diffusers.DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2")
    torch.testing.assert_close(
        cosine(1000).alpha_bar, theirs.alphas_cumprod.double(), atol=1e-5, rtol=0
    )


def test_the_karras_levels_are_theirs():
    theirs = diffusers.EDMDPMSolverMultistepScheduler(sigma_min=0.002, sigma_max=80.0, rho=7.0)
    theirs.set_timesteps(18)
    torch.testing.assert_close(
        karras(1000).levels(18, "karras"), theirs.sigmas.double(), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("objective", TYPES)
def test_the_estimate_from_each_objective_is_theirs(objective):
    """Their DDPM step returns it as pred_original_sample."""
    theirs = diffusers.DDPMScheduler(1000, clip_sample=False, prediction_type=TYPES[objective])
    schedule, output = linear(1000), torch.roll(X, 1)
    exact(theirs, schedule)
    for t in (10, 400, 900):
        sigma = schedule.sigmas[t]
        expected = theirs.step(output, t, X).pred_original_sample
        c = coefficients(objective, sigma)
        ours = c.c_skip * (X * (1 + sigma**2).sqrt()) + c.c_out * output
        torch.testing.assert_close(ours, expected, atol=1e-4 * float(1 + sigma), rtol=1e-5)


@pytest.mark.parametrize("variance", ["posterior", "beta"])
@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_a_ddpm_step_is_theirs(variance, name):
    """Theirs calls beta ``fixed_large`` and the posterior variance ``fixed_small``."""
    theirs = diffusers.DDPMScheduler(
        1000,
        beta_schedule=NAMES[name],
        clip_sample=False,
        prediction_type="sample",
        variance_type="fixed_large" if variance == "beta" else "fixed_small",
    )
    schedule = {"linear": linear, "cosine": cosine}[name](1000)
    theirs, x0 = exact(theirs, schedule), torch.roll(X, 1)
    for t in (3, 250, 700):
        noise = torch.randn(X.shape, generator=torch.Generator().manual_seed(t), dtype=X.dtype)
        expected = theirs.step(x0, t, X, generator=torch.Generator().manual_seed(t)).prev_sample
        levels = schedule.sigmas[[t, t - 1]]
        step = next(
            ddpm(
                lambda x, s: x0,
                X * (1 + levels[0] ** 2).sqrt(),
                levels,
                lambda i, z=noise: z,
                variance,
            )
        )
        ours = step.x_sigma / (1 + levels[1] ** 2).sqrt()
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_a_ddim_step_is_theirs(eta):
    theirs = diffusers.DDIMScheduler(
        1000, clip_sample=False, set_alpha_to_one=False, prediction_type="sample"
    )
    schedule, x0 = linear(1000), torch.roll(X, 1)
    exact(theirs, schedule).set_timesteps(50)
    for t in (40, 480, 960):
        noise = torch.randn(X.shape, generator=torch.Generator().manual_seed(t), dtype=X.dtype)
        expected = theirs.step(x0, t, X, eta=eta, variance_noise=noise).prev_sample
        levels = schedule.sigmas[[t, t - 20]]
        x_sigma = X * (1 + levels[0] ** 2).sqrt()
        step = next(ddim(lambda x, s: x0, x_sigma, levels, lambda i, z=noise: z, eta))
        ours = step.x_sigma / (1 + levels[1] ** 2).sqrt()
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def moving(x, sigma):
    """An estimate that changes with x and sigma, so that every coefficient counts."""
    return torch.tanh(0.3 * x) + 0.1 * torch.log1p(sigma.to(x)).view(-1, 1, 1, 1)


def test_a_heun_step_is_theirs():
    theirs = diffusers.HeunDiscreteScheduler(1000, prediction_type="epsilon")
    theirs.set_timesteps(10)
    levels = torch.cat([theirs.sigmas[0:1], theirs.sigmas[1::2]]).double()[:3]
    x = X * levels[0]
    eps = (x - moving(x, levels[:1].repeat(2))) / levels[0]
    euler = theirs.step(eps, theirs.timesteps[0], x).prev_sample
    eps = (euler - moving(euler, levels[1:2].repeat(2))) / levels[1]
    expected = theirs.step(eps, theirs.timesteps[1], euler).prev_sample
    ours = next(heun(moving, x, levels)).x_sigma
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-5)


def straight(x, sigma):
    """An estimate that is linear in log sigma and has no second derivative."""
    return torch.roll(X, 1) * sigma.to(x).log().view(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("name", "estimate_of"), [("dpmpp_2m", moving), ("dpmpp_3m", straight), ("unipc", moving)]
)
def test_every_multistep_step_is_theirs(name, estimate_of):
    """The whole walk, as each step rests on those before it; theirs gets our levels.

    Their 3M halves the second derivative by mistake, and with it loses its third order
    (``test_samplers`` measures ours); where that derivative is zero the two must agree.
    """
    if name == "unipc":
        theirs = diffusers.UniPCMultistepScheduler(
            1000, solver_order=3, prediction_type="sample", lower_order_final=True
        )
    else:
        theirs = diffusers.DPMSolverMultistepScheduler(
            1000,
            solver_order=2 if name == "dpmpp_2m" else 3,
            prediction_type="sample",
            final_sigmas_type="zero",
            lower_order_final=True,
        )
    theirs.set_timesteps(12)
    levels = theirs.sigmas.double()
    if levels[-1] > 0:
        levels = torch.cat([levels, torch.zeros(1, dtype=torch.float64)])
    x_t = X.clone()
    start = X * (1 + levels[0] ** 2).sqrt()
    walk = list(run_sampler(name, estimate_of, start, levels, lambda i: X))
    for k, t in enumerate(theirs.timesteps):
        sigma = levels[k].repeat(2)
        estimate = estimate_of(x_t * (1 + levels[k] ** 2).sqrt(), sigma)
        x_t = theirs.step(estimate, t, x_t).prev_sample
        ours = walk[k].x_sigma / (1 + levels[k + 1] ** 2).sqrt()
        torch.testing.assert_close(
            ours, x_t, atol=1e-5, rtol=1e-5, msg=lambda m, k=k: f"step {k}: {m}"
        )
