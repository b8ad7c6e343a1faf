"""Steps whose loss or gradient is no number: kept out of the weights, found again, explained."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SHOWN = 12  # rows of the data set named in a message


def step_if_finite(optimizer: torch.optim.Optimizer, number: Tensor) -> None:
    """``optimizer.step()``, unless ``number`` (a scalar on the device) is not finite.

    A fused optimiser decides on the device, as it does for torch's gradient scaler, so nobody waits
    for it; any other has to be waited for.
    """
    if optimizer.defaults.get("fused"):
        optimizer.found_inf = (~number.isfinite()).float()  # type: ignore[attr-defined]
        optimizer.step()
    elif bool(number.isfinite()):
        optimizer.step()


def place_of(each: Tensor, first: int) -> Tensor:
    """The first picture whose loss is no number, as its place in the batch; -1 for none.

    Args:
        each: (b,) losses of the pictures ``first`` and on.
    """
    bad = ~each.isfinite()
    return torch.where(bad.any(), bad.to(torch.uint8).argmax() + first, -1).to(each.dtype)


def explain(step: int, nimg: int, place: int, sigma: Tensor, rows: Tensor) -> str:
    """Which pictures at which noise levels a bad step was made of.

    Args:
        step, nimg: counted from the start of the training.
        place: in the batch, of the picture whose loss is no number; -1 where only the gradient is
            none.
        sigma: (B,) the batch's noise levels; rows: (B,) its rows of the training split.
    """
    where = f"step {step:,} (image {nimg:,}): "
    if place >= 0:
        return where + (
            f"the loss of picture {place} of its batch (row {int(rows[place])} of the training "
            f"split) at noise level {float(sigma[place]):.4g} (bucket {bucket(sigma[place])}) is "
            "not finite"
        )
    shown = ", ".join(str(row) for row in rows[:_SHOWN].tolist())
    more = ", …" if len(rows) > _SHOWN else ""
    return where + (
        "the losses are finite, their gradient is not; noise levels "
        f"{float(sigma.min()):.4g} to {float(sigma.max()):.4g}, rows {shown}{more} of the training "
        "split"
    )


def bucket(sigma: Tensor | float) -> str:
    """The octave of a noise level, as ``0.25 to 0.5``."""
    low = 2.0 ** math.floor(math.log2(float(sigma)))
    return f"{low:.4g} to {2 * low:.4g}"
