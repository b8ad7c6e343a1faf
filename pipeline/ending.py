"""How a record of work ends: as the work did."""

from __future__ import annotations

from types import TracebackType
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
