"""When something is killed, by what, and what came of it; the table of all of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

# Seconds of CPU a stage takes with the tiny preset, about: only the spread of the moments hangs on
# it. What a stage has used tells how far it is, however busy the machine is.
STAGES = {"scrape": 3.8, "dedupe": 1.0, "resize": 0.65, "train": 5.8, "evaluate": 8.8}
# Who gets which signal. Ctrl-C in a terminal reaches the whole group; DVC itself ignores it.
WAYS = {
    "repro": (
        ("KILL", "group"), ("INT", "group"), ("TERM", "group"), ("KILL", "stage"),
        ("TERM", "stage"), ("KILL", "dvc"), ("TERM", "dvc"),
    ),
    "exp run": (
        ("INT", "group"), ("KILL", "group"), ("KILL", "stage"), ("TERM", "group"),
        ("KILL", "dvc"),
    ),
    "queue": (
        ("KILL", "stage"), ("queue kill", "task"), ("KILL", "group"), ("TERM", "stage"),
        ("INT", "stage"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Moment:
    """A signal, while ``stage`` has used ``part`` of the CPU seconds that it takes."""

    stage: str
    part: float
    signal: str
    target: str


@dataclass(frozen=True)
class Struck:
    """What happened at a moment: ``stage`` is the one that ran, or "between" where none did."""

    driver: str
    stage: str
    signal: str
    target: str


def plan(driver: str, count: int, dice: random.Random) -> list[Moment]:
    """``count`` moments over all five stages, in the order in which a pipeline comes to them."""
    stages = [list(STAGES)[index % len(STAGES)] for index in range(count)]
    ways = list(WAYS[driver])
    dice.shuffle(ways)
    return [
        Moment(stage, dice.uniform(0, 1.1), *ways[index % len(ways)])
        for index, stage in enumerate(sorted(stages, key=list(STAGES).index))
    ]


def table(struck: Sequence[Struck]) -> str:
    """A row a stage, a column for each driver and way."""
    ways = sorted({(one.driver, one.signal, one.target) for one in struck})
    counts = Counter((one.stage, (one.driver, one.signal, one.target)) for one in struck)
    heads = [f"{driver}: {signal} {target}" for driver, signal, target in ways]
    lines = ["| stage | " + " | ".join(heads) + " | all |", "|---" * (len(ways) + 2) + "|"]
    for stage in [*STAGES, "between"]:
        row = [counts[stage, way] for way in ways]
        lines.append(f"| {stage} | " + " | ".join(f"{n or ''}" for n in row) + f" | {sum(row)} |")
    row = [sum(counts[stage, way] for stage in [*STAGES, "between"]) for way in ways]
    lines.append("| all | " + " | ".join(map(str, row)) + f" | {len(struck)} |")
    return "\n".join(lines)
