"""Noise schedules: which noise levels a net is trained on, and where a sampler stops by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

MAX_SIGMA = 80.0  # Karras et al. 2022: above it only 1/80 of the picture is left to tell apart
_NEAR_ZERO = 0.1  # more of the picture than this at the end is a gap worth a warning
GRIDS = ("timesteps", "karras", "logsnr")


def wide(device: torch.device) -> torch.dtype:
    """In what noise levels are reckoned with there: float64, which Apple's GPUs do not have."""
    return torch.float32 if device.type == "mps" else torch.float64


@dataclass(frozen=True)
class Schedule:
    """The noise levels of a forward process.

    Attributes:
        name: what params call it.
        sigmas: (T,) float64, rising. In a DDPM they are all the levels that training knows; a
            ``continuous`` process knows every level between the first and the last.
    """

    name: str
    sigmas: Tensor
    continuous: bool = False

    def __post_init__(self) -> None:
        if not bool((self.sigmas.diff() > 0).all()) or float(self.sigmas[0]) <= 0:
            raise ValueError(f"schedule {self.name}: noise levels must be positive and rise")

    @property
    def timesteps(self) -> int:
        return len(self.sigmas)

    @property
    def alpha_bar(self) -> Tensor:
        """(T,) float64, falling: Ho et al. 2020, eq. 4; sigma^2 = (1 - a) / a."""
        return 1 / (1 + self.sigmas**2)

    @property
    def terminal_signal(self) -> float:
        """sqrt(alpha_bar_T): how much of the picture is left where sampling starts from noise."""
        return float(self.alpha_bar[-1].sqrt())

    def warning(self) -> str | None:
        """A line for people if the end of the process is too far from the noise sampling starts
        with (seed 000's T = 300 left 0.22 of the amplitude, which no sampler can know)."""
        if self.terminal_signal <= _NEAR_ZERO:
            return None
        return (
            f"schedule {self.name} with T={self.timesteps} leaves {self.terminal_signal:.2f} of "
            "the picture's amplitude at its end, where sampling starts from pure noise: raise "
            "train.timesteps or train.schedule.beta_end, or set train.schedule.rescale"
        )

    @cached_property
    def _tables(self) -> dict[torch.device, Tensor]:
        return {}

    def _log_sigmas(self, device: torch.device) -> Tensor:
        """Copied to a device once: a copy for each evaluation would make the device wait."""
        if device not in self._tables:
            with torch.inference_mode(False):  # kept for training too, whoever asks first
                self._tables[device] = self.sigmas.log().to(device, wide(device))
        return self._tables[device]

    def index(self, sigma: Tensor) -> Tensor:
        """The 0-based timestep whose noise level is nearest to ``sigma`` (any shape), in log."""
        known = self._log_sigmas(sigma.device)
        wanted = sigma.to(wide(sigma.device)).log()
        right = torch.searchsorted(known, wanted).clamp(1, self.timesteps - 1)
        left = right - 1
        return torch.where(wanted - known[left] <= known[right] - wanted, left, right)

    def snap(self, sigma: Tensor) -> Tensor:
        """The level nearest to each of ``sigma`` that training knows, float64."""
        if self.continuous:
            return sigma.double().clamp(float(self.sigmas[0]), float(self.sigmas[-1]))
        return self.sigmas.to(sigma.device)[self.index(sigma)]

    def time(self, sigma: Tensor) -> Tensor:
        """What the net is told of ``sigma``: 0 to 1000, float64, even in t, or in log sigma for a
        continuous process. No level is ever named that training does not know."""
        if not self.continuous:
            return self.index(sigma).to(wide(sigma.device)) * (1000 / self.timesteps)
        low, high = math.log(float(self.sigmas[0])), math.log(float(self.sigmas[-1]))
        log_sigma = sigma.to(wide(sigma.device)).log()
        return (1000 * (log_sigma - low) / (high - low)).clamp(0, 1000)

    def levels(self, steps: int, grid: str = "timesteps") -> Tensor:
        """Noise levels for a sampler: falling, each one trained on, closed by 0.

        Args:
            steps: how many; any number works for any T. A DDPM of T levels gives at most T.
            grid: ``timesteps`` spaces them evenly in t, always from t = T (what a DDPM or DDIM
                wants); ``karras`` spaces sigma^(1/7) evenly from min(sigma_T, 80) down to the
                least (Karras et al. 2022, eq. 5: what Euler's and Heun's methods want);
                ``logsnr`` spaces log sigma evenly between the same (what multistep solvers want). A
                continuous process has no t: its ``timesteps`` are those of ``karras``.

        Returns:
            (n + 1,) float64 with n <= steps; the last is 0. Levels that fall on one trained
            level are merged, so no step has length zero.
        """
        if steps < 1:
            raise ValueError(f"steps: got {steps}, expected at least 1")
        if grid not in GRIDS:
            raise ValueError(f"grid: got {grid!r}, expected one of {', '.join(GRIDS)}")
        if grid == "timesteps" and not self.continuous:
            chosen = torch.linspace(self.timesteps, 0, steps + 1, dtype=torch.float64)[:-1]
            levels = self.sigmas[chosen.round().long().clamp(1, self.timesteps) - 1]
        else:
            top, bottom = min(float(self.sigmas[-1]), MAX_SIGMA), float(self.sigmas[0])
            if grid == "logsnr":
                levels = torch.linspace(math.log(top), math.log(bottom), steps, dtype=torch.float64)
                levels = levels.exp()
            else:
                ends = top ** (1 / 7), bottom ** (1 / 7)
                levels = torch.linspace(*ends, steps, dtype=torch.float64) ** 7
            levels = self.snap(levels)
        return torch.cat([torch.unique(levels).flip(0), torch.zeros(1, dtype=torch.float64)])


