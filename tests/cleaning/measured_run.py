"""Measures a folder in a process of its own, so that a test may end it.

python measured_run.py FOLDER CACHE SHARD SECONDS [OUT [SCHEDULER]]
"""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.cleaning import files, work
from pipeline.params import DedupeParams


def found(folder: Path) -> list[files.File]:
    paths = [(path.name, path) for path in sorted(folder.iterdir())]
    return files.read_files(paths, workers=1)


if __name__ == "__main__":
    folder, cache, shard, seconds, *more = sys.argv[1:]
    out, scheduler = [*more, None, None][:2]
    work.SHARD, work.SECONDS = int(shard), float(seconds)
    executor = "dask" if scheduler else "local"
    params = DedupeParams(executor=executor, scheduler=scheduler, workers=1)
    table = work.measurements(found(Path(folder)), params, cache=Path(cache))
    if out:
        table.to_pickle(out)
