"""A folder cleaned from files to the review page, nothing cached: python folder.py FOLDER WORKERS

Prints JSON: for each step its seconds and CPU seconds (of the worker processes too), and how the
files were judged.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
import time
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from pipeline.cleaning import decide
from pipeline.cleaning.verdicts import counts
from pipeline.params import DedupeParams
from stages import dedupe

STEPS = {
    "find_files": "find",
    "read_files": "hash the bytes",
    "measurements": "decode, measure",
    "_pairs": "pairs",
    "_judge_collages": "collage model",
    "decide": "decisions",
}
spent: dict[str, tuple[float, float]] = {}


def cpu() -> float:
    """CPU seconds of this process and of its workers that have ended. These are children of the
    fork server, which the operating system must be asked about."""
    seconds = sum(os.times()[:4])
    server = getattr(forkserver._forkserver, "_forkserver_pid", None)
    if server is not None:
        fields = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()
        seconds += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return seconds


def timed(name: str, function: Any) -> Any:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        started, before = time.perf_counter(), cpu()
        result = function(*args, **kwargs)
        if name == "find":
            result = list(result)  # a generator: it works while it is read
        spent[name] = (time.perf_counter() - started, cpu() - before)
        return result

    return run


def main() -> None:
    folder, workers = Path(sys.argv[1]), int(sys.argv[2])
    for attribute, name in STEPS.items():
        setattr(decide, attribute, timed(name, getattr(decide, attribute)))
    with tempfile.TemporaryDirectory() as place:
        started, before = time.perf_counter(), cpu()
        params = DedupeParams(workers=workers)
        cleaned = decide.clean(folder, params, cache=Path(place) / "cache")
        timed("review page, table", dedupe.write)(cleaned, Path(place) / "clean")
        whole = time.perf_counter() - started, cpu() - before
    judged = {name: int(value) for name, value in counts(cleaned.table).items() if value}
    print(json.dumps({"steps": spent, "whole": whole, "counts": judged}))


if __name__ == "__main__":
    main()
