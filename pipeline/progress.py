"""One progress bar for all long work: rate and time left, also where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def bar(total: int | None, what: str | None, unit: str, initial: int = 0) -> tqdm:
    """A progress bar on standard error; none is shown if ``what`` is None.

    In a log file (no terminal) a bar that redraws is noise: there it prints a line every 10 s.
    """
    live = sys.stderr.isatty()
    return _Bar(
        total=total,
        desc=what,
        unit=f" {unit}",
        initial=initial,
        mininterval=0.2 if live else 10.0,
        dynamic_ncols=live,
        file=sys.stderr if live else _Lines(),
        leave=True,
        smoothing=0.1,
        disable=what is None,
    )


def progress(items: Iterable[T], what: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Iterate over ``items`` under a bar."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bar(total, what, unit) as shown:
        for item in items:
            yield item
            shown.update()


@contextmanager
def parts(what: str) -> Iterator[Callable[[str], None]]:
    """A bar for work of unequal parts, and what tells it which one begins."""
    with bar(None, what, "parts") as shown:

        def tell(part: str) -> None:
            shown.update()
            shown.set_postfix_str(part, refresh=sys.stderr.isatty())

        yield tell


class _Bar(tqdm):
    """tqdm by a clock that never jumps: with the wall's, rates would turn negative with it."""

    @property
    def _time(self) -> Callable[[], float]:
        return time.monotonic

    @_time.setter
    def _time(self, _wall: Callable[[], float]) -> None: ...


class _Lines:
    """Turns a bar's carriage returns into lines."""

    def write(self, text: str) -> None:
        text = text.replace("\r", "").strip()
        if text:
            sys.stderr.write(text + "\n")

    def flush(self) -> None:
        sys.stderr.flush()
