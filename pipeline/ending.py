"""How work ends: asked to by a signal, and its record as the work did."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

from pipeline.errors import Interrupted


class Ending:
    """A context manager that ends FINISHED, FAILED or (by a signal) KILLED."""

    def end(self, status: str = "FINISHED") -> None:
        """Close what was recorded."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        if kind is None:
            self.end()
        else:
            killed = issubclass(kind, (Interrupted, KeyboardInterrupt))
            self.end("KILLED" if killed else "FAILED")


@contextmanager
def stop_on_signals() -> Iterator[list[int]]:
    """A one-element list that turns to the number of the first SIGINT or SIGTERM.

    The loop then finishes its step and saves; a second signal ends the process at once.
    """
    received = [0]

    def remember(signum: int, _frame: FrameType | None) -> None:
        if received[0]:
            raise KeyboardInterrupt
        received[0] = signum

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
