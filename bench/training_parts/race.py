"""Contenders that take turns in one run, so that what else the machine does meets them alike."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

TORCH = (False, True)


class Contender(Protocol):
    """A training that can be carried on a little at a time.

    Attributes:
        name: as the report calls it.
        facts: what the report says of it: parameters, GFLOP of a picture, batch, arithmetic.
        tf32: whether torch may use TensorFloat-32 in matrix products, and in convolutions; a switch
            of the whole process, set anew for each turn. ``TORCH`` is how torch comes.
    """

    name: str
    facts: dict[str, Any]
    tf32: tuple[bool, bool]

    def advance(self) -> int:
        """Train a few steps. Returns how many pictures they took."""
        ...


@dataclass(frozen=True)
class Turns:
    """How long a race is.

    Attributes:
        seconds: of a turn; warm: seconds of training before the first turn; rounds: turns each.
    """

    seconds: float
    warm: float
    rounds: int
    clock: Callable[[], float] = field(default=time.perf_counter, compare=False)


def race(
    contenders: Sequence[Contender], turns: Turns, device: torch.device
) -> dict[str, dict[str, Any]]:
    """A B C A B C …, by name.

    Returns:
        The contender's facts; ``speeds``: images a second of each turn; ``cpu``: CPU milliseconds
        of this process a picture, which hardly depend on what else runs; ``place`` in the race.
    """
    turned: dict[str, list[tuple[float, float]]] = {one.name: [] for one in contenders}
    for one in contenders:
        _turn(one, turns.warm, turns.clock, device)
    for _ in range(turns.rounds):
        for one in contenders:
            turned[one.name].append(_turn(one, turns.seconds, turns.clock, device))
    load = os.getloadavg()[0]
    results = {}
    for place, one in enumerate(contenders):
        speeds, cpu = (list(each) for each in zip(*turned[one.name], strict=True))
        results[one.name] = one.facts | {"speeds": speeds, "cpu": cpu, "place": place, "load": load}
    return results


def _turn(
    one: Contender, seconds: float, clock: Callable[[], float], device: torch.device
) -> tuple[float, float]:
    """Images a second, and CPU milliseconds a picture."""
    allow(one.tf32)
    images, started, cpu = 0, clock(), time.process_time()
    while not images or clock() - started < seconds:
        images += one.advance()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return images / (clock() - started), 1000 * (time.process_time() - cpu) / images


def allow(tf32: tuple[bool, bool]) -> None:
    """TensorFloat-32 as a contender has it, whatever the one before it had."""
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """How many times as fast, the median of the rounds: each turn against its neighbour."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def spread(speeds: Sequence[float]) -> str:
    """Median, least and most."""
    middle = statistics.median(speeds)
    return f"{number(middle)} ({number(min(speeds))} to {number(max(speeds))})"


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
