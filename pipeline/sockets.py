"""Where the sockets of worker processes lie, such that those of a killed process go away again.

`multiprocessing` puts them into a temporary folder that it removes at its end. After ``kill -9``
there is none, and the name tells nobody whose it was.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from multiprocessing import util
from pathlib import Path

PREFIX = "dogs-workers-"
_LONGEST = 60  # bytes of the place for temporary files: a socket's whole path may have 107
_held: list[int] = []  # the lock of this process's folder; its end lets go of it


def prepare() -> None:
    """Give this process's workers a folder that ``sweep`` knows; once a process."""
    if _held or len(os.fsencode(tempfile.gettempdir())) > _LONGEST:
        return
    sweep()
    while True:
        folder = tempfile.mkdtemp(prefix=PREFIX)
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if Path(folder).exists():  # else another one's sweep was faster than the lock
            break
        os.close(lock)
    _held.append(lock)
    before, tempfile.tempdir = tempfile.tempdir, folder
    try:
        util.get_temp_dir()
    finally:
        tempfile.tempdir = before
    # After multiprocessing has removed its own, which has -100.
    util.Finalize(None, shutil.rmtree, (folder, True), exitpriority=-200)


def sweep() -> None:
    """Remove folders whose process is gone: nobody holds their lock."""
    try:
        place = Path(tempfile.gettempdir())
    except FileNotFoundError:  # every place is full or read-only: the work will say it in a line
        return
    for folder in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), _locked(folder):  # held, another user's, or gone
            shutil.rmtree(folder)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)
