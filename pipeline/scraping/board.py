"""Scraping as it goes: a live table by breed and source, with rate and time left.

Where there is no terminal, a line every ten seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pipeline.errors import printable
from pipeline.progress import bar
from pipeline.scraping.frontier import Job

_COLUMNS = ("wanted", "found", "fetched", "duplicates", "failed", "rate", "left")
_OTHER_LINES = 8  # of the screen: header, total, what was said before


class Board:
    """Shows ``jobs``; their numbers are read, never written."""

    def __init__(self, jobs: Sequence[Job], console: Console | None = None) -> None:
        self.jobs = jobs
        self.console = console or Console(stderr=True)
        self._begun: dict[int, tuple[float, int]] = {}  # first sight of each job: when, how many
        self._start = time.monotonic()
        self._live: Live | None = None
        if self.console.is_terminal:
            self._live = Live(
                get_renderable=self.table,
                console=self.console,
                refresh_per_second=4,
                vertical_overflow="crop",
            )

    def __enter__(self) -> Board:
        self._start = time.monotonic()
        if self._live is not None:
            self._live.start()
        else:
            self._bar = bar(sum(job.wanted for job in self.jobs), "scrape", "pictures")
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
        else:
            self.show()
            self._bar.close()

    def show(self) -> None:
        """Something changed. The live table is redrawn by its own clock."""
        if self._live is None:
            good = sum(job.good for job in self.jobs)
            self._bar.set_postfix(
                found=sum(len(job.entries) for job in self.jobs),
                failed=sum(job.failed for job in self.jobs),
                refresh=False,
            )
            self._bar.update(good - self._bar.n)

    def say(self, text: str) -> None:
        """A line that stays, above what changes."""
        text = printable(text)
        if self._live is not None:
            self.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def table(self) -> Table:
        """The jobs that fit on the screen: those under way first, finished ones last."""
        room = max(3, self.console.height - _OTHER_LINES)
        rows = sorted(self.jobs, key=_place)[:room]
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("breed", no_wrap=True)
        table.add_column("source", no_wrap=True)
        for name in _COLUMNS:
            table.add_column(name, justify="right", no_wrap=True)
        for job in sorted(rows, key=self.jobs.index):
            style = "dim" if job.finished else "yellow" if job.stopped else None
            table.add_row(job.breed, job.source.name, *self._cells([job], id(job)), style=style)
        if len(rows) < len(self.jobs):
            done = sum(job.finished for job in self.jobs)
            table.add_row(f"… {len(self.jobs)} in all, {done} done", style="dim")
        table.add_row("total", "", *self._cells(self.jobs, 0), style="bold")
        return table

    def _cells(self, jobs: Sequence[Job], key: int) -> list[str]:
        good = sum(job.good for job in jobs)
        done = all(job.finished for job in jobs)
        missing = sum(max(0, job.wanted - job.good) for job in jobs if not job.finished)
        rate = 0.0 if done else self._rate(key, good, any(job.entries for job in jobs))
        left = _clock(missing / rate) if missing and rate else ""
        numbers = [
            sum(job.wanted for job in jobs),
            sum(len(job.entries) for job in jobs),
            sum(job.fetched for job in jobs),
            sum(job.duplicates for job in jobs),
            sum(job.failed for job in jobs),
        ]
        return [f"{n:,}" for n in numbers] + [f"{rate:.1f}/s" if rate else "", left]

    def _rate(self, key: int, good: int, begun: bool) -> float:
        """Pictures a second since the first sight of them; what a resumed run had counts not."""
        now = time.monotonic()
        if not begun:
            return 0.0
        since, before = self._begun.setdefault(key, (now, good))
        return (good - before) / (now - since) if now - since > 1 else 0.0


def _place(job: Job) -> int:
    """Under way, then waiting, then done."""
    if job.finished:
        return 2
    return 0 if job.entries or job.visiting else 1


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
