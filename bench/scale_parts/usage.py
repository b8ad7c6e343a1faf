"""What a command used, its children included: python usage.py OUT.json COMMAND [ARGUMENT ...]

Runs the command and writes OUT.json; ends as the command did. Linux only: it reads /proc.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

PAUSE = 0.25  # seconds between two looks at the memory
PATIENCE = 10.0  # seconds that orphans of the command get to end
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)


class Memory(threading.Thread):
    """The most memory that a process and all below it had at once, by looking again and again.

    ``peak``: MB of their proportional sets, so that a shared page counts once. ``own``: MB, the
    largest resident set of the process alone, which the kernel itself keeps.
    """

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root, self.peak, self.own = root, 0.0, 0.0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(PAUSE):
            found = [_kilobytes(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in tree(self.root)]
            self.peak = max(self.peak, sum(found) / 1e3)
            self.own = max(self.own, _kilobytes(f"/proc/{self.root}/status", "VmHWM:") / 1e3)


def tree(pid: int) -> list[int]:
    """A process and all below it, as far as they still run."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:  # it has ended meanwhile
                continue
    return found


def _kilobytes(path: str, key: str) -> int:
    try:
        for line in Path(path).read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1])
    except OSError:  # it has ended meanwhile
        pass
    return 0


def measure(command: list[str]) -> tuple[int, dict[str, float]]:
    """The exit code, and seconds, CPU seconds and memory (MB) of a command and all below it."""
    # Pools of processes leave their fork server behind: it becomes our child, and is counted.
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    started = time.perf_counter()
    process = subprocess.Popen(command)
    memory = Memory(process.pid)
    memory.start()
    code = process.wait()
    seconds = time.perf_counter() - started
    memory.over.set()
    memory.join()
    _reap_orphans()
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
    of_this = resource.getrusage(resource.RUSAGE_SELF)
    used = {
        "seconds": seconds,
        "cpu": of_children.ru_utime + of_children.ru_stime,
        "user": of_children.ru_utime,
        "watching": of_this.ru_utime + of_this.ru_stime,
        # The kernel's own figure sees peaks between two looks, of the largest process.
        "peak": max(memory.peak, of_children.ru_maxrss / 1e3),
        "own": memory.own,
    }
    return code, used


def _reap_orphans() -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            time.sleep(0.02)


def main() -> None:
    code, used = measure(sys.argv[2:])
    Path(sys.argv[1]).write_text(json.dumps(used))
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
