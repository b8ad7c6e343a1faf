"""The one contract through which every net is reached: noisy picture in, clean estimate out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pipeline.diffusion.objectives import OBJECTIVES, Coefficients, coefficients
from pipeline.diffusion.schedules import Schedule

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(x_sigma, sigma) -> denoised: what a sampler needs to know of a model.

``x_sigma`` is (B, C, H, W), ``sigma`` is (B,), the result estimates E[x0 | x_sigma]."""

NO_LABEL = -1


class Denoiser(nn.Module):
    """A net, the schedule it is trained on, and what its output means.

    The net is called as ``net(x, t, labels)`` with x of unit variance, the schedule's own time t
    in 0..1000 and labels where ``NO_LABEL`` stands for the unconditional model. Only times that
    exist in training are ever asked of it: of a DDPM's, a level between two is taken as the
    nearest.

    Args:
        net: the network; its output has the shape of its input.
        schedule: the noise levels it is trained on.
        objective: what its output means, see ``objectives``.
        sigma_data: standard deviation of the pictures' values, for ``edm``.
    """

    def __init__(
        self, net: nn.Module, schedule: Schedule, objective: str, sigma_data: float = 0.5
    ) -> None:
        super().__init__()
        if objective not in OBJECTIVES:
            raise ValueError(
                f"objective: got {objective!r}, expected one of {', '.join(OBJECTIVES)}"
            )
        self.net = net
        self.schedule = schedule
        self.objective = objective
        self.sigma_data = sigma_data
        self.autocast: Callable[[], torch.autocast] | None = None

    def forward(self, x_sigma: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """The clean estimate.

        Args:
            x_sigma: (B, C, H, W) = x0 + sigma * eps.
            sigma: (B,) noise levels, each > 0.
            labels: (B,) int64 classes, or ``NO_LABEL``.
        """
        return self.denoised(self.output(x_sigma, sigma, labels), x_sigma, sigma)

    def output(
        self, x_sigma: Tensor, sigma: Tensor, labels: Tensor, augment: Tensor | None = None
    ) -> Tensor:
        """The net's own output, in float32 whatever it computes in.

        Args:
            augment: (B, A) numbers that say how the pictures were changed, for a net that
                ``knows_augment``; None in sampling.
        """
        x = x_sigma * self.coefficients(sigma, x_sigma).c_in
        t = self.schedule.time(sigma).to(x.dtype)
        told = () if augment is None else (augment,)
        if self.autocast is None:
            return self.net(x, t, labels, *told).float()
        with self.autocast():
            return self.net(x, t, labels, *told).float()

    def denoised(self, output: Tensor, x_sigma: Tensor, sigma: Tensor) -> Tensor:
        """The clean estimate in terms of the net's output."""
        c = self.coefficients(sigma, x_sigma)
        return c.c_skip * x_sigma + c.c_out * output

    def target(self, x0: Tensor, eps: Tensor, sigma: Tensor) -> Tensor:
        """What the net's output should have been."""
        c = self.coefficients(sigma, x0)
        return c.of_x0 * x0 + c.of_eps * eps

    def coefficients(self, sigma: Tensor, like: Tensor) -> Coefficients:
        """Those of the objective, (B, 1, 1, 1) in the dtype of ``like``."""
        return coefficients(self.objective, _expand(sigma, like), self.sigma_data)


def _expand(value: Tensor, like: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1) in the dtype of ``like``."""
    return value.to(like.dtype).view(-1, *[1] * (like.dim() - 1))
