"""How work ends: asked to by a signal, without its DVC, and its record as the work did."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from pipeline import sockets
from pipeline.errors import Interrupted, run_cleanly

WATCH_SECONDS = 1.0
_SHELLS = {"sh", "bash", "dash", "ksh", "zsh", "fish"}


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


@contextmanager
def stop_on_signals() -> Iterator[list[int]]:
    """A one-element list that turns to the number of the first SIGINT or SIGTERM.

    The loop then finishes its step and saves; a second signal ends the process at once.
    """
    received = [0]

    def remember(signum: int, _frame: FrameType | None) -> None:
        if received[0]:
            raise KeyboardInterrupt
        received[0] = signum

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_at_once() -> None:
    """Until ``run_stage``: Ctrl-C ends the process with a line. Nothing is begun yet, and raised
    in the middle of an import it would be a traceback through other people's packages."""

    def leave(_signum: int, _frame: FrameType | None) -> None:
        os.write(2, b"error: stopped by Ctrl-C\n")
        os._exit(130)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored
        signal.signal(signal.SIGINT, leave)


def run_stage(main: Callable[[], None]) -> None:
    """``run_cleanly`` for a stage, which also stops when the DVC that started it is gone.

    Nobody would record what it makes: DVC would make it again from the beginning. Stopped as by
    SIGTERM, it saves, and DVC's next start goes on from there.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sockets.sweep()
    if os.environ.get("DVC_STAGE"):
        threading.Thread(target=_watch, args=(STARTED_BY,), daemon=True).start()
    run_cleanly(main)


def _line_to_dvc() -> list[int]:
    """The processes from this one's parent up to DVC, which may have a shell in between."""
    line = [os.getppid()]
    while _comm(line[-1]) in _SHELLS and (above := _parent(line[-1])):
        line.append(above)
    return line


def _watch(line: list[int]) -> None:
    while os.getppid() == line[0] and all(_parent(a) == b for a, b in pairwise(line)):
        time.sleep(WATCH_SECONDS)
    print("DVC is gone: stopping, so that its next start goes on from here", file=sys.stderr)
    os.kill(os.getpid(), signal.SIGTERM)


def _comm(pid: int) -> str:
    """The name of a process; empty where the system does not say."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _parent(pid: int) -> int:
    """The parent of a process; 0 where there is none, or the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


# Noted when this is imported, by `stages` first of all: DVC may be gone before torch is there.
STARTED_BY = _line_to_dvc()
