"""Measure files: each content once, in processes here or on a cluster, remembered between runs.

Rows are cached by sha256 in parquet parts under ``<cache>/cleaning/<key>/``, where the key names
the code, the libraries and the parameters that can change a number. A part is written for every
thousand pictures as they get done, so a run that was stopped continues where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.cleaning import parts
from pipeline.cleaning.dask_executor import measure_on_dask
from pipeline.cleaning.files import File, read_file
from pipeline.cleaning.shards import Shard, cache_key, measure_locally
from pipeline.params import DedupeParams

SHARD = 1000  # pictures in a part
SECONDS = 60.0  # for one picture, else it is given up


def measurements(
    files: list[File],
    params: DedupeParams,
    *,
    cache: Path | None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """One row per content, indexed and sorted by sha256; columns as ``measure`` gives them.

    Args:
        params: ``executor`` says where files are measured, by ``scheduler`` or ``workers``.
        cache: where rows are remembered; None: nowhere.
        columns: those wanted (default: all).

    Raises:
        PipelineError: the executor cannot work, or the cache cannot be written.
    """
    place = {file.sha256: file.path for file in files if file.sha256 is not None}
    folder = None if cache is None else cache / "cleaning" / cache_key(params.max_pixels)
    known = parts.read(folder, place, columns)
    missing = sorted(set(place) - set(known.index))
    if not missing:
        return known
    memory: list[pd.DataFrame] = []

    def keep(rows: pd.DataFrame) -> None:
        passing = _passing(rows, place) if folder is not None else np.ones(len(rows), bool)
        memory.append(rows[passing][known.columns])
        if folder is not None:
            parts.write(rows[~passing], folder)

    # Workers on other machines have other current folders.
    found = tuple((sha, str(place[sha].absolute())) for sha in missing)
    shard = Shard(found, params.max_pixels, SECONDS)
    if params.executor == "dask":
        measure_on_dask(shard, SHARD, params.scheduler or "", keep)
    else:
        measure_locally(shard, SHARD, params.workers, keep)
    tables = [
        known,
        parts.read(folder, missing, columns),
        *memory,
    ]
    return pd.concat([rows for rows in tables if len(rows)]).sort_index()


def _passing(rows: pd.DataFrame, place: dict[str, Path]) -> np.ndarray:
    """Which rows tell of a file that changed or vanished, not of the content they are named by."""
    found = np.zeros(len(rows), bool)
    for k in np.flatnonzero(rows["fault"].notna()):
        sha = rows.index[k]
        found[k] = read_file("", place[sha]).sha256 != sha
    return found
