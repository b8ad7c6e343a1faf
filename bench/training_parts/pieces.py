"""Work in pieces: what is done is remembered, and the same command goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.workspace import write_json

Result = dict[str, Any]


class MoreToDo(Exception):
    """The time of this piece is over; what is done is kept."""


class Pieces:
    """Named results in a folder.

    Args:
        folder: a JSON file for each result, and whatever the work itself keeps there.
        seconds: after which no new work is begun; longest: after which work that can be
            interrupted is.
    """

    def __init__(
        self,
        folder: Path,
        seconds: float,
        longest: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.seconds, self.longest, self.clock = folder, seconds, longest, clock
        self.started = clock()

    def within(self, folder: Path) -> Pieces:
        """Results in another folder, in the same time."""
        other = Pieces(folder, self.seconds, self.longest, self.clock)
        other.started = self.started
        return other

    @property
    def left(self) -> float:
        """Seconds in which new work may begin."""
        return self.seconds - (self.clock() - self.started)

    @property
    def rest(self) -> float:
        """Seconds that work which can be interrupted has."""
        return self.longest - (self.clock() - self.started)

    def do(self, name: str, work: Callable[[], Result | None]) -> Result:
        """The result of ``work``, remembered from an earlier call if there was one.

        Args:
            work: returns None where its own time ran out before its end; it is asked again.

        Raises:
            MoreToDo: there is no time left for it, or it was not enough.
        """
        path = self.folder / f"{name.replace(' ', '-')}.json"
        if path.is_file():
            return json.loads(path.read_text())
        if self.left <= 0:
            raise MoreToDo
        print(f"{name} ...", flush=True)
        result = work()
        if result is None:
            raise MoreToDo
        write_json(path, result)
        return result
