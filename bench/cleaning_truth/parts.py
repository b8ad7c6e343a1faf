"""What the parts of the report share: the run, its goals, and what each part gives."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from cleaning_truth.intervals import Share
from cleaning_truth.photos import Photo
from cleaning_truth.sheet import Strip
from pipeline.cleaning.decide import clean
from pipeline.params import DedupeParams


@dataclass(frozen=True)
class Run:
    """What is the same for every folder of one measurement."""

    photos: list[Photo]
    work: Path
    params: DedupeParams
    seed: int

    def clean(self, folder: Path, params: DedupeParams | None = None) -> pd.DataFrame:
        return clean(folder, params or self.params, cache=self.work / "cache").table

    def fresh(self, what: str) -> Path:
        """An empty place for a composed folder; it does not exist yet."""
        shutil.rmtree(self.work / what, ignore_errors=True)
        return self.work / what


@dataclass(frozen=True)
class Goal:
    """A figure beside what it is to reach: a least or a most share, or nothing."""

    figure: str
    plain: str
    ours: Share | int
    least: float | None = None
    most: float | None = None

    def row(self) -> str:
        return f"| {self.figure} | {self.plain} | **{self.ours}** | {self.target} | {self.met} |"

    @property
    def target(self) -> str:
        if self.least is not None:
            return f"at least {100 * self.least:g}"
        return f"at most {100 * self.most:g}" if self.most is not None else "–"

    @property
    def met(self) -> str:
        """Whether the figure is good enough, and whether all of its interval says the same."""
        least = -1.0 if self.least is None else self.least
        most = 2.0 if self.most is None else self.most
        if (least, most) == (-1.0, 2.0):
            return "–"
        if isinstance(self.ours, int):
            return "yes" if self.ours <= most else "no"
        good = least <= self.ours.value <= most
        sure = least <= self.ours.low and self.ours.high <= most
        never = self.ours.high < least or self.ours.low > most
        if good:
            return "yes" if sure else "yes; the interval reaches past it"
        return "no" if never else "no; the interval reaches it"


@dataclass(frozen=True)
class Part:
    """Rows of the first table, tables of its own, what went wrong in words and in pictures."""

    goals: list[Goal]
    lines: list[str]
    fails: list[str] = field(default_factory=list)
    strips: list[Strip] = field(default_factory=list)
