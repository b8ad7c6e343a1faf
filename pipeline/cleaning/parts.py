"""Measured rows on disk: parquet parts that are written once, each whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.cleaning.measure import faulty
from pipeline.errors import PipelineError, refused
from pipeline.workspace import atomic_write, fingerprint

_EMPTY = faulty("")
COLUMNS = list(_EMPTY)
_BYTES = [name for name, value in _EMPTY.items() if value == b""]
_TEXTS = ["fault", "format"]
_COUNTS = ["width", "height", "frames"]
_TYPES = (
    dict.fromkeys(COLUMNS, "float64")
    | dict.fromkeys(_BYTES, "object")
    | dict.fromkeys(_TEXTS, "str")
    | dict.fromkeys(_COUNTS, "Int64")
)


def table(rows: Iterable[tuple[str, dict[str, Any]]]) -> pd.DataFrame:
    """The table of (sha256, row of ``measure``), indexed and sorted by sha256."""
    rows = list(rows)
    index = pd.Index([sha for sha, _ in rows], name="sha256", dtype="str")
    found = pd.DataFrame([row for _, row in rows], columns=COLUMNS, index=index)
    return found.astype(_TYPES).sort_index()


def to_bytes(rows: pd.DataFrame) -> bytes:
    """A table as a parquet file."""
    out = io.BytesIO()
    # Pictures' bytes differ from row to row: a dictionary of them would only cost time.
    others = [name for name in ("sha256", *COLUMNS) if name not in _BYTES]
    rows.to_parquet(out, use_dictionary=others)
    return out.getvalue()


def from_bytes(data: bytes) -> pd.DataFrame:
    """The table of ``to_bytes``."""
    return pd.read_parquet(io.BytesIO(data))


def write(rows: pd.DataFrame, folder: Path) -> None:
    """Write a table as one part.

    Raises:
        PipelineError: the disk does not take it.
    """
    if not len(rows):
        return
    path = folder / f"{fingerprint(list(rows.index))[:16]}.parquet"
    try:
        with atomic_write(path) as file:
            file.write(to_bytes(rows))
    except OSError as error:
        raise PipelineError(refused(error)) from None


def read(
    folder: Path | None, wanted: Iterable[str], columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """The rows of the wanted contents, as far as there are any, sorted by sha256.

    Only the columns asked for leave the disk, and of a part without a wanted row only its names.
    A part that is damaged, or none of ours, is removed: it is as good as none.

    Raises:
        PipelineError: the disk does not give a part that is there.
    """
    columns = COLUMNS if columns is None else list(columns)
    index = pd.Index(wanted, dtype="str").unique()
    seen = np.zeros(len(index), bool)
    found = []
    for path in sorted(folder.glob("*.parquet")) if folder is not None else []:
        try:
            found.append(_read_part(path, index, seen, columns))
        except MemoryError:  # says nothing against the part
            raise
        except (OSError, ValueError, LookupError, pa.ArrowException) as error:
            # What Arrow makes of damaged content has no number, unlike what the disk says.
            if getattr(error, "errno", None) is not None:
                why = error.strerror if isinstance(error, OSError) else error
                raise PipelineError(f"{path}: cannot be read ({why})") from None
            path.unlink(missing_ok=True)  # its pictures are measured anew
    found = [rows for rows in found if rows is not None] or [table([])[columns]]
    return pd.concat(found).sort_index()


def _read_part(
    path: Path, index: pd.Index, seen: np.ndarray, columns: list[str]
) -> pd.DataFrame | None:
    """Rows of one part that are wanted and not yet seen, which is marked."""
    with pq.ParquetFile(path) as part:
        shas = part.read(["sha256"]).column("sha256").to_pandas()
        # The index builds its hash table once: every part then costs its own rows only.
        place = index.get_indexer(pd.Index(shas))
        fresh = (place >= 0) & ~seen[place]
        if not fresh.any():
            return None
        rows = part.read(["sha256", *columns])
    if not fresh.all():
        rows = rows.filter(pa.array(fresh))
    taken = rows.to_pandas()[columns]
    seen[place[fresh]] = True
    return taken
