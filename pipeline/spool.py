"""A run's record on this disk: a journal that only grows, written now and delivered later.

A spool is a folder that may be copied to another machine as it is::

    events.jsonl   a JSON line an event: {"do": "metrics", "at": 1795287665340, "step": 64, ...}
    files/         what events name: pictures, checkpoints, artifacts
    tmp/           temporary files of the delivery
    cursor.json    how far ``pipeline.delivery`` has come, and with which run

Writing needs neither MLflow nor a network. A line is one ``write``, so ``kill -9`` leaves at most
one torn line at the end; readers ignore it and the next writer cuts it off.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.workspace import Workspace, write_json

EVENTS = "events.jsonl"
FILES = "files"
SCRAPS = "tmp"  # temporary files of the delivery
LOCK = "lock"
_CURSOR = "cursor.json"

Event = dict[str, Any]


def home(workspace: Workspace) -> Path:
    """The folder of all spools, in the main repository: a queued experiment's copy is deleted."""
    return workspace.cache / "spool"


def new_name() -> str:
    """A name no other spool has; names sort by the time they were made."""
    seconds, rest = divmod(time.time_ns(), 10**9)
    moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime(seconds))
    return f"{moment}-{rest // 10**6:03d}-{secrets.token_hex(6)}"


def spools(folder: Path) -> list[Path]:
    """The spools in ``folder``, oldest first; ``folder`` itself if it is one."""
    if (folder / EVENTS).is_file():
        return [folder]
    return sorted(path.parent for path in folder.glob(f"*/{EVENTS}"))


class Journal:
    """The one writer of a spool. While it is open, ``is_written`` says so.

    Args:
        folder: the spool; made if it is not there, continued if it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = _open_locked(folder)
        self._cut_torn_line()
        self._begun = max([time.time(), *(event["at"] / 1000 for event, _ in read(folder))])
        self._ticks = time.monotonic()

    def write(self, do: str, *, sync: bool = False, **fields: Any) -> None:
        """Append one event with the time in milliseconds; ``sync`` waits until it is on disk.

        Raises:
            OSError: the disk is full; nothing of the event is left in the journal.
        """
        event = {"do": do, "at": self.now()} | fields
        line = (json.dumps(event, ensure_ascii=False) + "\n").encode()
        before = os.fstat(self._file).st_size
        if os.write(self._file, line) != len(line):
            os.ftruncate(self._file, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder / EVENTS))
        if sync:
            os.fsync(self._file)

    def now(self) -> int:
        """Milliseconds since 1970, as the clock said when the journal was opened: never less than
        before, whatever the clock does meanwhile, so that no run ends before it begins."""
        return int((self._begun + time.monotonic() - self._ticks) * 1000)

    def place(self, name: str) -> Path:
        """A new path under ``files/`` for a file or folder called ``name``."""
        folder = self.folder / FILES / secrets.token_hex(6)
        folder.mkdir(parents=True)
        return folder / name

    def keep(self, source: Path) -> str:
        """Keep a file or folder as it is now, and give its path within the spool.

        Hard links where the disk has them: the project replaces files, it never rewrites them.
        """
        target = self.place(source.name)
        if source.is_dir():
            shutil.copytree(source, target, copy_function=_link_or_copy)
        else:
            _link_or_copy(str(source), str(target))
        return self.within(target)

    def within(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _cut_torn_line(self) -> None:
        size = os.fstat(self._file).st_size
        whole = _whole_lines(self.folder / EVENTS)
        if whole < size:
            os.ftruncate(self._file, whole)


def _open_locked(folder: Path) -> int:
    """A descriptor to append to the journal, locked against ``remove``."""
    while True:
        (folder / FILES).mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(folder / EVENTS, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        except FileNotFoundError:  # removed since the line above: it was delivered
            continue
        fcntl.flock(file, fcntl.LOCK_SH)
        if os.fstat(file).st_nlink:
            return file
        os.close(file)


def _link_or_copy(source: str, target: str) -> None:
    source = os.path.realpath(source)  # the file itself, where DVC's cache links to it
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _whole_lines(path: Path) -> int:
    """Bytes up to and with the last line end."""
    with path.open("rb") as file:
        place = file.seek(0, os.SEEK_END)
        while place > 0:
            start = max(0, place - 65536)
            file.seek(start)
            found = file.read(place - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            place = start
    return 0


# --------------------------------------------------------------------------- reading


def read(folder: Path, offset: int = 0) -> Iterator[tuple[Event, int]]:
    """Whole events from byte ``offset`` on, each with the offset behind it.

    A line that is no JSON (power loss may leave zeros) is passed over.
    """
    with (folder / EVENTS).open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            try:
                event = json.loads(line)
            except ValueError:
                continue
            yield event, offset


def is_written(folder: Path) -> bool:
    """Whether a process has the journal open for writing."""
    try:
        with (folder / EVENTS).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


@dataclass
class Cursor:
    """How far a spool is delivered. Losing it costs time: delivering again changes nothing.

    Attributes:
        store: the MLflow store that has the events.
        run_id: the run they went to there.
        offset: bytes of the journal delivered.
        ended: the last event delivered was the run's end.
        problem: why the rest is not, in one line.
        said: what was decided on the way, a line each.
    """

    store: str = ""
    run_id: str = ""
    experiment_id: str = ""
    offset: int = 0
    ended: bool = False
    problem: str = ""
    said: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Path) -> Cursor:
        try:
            return cls(**json.loads((folder / _CURSOR).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return cls()

    def save(self, folder: Path) -> None:
        write_json(folder / _CURSOR, asdict(self))


def is_delivered(folder: Path) -> bool:
    return Cursor.load(folder).offset >= _whole_lines(folder / EVENTS)


def remove(folder: Path) -> bool:
    """Delete a delivered spool; False if it has more events or a writer."""
    with contextlib.suppress(FileNotFoundError), (folder / EVENTS).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if not is_delivered(folder):
            return False
        # The journal goes first, still locked: a writer that waits for it finds it gone.
        (folder / EVENTS).unlink()
        shutil.rmtree(folder, ignore_errors=True)
        return True
    return False
