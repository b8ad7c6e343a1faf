"""Measure files: each content once, in processes, remembered between runs.

Rows are cached by sha256 in parquet parts under ``<cache>/cleaning/<key>/``, where the key names
the code, the libraries and the parameters that can change a number. A part is written every
thousand pictures, so a run that was stopped continues where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL
from PIL import features

from pipeline import pool
from pipeline.cleaning.measure import BYTES, NUMBERS, VERSION, faulty, measure
from pipeline.images import PictureError, open_regular
from pipeline.progress import progress
from pipeline.workspace import atomic_write, fingerprint

_PART = 1000
_COLUMNS = list(faulty(""))


@dataclass(frozen=True)
class File:
    """A file that was found: ``name`` relative to the folder, and what it holds.

    ``sha256`` is None for what cannot be read; ``fault`` then says why.
    """

    name: str
    path: Path
    sha256: str | None
    bytes: int
    fault: str | None = None


def read_files(paths: Iterable[tuple[str, Path]], *, workers: int) -> list[File]:
    """Hash the files (name, path), in the order given."""
    paths = list(paths)
    if not paths:
        return []
    # hashlib lets go of the interpreter, so threads are enough.
    with ThreadPoolExecutor(workers or pool.cores()) as threads:
        found = threads.map(_hash, paths)
        return list(progress(found, "read", "files", total=len(paths)))


def _hash(item: tuple[str, Path]) -> File:
    name, path = item
    try:
        with open_regular(path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return File(name, path, digest, file.tell())
    except PictureError as error:
        return File(name, path, None, 0, str(error))
    except OSError as error:
        return File(name, path, None, 0, f"cannot be read: {error.strerror}")


def measurements(
    files: list[File], *, max_pixels: int, workers: int, cache: Path | None
) -> pd.DataFrame:
    """One row per content, indexed and sorted by sha256; columns as ``measure`` gives them."""
    wanted = {file.sha256: file for file in files if file.sha256 is not None}
    folder = None if cache is None else cache / "cleaning" / cache_key(max_pixels)
    known = _read_parts(folder, wanted) if folder is not None else _table([], [])
    missing = [wanted[sha] for sha in sorted(set(wanted) - set(known.index))]
    tables = [known]
    batch: list[tuple[str, dict[str, Any]]] = []
    try:
        for index, row in pool.each(
            measure,
            [(str(file.path), max_pixels) for file in missing],
            workers=workers,
            what="measure",
            unit="pictures",
        ):
            row = row or faulty("the decoder crashed or did not end")
            batch.append((missing[index].sha256 or "", row))
            if len(batch) == _PART:
                tables.append(_keep(batch, folder))
                batch = []
    finally:  # what is done stays done, also after Ctrl-C
        tables.append(_keep(batch, folder))
    return pd.concat([table for table in tables if len(table)] or tables[:1]).sort_index()


def cache_key(max_pixels: int) -> str:
    """What a cached row depends on beside the content."""
    decoders = {name: features.version(name) for name in ("jpg", "zlib", "webp", "libjpeg_turbo")}
    parts = [VERSION, PIL.__version__, np.__version__, decoders, max_pixels]
    return fingerprint(parts)[:16]


def _keep(batch: list[tuple[str, dict[str, Any]]], folder: Path | None) -> pd.DataFrame:
    """The table of a batch, also written as a part of the cache."""
    table = _table([sha for sha, _ in batch], [row for _, row in batch]).sort_index()
    if folder is not None and len(table):
        name = fingerprint(list(table.index))[:16]
        with atomic_write(folder / f"{name}.parquet") as file:
            table.to_parquet(file)
    return table


def _table(shas: list[str], rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=_COLUMNS, index=pd.Index(shas, name="sha256", dtype="str"))
    return table.astype(
        {"width": "Int64", "height": "Int64", "frames": "Int64"}
        | dict.fromkeys(BYTES, "object")
        | dict.fromkeys(("fault", "format"), "str")
        | dict.fromkeys(NUMBERS, "float64")
    )


def _read_parts(folder: Path, wanted: Iterable[str]) -> pd.DataFrame:
    """Cached rows of the wanted contents. A part that cannot be read is as good as none."""
    found = []
    for path in sorted(folder.glob("*.parquet")) if folder.is_dir() else []:
        try:
            table = pd.read_parquet(path)
            found.append(table[table.index.isin(list(wanted))][_COLUMNS])
        except Exception:  # a foreign or damaged file: its pictures are measured anew
            path.unlink(missing_ok=True)
    if not found:
        return _table([], [])
    table = pd.concat(found)
    return table[~table.index.duplicated()]
