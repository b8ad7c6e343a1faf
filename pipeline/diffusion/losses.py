"""What training minimises: distance and weight by noise level."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.diffusion.denoiser import Denoiser
from pipeline.diffusion.schedules import Schedule

DISTANCES = {"mse": F.mse_loss, "l1": F.l1_loss, "huber": F.smooth_l1_loss}


def weights(weighting: str, objective: str, sigma: Tensor, gamma: float = 5.0) -> Tensor:
    """The weight of each noise level on the distance in the net's own target, shape of ``sigma``.

    ``none`` is 1. ``min_snr`` is Hang et al. 2023 (section 3.4): min(SNR, gamma) on x0, which is
    min(SNR, gamma) / SNR on eps, with SNR = alpha_bar / (1 - alpha_bar) = 1 / sigma^2.
    """
    if weighting == "none":
        return torch.ones_like(sigma)
    if weighting != "min_snr":
        raise ValueError(f"weighting: got {weighting!r}, expected none or min_snr")
    snr = sigma**-2
    clamped = snr.clamp(max=gamma)
    return clamped if objective == "x0" else clamped / snr


def timestep_density(schedule: Schedule, drawn: str, weighting: str, objective: str) -> Tensor:
    """(T,) float64 probabilities with which training draws the timesteps.

    ``uniform`` is 1 / T. ``importance`` is proportional to the square root of the loss's weight:
    where the weight is small a draw teaches little, so it is drawn seldom and counts for more
    (``importance_factor``). The expected loss stays what it is; its gradient is less noisy
    (importance sampling, as Nichol & Dhariwal 2021, section 3.3, do by measured losses).
    """
    if drawn == "uniform":
        density = torch.ones(schedule.timesteps, dtype=torch.float64)
    elif drawn == "importance":
        density = weights(weighting, objective, schedule.sigmas).sqrt()
    else:
        raise ValueError(f"drawn: got {drawn!r}, expected uniform or importance")
    return density / density.sum()


def importance_factor(density: Tensor, index: Tensor) -> Tensor:
    """(B,) float32: what a draw at ``index`` counts, so that the mean loss is that of uniform."""
    return 1 / (len(density) * density.to(index.device, torch.float32)[index])


def draw_timesteps(density: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(count,) int64 timesteps, 0-based, one from each of ``count`` strata of equal probability.

    Each is distributed as ``density`` (T,) by itself; together they cover the schedule, which
    lowers the variance of the loss (Kingma et al. 2021, section 5.1, appendix I.1). The strata are
    shuffled so that a place in the batch says nothing about the level.
    """
    u = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    u = u[torch.randperm(count, generator=generator)].double()
    return torch.searchsorted(density.cumsum(0), u, right=True).clamp(max=len(density) - 1)


def denoising_loss(
    denoiser: Denoiser,
    x0: Tensor,
    labels: Tensor,
    index: Tensor,
    eps: Tensor,
    distance: str = "mse",
    weighting: str = "none",
) -> Tensor:
    """The loss of each image, (B,) float32.

    Args:
        x0: (B, C, H, W) in [-1, 1].
        labels: (B,) int64, ``NO_LABEL`` where the label is dropped.
        index: (B,) int64 timesteps, 0-based.
        eps: (B, C, H, W) unit Gaussian noise.
        distance: one of ``DISTANCES``; weighting: see ``weights``.
    """
    sigma = denoiser.schedule.sigmas.to(x0.device, torch.float32)[index]
    x_sigma = x0 + sigma.view(-1, 1, 1, 1) * eps
    output = denoiser.output(x_sigma, index, sigma, labels)
    each = DISTANCES[distance](output, denoiser.target(x0, eps), reduction="none")
    return each.mean(dim=(1, 2, 3)) * weights(weighting, denoiser.objective, sigma)
