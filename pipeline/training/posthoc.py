"""Averages of the weights made after the training: any length, from a few snapshots of others.

Karras et al. 2024 ("Analyzing and improving the training dynamics of diffusion models", section 3.2
and appendix C.3). A power-function average of length sigma_rel after t steps is a weighted sum of
all weights the training went through, by the profile p(s) proportional to s^gamma up to t. The sum
of snapshots whose profile is nearest to the wanted one, in the least squares, is the wanted
average as nearly as they can tell. Here the sum is also held to a weight of 1 in total, which the
paper leaves to the fit: weights are large against their changes, so a total of 0.99 costs more than
the whole difference between two lengths.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from pipeline.errors import PipelineError
from pipeline.training.ema import gamma_of
from pipeline.workspace import atomic_write

FOLDER = "ema"  # of snapshots, beside a checkpoint or in a model's folder


# --------------------------------------------------------------------------- profiles


def profile(length: float, steps: int) -> np.ndarray:
    """(steps,): what the weights after step 1 .. ``steps`` count in the average kept on the way.

    The product of the decays telescopes to (s^(gamma + 1) - (s - 1)^(gamma + 1)) / steps^(gamma +
    1); the sum is 1.
    """
    share = (np.arange(steps + 1) / steps) ** (gamma_of(length) + 1)
    return np.diff(share)


def overlaps(
    steps: Sequence[float],
    lengths: Sequence[float],
    other_steps: Sequence[float],
    other_lengths: Sequence[float],
) -> np.ndarray:
    """(N, M): the inner products of N and M profiles, each by its last step and its length.

    With p(s) = (g + 1) s^g / t^(g + 1) for s < t, and u the earlier of two ends t and v:
    (g + 1)(h + 1) / (g + h + 1) u^(g + h + 1) / (t^(g + 1) v^(h + 1)).
    """
    t, g = np.asarray(steps, float)[:, None], _gammas(lengths)[:, None]
    v, h = np.asarray(other_steps, float)[None, :], _gammas(other_lengths)[None, :]
    # The power that is left belongs to the profile that ends later: no power overflows.
    shares = np.where(t <= v, (t / v) ** h, (v / t) ** g)
    return (g + 1) * (h + 1) / (g + h + 1) * shares / np.maximum(t, v)


def combination(
    steps: Sequence[float], lengths: Sequence[float], last: float, length: float
) -> tuple[np.ndarray, float]:
    """How much of each snapshot makes the average of ``length`` after ``last`` steps: 1 in all.

    Args:
        steps, lengths: N, of the snapshots.

    Returns:
        (N,) weights, and what is left of the wanted profile, as a share of its norm: 0 where it
        can be made exactly.
    """
    gram = overlaps(steps, lengths, steps, lengths)
    wanted = overlaps(steps, lengths, [last], [length])[:, 0]
    norm = float(overlaps([last], [length], [last], [length])[0, 0])
    # Profiles of one norm: neighbours are nearly parallel, and lengths must not count.
    scale = 1 / np.sqrt(np.diag(gram))
    # The least squares under one linear condition, by its multiplier (Lagrange).
    inverse = np.outer(scale, scale) * np.linalg.pinv(gram * np.outer(scale, scale), 1e-12)
    weights, ones = inverse @ wanted, inverse.sum(axis=1)
    weights += (1 - weights.sum()) / ones.sum() * ones
    left = norm - 2 * weights @ wanted + weights @ gram @ weights
    return weights, float(np.sqrt(max(left, 0.0) / norm))


def _gammas(lengths: Sequence[float]) -> np.ndarray:
    return np.array([gamma_of(length) for length in lengths])


# --------------------------------------------------------------------------- snapshots


@dataclass(frozen=True)
class Snapshot:
    """An average at some point of a training, in a file."""

    path: Path
    length: float
    step: int


def write_snapshot(folder: Path, net: nn.Module, length: float, step: int) -> Path:
    """Keep an averaged net: parameters in fp16 (section 3.2 does the same), buffers as they are."""
    parameters = {name for name, _ in net.named_parameters()}
    tensors = {
        name: (value.half() if name in parameters else value).contiguous().cpu()
        for name, value in net.state_dict().items()
    }
    path = folder / f"{length:.4f}-{step:09d}.safetensors"
    # One entry: of two, safetensors writes either first, and equal snapshots would differ.
    about = {"average": json.dumps({"length": length, "step": step})}
    with atomic_write(path) as file:
        file.write(safetensors.torch.save(tensors, about))
    return path


_UNFIT = (
    *(OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError),
    safetensors.SafetensorError,
)


def read_snapshots(folder: Path) -> list[Snapshot]:
    """The snapshots in ``folder``, in the order of length and step.

    Raises:
        PipelineError: there is none, or one cannot be read.
    """
    found = []
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safetensors.safe_open(path, "pt") as file:
                about = json.loads(file.metadata()["average"])
            one = Snapshot(path, float(about["length"]), int(about["step"]))
            if not (0 < one.length < 1 and one.step > 0):
                raise ValueError(f"length {one.length}, step {one.step}")
            found.append(one)
        except _UNFIT as error:
            raise PipelineError(f"{path} is no snapshot of an average: {error}") from None
    if not found:
        raise PipelineError(
            f"no snapshots of averages in {folder}: train with train.ema_lengths=[0.05,0.10] and "
            "train.ema_snapshots=8 to keep some"
        )
    return found


def reconstruct(snapshots: Sequence[Snapshot], length: float) -> tuple[dict[str, Tensor], float]:
    """The average of ``length`` at the last snapshot's step.

    Returns:
        Weights in fp32 (buffers are those of the last snapshot), and the share of the wanted
        profile that the snapshots cannot make, see ``combination``.
    """
    last = max(snapshots, key=lambda one: one.step)
    weights, left = combination(
        [one.step for one in snapshots],
        [one.length for one in snapshots],
        last.step,
        length,
    )
    total: dict[str, Tensor] = {}
    for one, weight in zip(snapshots, weights.tolist(), strict=True):
        for name, value in safetensors.torch.load_file(one.path).items():
            if value.dtype == torch.float16:
                total[name] = total.get(name, torch.zeros(())) + weight * value.double()
            elif one is last:
                total[name] = value
    return {
        name: value.float() if value.dtype == torch.float64 else value
        for name, value in total.items()
    }, left
