"""What a net costs, and nets of equal cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from pipeline.net_summary import summarise
from pipeline.training.meter import FORWARD_AND_BACK

CLOSE = 0.05


def cost(build: Callable[[], nn.Module], size: int) -> dict[str, float]:
    """Parameters, and floating-point operations of one picture, two to a multiply-add.

    Counted on a net without memory, so that the largest costs nothing to count.

    Args:
        build: a net that is called as ours are.

    Returns:
        ``parameters``, ``forward`` and ``training`` (forward and backward), in operations.
    """
    with torch.device("meta"):
        counted = summarise(build(), size)
    operations = float(counted.flops)
    training = FORWARD_AND_BACK * operations
    return {"parameters": counted.parameters, "forward": operations, "training": training}


def nearest(
    target: float, values: Sequence[int], costs: Callable[[int], float]
) -> tuple[int, float]:
    """The value whose cost is nearest to ``target``, and that cost; ``costs`` rises with them."""
    low, high = 0, len(values) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if costs(values[middle]) < target:
            low = middle
        else:
            high = middle
    found = [(value, costs(value)) for value in {values[low], values[high]}]
    return min(found, key=lambda one: abs(one[1] - target))


def match(
    target: float,
    shapes: Sequence[Any],
    widths: Sequence[int],
    costs: Callable[[Any, int], float],
) -> tuple[Any, int, float]:
    """The first shape that some width brings within 5 % of ``target``, else the nearest of all.

    Returns:
        Shape, width and how many times the target it costs.
    """
    found = []
    for shape in shapes:
        width, value = nearest(target, widths, lambda width, shape=shape: costs(shape, width))
        found.append((shape, width, value / target))
        if abs(value / target - 1) <= CLOSE:
            return found[-1]
    return min(found, key=lambda one: abs(one[2] - 1))
