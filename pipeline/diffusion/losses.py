"""What training minimises: distance and weight by noise level."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.diffusion.denoiser import Denoiser
from pipeline.diffusion.objectives import coefficients

DISTANCES = {"mse": F.mse_loss, "l1": F.l1_loss, "huber": F.smooth_l1_loss}
WEIGHTINGS = ("none", "min_snr", "edm")


def weights(
    weighting: str, objective: str, sigma: Tensor, sigma_data: float = 0.5, gamma: float = 5.0
) -> Tensor:
    """The weight of each noise level on the squared distance in the net's own target.

    ``none`` is 1. The others are stated for the picture and brought to the target's units by
    c_out^2, as an error of the output is c_out times that of the picture. ``min_snr`` is Hang et
    al. 2023 (section 3.4): min(SNR, gamma) with SNR = 1 / sigma^2, hence min(SNR, gamma) / SNR on
    eps and min(SNR, gamma) / (SNR + 1) on v. ``edm`` is Karras et al. 2022, table 1:
    (sigma^2 + d^2) / (sigma d)^2, hence 1 on edm's own target.

    Args:
        sigma: any shape; the result has it too.
    """
    if weighting == "none":
        return torch.ones_like(sigma)
    if weighting == "min_snr":
        on_picture = (sigma**-2).clamp(max=gamma)
    elif weighting == "edm":
        on_picture = (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2
    else:
        raise ValueError(f"weighting: got {weighting!r}, expected one of {', '.join(WEIGHTINGS)}")
    return on_picture * coefficients(objective, sigma, sigma_data).c_out ** 2


def denoising_loss(
    denoiser: Denoiser,
    x0: Tensor,
    labels: Tensor,
    sigma: Tensor,
    eps: Tensor,
    distance: str = "mse",
    weighting: str = "none",
    augment: Tensor | None = None,
) -> Tensor:
    """The loss of each image, (B,) float32.

    Args:
        x0: (B, C, H, W) in [-1, 1].
        labels: (B,) int64, ``NO_LABEL`` where the label is dropped.
        sigma: (B,) noise levels that the schedule knows.
        eps: (B, C, H, W) unit Gaussian noise.
        distance: one of ``DISTANCES``; weighting: see ``weights``.
        augment: what the net is told of changes to x0, see ``Denoiser.output``.
    """
    sigma = sigma.to(x0.device, torch.float32)
    x_sigma = x0 + sigma.view(-1, 1, 1, 1) * eps
    output = denoiser.output(x_sigma, sigma, labels, augment)
    each = DISTANCES[distance](output, denoiser.target(x0, eps, sigma), reduction="none")
    weight = weights(weighting, denoiser.objective, sigma, denoiser.sigma_data)
    return each.mean(dim=(1, 2, 3)) * weight
