"""The unit of work of cleaning: a plain function from a shard, a list of files, to a table.

It needs nothing but the files, so it runs in any process of any machine that sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import PIL
from PIL import features

from pipeline import pool
from pipeline.cleaning import parts
from pipeline.cleaning.measure import VERSION, faulty, measure
from pipeline.workspace import fingerprint

GIVEN_UP = "the decoder crashed or did not end"


@dataclass(frozen=True)
class Shard:
    """Files as (sha256, path), the most pixels and the most seconds that a picture may take."""

    files: tuple[tuple[str, str], ...]
    max_pixels: int
    seconds: float = 60.0

    def __len__(self) -> int:
        return len(self.files)

    def cut(self, size: int) -> list[Shard]:
        """Shards of at most ``size`` files, in order."""
        starts = range(0, len(self), size)
        return [replace(self, files=self.files[start : start + size]) for start in starts]


def measure_shard(shard: Shard) -> pd.DataFrame:
    """One row per file, indexed and sorted by sha256; columns as ``measure`` gives them.

    Pictures are decoded in a process beside this one: one whose decoder crashes, or takes longer
    than ``shard.seconds``, costs its own row and nothing else.
    """
    return parts.table((shard.files[index][0], row) for index, row in _rows(shard, 1, None))


def measure_locally(
    shard: Shard, size: int, workers: int, keep: Callable[[pd.DataFrame], None]
) -> None:
    """``measure_shard`` for a large shard: ``keep`` is given the table of every ``size`` files.

    One set of processes, with a bar, works through all of it; what is done when an error or Ctrl-C
    ends it is kept too.
    """
    pieces = shard.cut(size)
    open_: dict[int, list[tuple[str, dict[str, Any]]]] = {}
    try:
        for index, row in _rows(shard, workers, "measure"):
            number = index // size
            open_.setdefault(number, []).append((shard.files[index][0], row))
            if len(open_[number]) == len(pieces[number]):
                keep(parts.table(open_.pop(number)))
    finally:
        for rows in open_.values():
            keep(parts.table(rows))


def _rows(shard: Shard, workers: int, what: str | None) -> Iterator[tuple[int, dict[str, Any]]]:
    tasks: Sequence[tuple[str, int]] = [(path, shard.max_pixels) for _, path in shard.files]
    for index, row in pool.each(
        measure, tasks, workers=workers, what=what, unit="pictures", seconds=shard.seconds
    ):
        yield index, row or faulty(GIVEN_UP)


def recipe(max_pixels: int) -> dict[str, Any]:
    """All that a row depends on beside the bytes of the file."""
    names = ("jpg", "zlib", "webp", "libjpeg_turbo")
    return {
        "the version of measure": VERSION,
        "Pillow": PIL.__version__,
        "numpy": np.__version__,
        **{f"the decoder {name}": features.version(name) for name in names},
        "max_pixels": max_pixels,
    }


def cache_key(max_pixels: int) -> str:
    """Names the rows that one recipe gives."""
    return fingerprint(recipe(max_pixels))[:16]