def linear(
    timesteps: int, beta_start: float = 1e-4, beta_end: float = 0.02, rescale: bool = True
) -> Schedule:
    """beta rises from 1e-4 to 0.02 for T = 1000 (Ho et al. 2020, section 4).

    With ``rescale`` both ends are scaled by 1000 / T (Nichol & Dhariwal 2021's code does the
    same), so that the picture is as nearly destroyed at the end for any T; left alone, T = 300
    keeps 22 % of it.
    """
    scale = 1000 / timesteps if rescale else 1.0
    betas = torch.linspace(beta_start * scale, beta_end * scale, timesteps, dtype=torch.float64)
    return _from_betas("linear", betas)


def cosine(timesteps: int, s: float = 0.008) -> Schedule:
    """alpha_bar(t) = f(t) / f(0), f(t) = cos^2((t/T + s) / (1 + s) * pi / 2).

    Nichol & Dhariwal 2021, eq. 17, with their clip of beta at 0.999.
    """
    t = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    return _from_signal("cosine", torch.cos((t + s) / (1 + s) * math.pi / 2) ** 2)


def sigmoid(timesteps: int, start: float = -3.0, end: float = 3.0, tau: float = 1.0) -> Schedule:
    """alpha_bar(t) falls as a logistic curve (Jabri, Fleet & Chen 2022), clipped as ``cosine``."""
    t = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    curve = torch.sigmoid(torch.tensor([start, end], dtype=torch.float64) / tau)
    f = (curve[1] - torch.sigmoid((t * (end - start) + start) / tau)) / (curve[1] - curve[0])
    return _from_signal("sigmoid", f)


def karras(timesteps: int, sigma_min: float = 0.002, sigma_max: float = MAX_SIGMA) -> Schedule:
    """Every level between two, as in EDM (Karras et al. 2022, table 1); ``timesteps`` only says how
    finely densities over it are tabulated. How training draws is said elsewhere (log-normal)."""
    ends = math.log(sigma_min), math.log(sigma_max)
    sigmas = torch.linspace(*ends, timesteps, dtype=torch.float64).exp()
    return Schedule("karras", sigmas, continuous=True)


def _from_signal(name: str, f: Tensor) -> Schedule:
    """From the wanted alpha_bar at t = 0 .. T, up to a factor."""
    return _from_betas(name, 1 - f[1:] / f[:-1])


def _from_betas(name: str, betas: Tensor) -> Schedule:
    alpha_bar = torch.cumprod(1 - betas.clamp(1e-8, 0.999), dim=0)
    return Schedule(name, ((1 - alpha_bar) / alpha_bar).sqrt())


def make_schedule(
    name: str,
    timesteps: int,
    beta_start: float = 1e-4,
    beta_end: float = 0.02,
    rescale: bool = True,
    sigma_min: float = 0.002,
    sigma_max: float = MAX_SIGMA,
) -> Schedule:
    """The schedule that params call ``name``. Raises ``KeyError`` for an unknown one."""
    return {
        "linear": lambda: linear(timesteps, beta_start, beta_end, rescale),
        "cosine": lambda: cosine(timesteps),
        "sigmoid": lambda: sigmoid(timesteps),
        "karras": lambda: karras(timesteps, sigma_min, sigma_max),
    }[name]()
