"""Multistep solvers: each step uses what earlier evaluations told, so one evaluation suffices.

In lambda = -log sigma the probability-flow ODE reads dx/dlambda = D(x) - x, so that over a step
of length h = log(sigma_s / sigma_t)

    x_t = e^(-h) x_s + integral of e^(lambda - lambda_t) D dlambda.

The linear part is exact; D is continued from its last values. These are the data-prediction forms
of their papers for a process without scaling (alpha = 1), which is every process in units of
sigma.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from pipeline.diffusion.denoiser import Denoise
from pipeline.diffusion.steps import Step, at_level, pairs


def dpmpp(denoise: Denoise, x: Tensor, levels: Tensor, order: int = 2) -> Iterator[Step]:
    """DPM-Solver++ multistep (Lu et al. 2022, "DPM-Solver++", algorithm 2: 2M).

    Args:
        order: 2 (2M) or 3 (3M). The first steps have as many values as there are. A step to 0 is
            infinitely long and of order 1, the one before it of order 2 at most.
    """
    if order not in (2, 3):
        raise ValueError(f"order: got {order}, expected 2 or 3")
    known: list[tuple[float, Tensor]] = []  # (lambda, denoised), newest first
    steps = pairs(levels)
    for i, (t, s) in enumerate(steps):
        denoised = denoise(x, at_level(x, t))
        known = [(-math.log(t), denoised), *known][:order]
        use = min(len(known), _at_most(order, steps, i))
        x = _dpmpp_step(x, t, s, known[:use])
        yield Step(t, s, x, denoised)


def _at_most(order: int, steps: list[tuple[float, float]], i: int) -> int:
    """The order of step ``i``: lower for the last ones of a walk that ends at 0."""
    return min(order, len(steps) - i) if steps[-1][1] == 0 else order


def _dpmpp_step(x: Tensor, t: float, s: float, known: list[tuple[float, Tensor]]) -> Tensor:
    """From level t to s with one, two or three values of the clean estimate, newest first."""
    ratio, (here, d0) = s / t, known[0]
    result = ratio * x + (1 - ratio) * d0
    if len(known) == 1:
        return result
    h = math.log(t / s)
    slopes = [(newer - older) * (h / (a - b)) for (a, newer), (b, older) in pairwise(known)]
    if len(known) == 2:
        return result + 0.5 * (1 - ratio) * slopes[0]
    r0, r1 = (here - known[1][0]) / h, (known[1][0] - known[2][0]) / h
    # Half the second derivative. The published code takes it for the whole, and so do programs that
    # follow it: what they call third order is measured as second.
    bend = (slopes[0] - slopes[1]) / (r0 + r1)
    first, second = (ratio - 1) / h + 1, (ratio - 1 + h) / h**2 - 0.5
    return result + first * (slopes[0] + r0 * bend) - second * 2 * bend


def unipc(denoise: Denoise, x: Tensor, levels: Tensor, order: int = 3) -> Iterator[Step]:
    """UniPC, the multistep predictor-corrector (Zhao et al. 2023, with B(h) = e^h - 1, in data
    prediction): the value at each predicted point also corrects the step that led there, which
    raises the order by one at no further evaluation."""
    known: list[tuple[float, Tensor]] = []  # (lambda, denoised), newest first
    steps, start, used = pairs(levels), x, 0
    for i, (t, s) in enumerate(steps):
        denoised = denoise(x, at_level(x, t))
        now = (-math.log(t), denoised)
        if used:
            x = _unipc_step(start, known[:used], now[0], now)
        known, start = [now, *known][:order], x
        used = min(len(known), _at_most(order, steps, i))
        x = _unipc_step(x, known[:used], -math.log(s), None) if s > 0 else denoised
        yield Step(t, s, x, denoised)


def _unipc_step(
    x: Tensor,
    known: list[tuple[float, Tensor]],
    there: float,
    new: tuple[float, Tensor] | None,
) -> Tensor:
    """From x at the newest of ``known`` to level exp(-there).

    The polynomial through the values is integrated against e^lambda: the weights solve a
    Vandermonde system (the paper's theorem 3.1).

    Args:
        new: the value at the end of the step, which makes it the corrector.
    """
    here, d0 = known[0]
    h = there - here
    away = [((at - here) / h, value - d0) for at, value in known[1:]]
    if new is not None:
        away.append((1.0, new[1] - d0))
    scale = math.expm1(-h)
    result = math.exp(-h) * x - scale * d0
    if not away:
        return result
    places = torch.tensor([place for place, _ in away], dtype=torch.float64)
    phi, wanted, factorial = scale / -h - 1, [], 1
    for k in range(1, len(away) + 1):
        wanted.append(phi * factorial / scale)
        factorial *= k + 1
        phi = phi / -h - 1 / factorial
    powers = torch.stack([places**k for k in range(len(away))])
    # With one unknown the paper takes 1/2 where the system has it only in the limit of small h.
    if len(away) == 1:
        solved = [0.5]
    else:
        solved = torch.linalg.solve(powers, torch.tensor(wanted, dtype=torch.float64)).tolist()
    for weight, (place, change) in zip(solved, away, strict=True):
        result = result - scale * weight / place * change
    return result
