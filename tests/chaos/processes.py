"""The processes that belong to one clone, whoever started them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil
from clone import wait_for


def processes_of(scratch: Path) -> list[psutil.Process]:
    """Those that name ``scratch`` in their environment, on their command line, or work there."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and str(scratch) in _traces(process):
                found.append(process)
    return found


def _traces(process: psutil.Process) -> str:
    traces = list(process.cmdline())
    for ask in (process.cwd, lambda: " ".join(process.environ().values())):
        with contextlib.suppress(psutil.Error, OSError):
            traces.append(ask())
    return " ".join(traces)


def running_stages(scratch: Path) -> list[tuple[str, psutil.Process]]:
    """The stages that run now; after a kill of DVC there may be two."""
    found = []
    for process in processes_of(scratch):
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if len(words) == 3 and words[1] == "-m" and words[2].startswith("stages."):
                found.append((words[2].removeprefix("stages."), process))
    return found


def named(scratch: Path, word: str) -> list[psutil.Process]:
    """Those with ``word`` on the command line."""
    found = []
    for process in processes_of(scratch):
        with contextlib.suppress(psutil.Error):
            if word in process.cmdline():
                found.append(process)
    return found


def seconds_of(process: psutil.Process) -> float:
    """CPU seconds that it has used; infinite once it is gone."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return float("inf")
        times = process.cpu_times()
    except psutil.Error:
        return float("inf")
    return float(times.user + times.system)


def all_gone(scratch: Path, limit: float = 120) -> None:
    """Wait until no process of the clone is left."""

    def none_left() -> bool:
        nonlocal left
        left = processes_of(scratch)
        return not left

    left: list[psutil.Process] = []
    try:
        wait_for(none_left, "the last process", limit)
    except AssertionError:
        lines = []
        for process in left:
            with contextlib.suppress(psutil.Error):
                lines.append(f"{process.pid} {' '.join(process.cmdline())}")
        raise AssertionError("still running:\n" + "\n".join(lines)) from None
