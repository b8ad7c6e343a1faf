"""Samplers: from noise to pictures along falling noise levels.

Each is a generator of ``Step``s over (denoise, x, levels): drawing, progress and film stay
outside. ``x`` starts as ``levels[0] * noise`` and the last level is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.diffusion.denoiser import Denoise
from pipeline.diffusion.multistep import dpmpp, unipc
from pipeline.diffusion.steps import Step, at_level, pairs

Noise = Callable[[int], Tensor]
"""Fresh unit Gaussian noise of the batch's shape for step ``i``."""


def ddim(
    denoise: Denoise, x: Tensor, levels: Tensor, noise: Noise | None = None, eta: float = 0.0
) -> Iterator[Step]:
    """DDIM (Song, Meng & Ermon 2021, eq. 12 and 16), in units of sigma.

    With eta 0 it is deterministic (Euler's method on the probability-flow ODE), with eta 1 it is
    the DDPM's ancestral sampler with the posterior variance.
    """
    for i, (t, s) in enumerate(pairs(levels)):
        denoised = denoise(x, at_level(x, t))
        up = eta * (s**2 * (t**2 - s**2) / t**2) ** 0.5
        down = max(s**2 - up**2, 0.0) ** 0.5
        x = denoised + (x - denoised) * (down / t)
        if up > 0 and noise is not None:
            x = x + up * noise(i)
        yield Step(t, s, x, denoised)


def ddpm(
    denoise: Denoise, x: Tensor, levels: Tensor, noise: Noise, variance: str = "posterior"
) -> Iterator[Step]:
    """The DDPM's ancestral sampler (Ho et al. 2020, algorithm 2), in units of sigma.

    The mean is that of q(x_s | x_t, x0) with the estimate in place of x0 (eq. 6 and 7). Variance:
    ``posterior`` is beta-tilde, the least the process allows; ``beta`` is beta, the most.
    """
    if variance not in ("posterior", "beta"):
        raise ValueError(f"variance: got {variance!r}, expected posterior or beta")
    for i, (t, s) in enumerate(pairs(levels)):
        denoised = denoise(x, at_level(x, t))
        x = denoised + (x - denoised) * (s**2 / t**2)
        if s > 0:
            spread = (t**2 - s**2) / t**2 * s**2
            if variance == "beta":
                spread = (t**2 - s**2) * (1 + s**2) / (1 + t**2)
            x = x + spread**0.5 * noise(i)
        yield Step(t, s, x, denoised)


def heun(denoise: Denoise, x: Tensor, levels: Tensor) -> Iterator[Step]:
    """Heun's second-order method on the probability-flow ODE (Karras et al. 2022, algorithm 1).

    Two evaluations a step, one in the last (2 n - 1 in all).
    """
    for t, s in pairs(levels):
        denoised = denoise(x, at_level(x, t))
        slope = (x - denoised) / t
        euler = x + (s - t) * slope
        if s > 0:
            end_slope = (euler - denoise(euler, at_level(x, s))) / s
            x = x + (s - t) * (slope + end_slope) / 2
        else:
            x = euler
        yield Step(t, s, x, denoised)


GRIDS = {
    "ddpm": "timesteps",
    "ddim": "timesteps",
    "heun": "karras",
    "dpmpp_2m": "logsnr",
    "dpmpp_3m": "logsnr",
    "unipc": "logsnr",
}
"""The spacing of levels that suits each sampler."""


def run_sampler(
    name: str,
    denoise: Denoise,
    x: Tensor,
    levels: Tensor,
    noise: Noise,
    eta: float = 0.0,
    variance: str = "posterior",
) -> Iterator[Step]:
    """The sampler that params call ``name``. ``eta`` is ddim's alone, ``variance`` ddpm's."""
    if name == "ddpm":
        return ddpm(denoise, x, levels, noise, variance)
    if name == "ddim":
        return ddim(denoise, x, levels, noise, eta)
    if name == "heun":
        return heun(denoise, x, levels)
    if name in ("dpmpp_2m", "dpmpp_3m"):
        return dpmpp(denoise, x, levels, order=2 if name == "dpmpp_2m" else 3)
    if name == "unipc":
        return unipc(denoise, x, levels)
    raise ValueError(f"sampler: got {name!r}, expected one of {', '.join(GRIDS)}")


def evaluations(name: str, steps: int) -> int:
    """Network evaluations an image needs (guidance doubles them)."""
    return 2 * steps - 1 if name == "heun" else steps


@dataclass(frozen=True)
class Between:
    """A place on the way from the noise of one seed (``share`` 0) to that of another (1)."""

    first: int
    second: int
    share: float


Seed = int | Between


def noise_of_seeds(seeds: Sequence[Seed], shape: tuple[int, ...], device: torch.device) -> Noise:
    """Noise in which image k depends on ``seeds[k]`` alone, not on its batch companions.

    Between two seeds it is cos(a) first + sin(a) second with a = share pi / 2: two independent
    unit Gaussians so mixed are one again, and the ends are those of the seeds themselves. From a
    seed to itself there is no way: two equal ones would add up to a variance of 2.

    Returns:
        A function that draws (len(seeds), *shape) unit noise, the next of each image's stream at
        each call (its argument is not used). Drawn on the CPU, so equal on every device.
    """
    streams = [
        (_stream(seed.first, shape), _stream(seed.second, shape), seed.share * math.pi / 2)
        if isinstance(seed, Between) and seed.first != seed.second
        else (_stream(seed.first if isinstance(seed, Between) else seed, shape), None, 0.0)
        for seed in seeds
    ]

    def draw(_i: int) -> Tensor:
        drawn = [
            next(one) if other is None else math.cos(a) * next(one) + math.sin(a) * next(other)
            for one, other, a in streams
        ]
        return torch.stack(drawn).to(device)

    return draw


def _stream(seed: int, shape: tuple[int, ...]) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randn(shape, generator=generator)


def to_uint8(x: Tensor) -> Tensor:
    """[-1, 1] to 0..255, rounded, clamped first: 1.02 becomes 255, not 4 by wrapping around."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def from_uint8(x: Tensor) -> Tensor:
    """0..255 to float32 in [-1, 1]; the inverse of ``to_uint8``."""
    return x.float() / 127.5 - 1
