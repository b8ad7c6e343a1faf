"""Guidance: away from a worse model, towards and past the better one."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.diffusion.denoiser import NO_LABEL, Denoise, Denoiser


def guided(
    denoiser: Denoiser,
    labels: Tensor,
    scale: float,
    guide: Denoiser | None = None,
    clip: bool = True,
) -> Denoise:
    """worse + scale * (denoiser - worse), stated for the clean estimate.

    Without ``guide`` the worse model is the same one without labels: classifier-free guidance (Ho &
    Salimans 2022, eq. 6; their w is ``scale - 1``; all objectives are linear in the estimate). With
    one it is that model with the labels: autoguidance (Karras et al. 2024, "Guiding a diffusion
    model with a bad version of itself"), which needs no labels at all.

    Where nothing can differ (scale 1; no guide and no label, or a net that knows none) a level
    costs one evaluation, else two.

    Args:
        labels: (B,) int64.
        scale: 1 is the plain model, 0 the worse one.
        guide: of the same pictures and labels; its schedule and objective may be others.
        clip: keep the estimate within [-1, 1], where pictures live. It is the estimate that is
            clipped, never x_sigma, which must keep its Gaussian tails.
    """
    knows_labels = getattr(denoiser.net, "conditional", True)
    if guide is None and (not knows_labels or bool((labels == NO_LABEL).all())):
        scale = 1.0

    def denoise(x_sigma: Tensor, sigma: Tensor) -> Tensor:
        if scale == 1:
            estimate = denoiser(x_sigma, sigma, labels)
        elif guide is not None:
            better, worse = denoiser(x_sigma, sigma, labels), guide(x_sigma, sigma, labels)
            estimate = worse + scale * (better - worse)
        else:
            both = torch.cat([labels, torch.full_like(labels, NO_LABEL)])
            better, worse = denoiser(
                torch.cat([x_sigma, x_sigma]), torch.cat([sigma, sigma]), both
            ).chunk(2)
            estimate = worse + scale * (better - worse)
        return estimate.clamp(-1, 1) if clip else estimate

    return denoise
