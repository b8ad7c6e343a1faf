"""What strangers send: texts, files that are no files, and the watch over what they do."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError

# In each, what would run or steer if it were taken for more than text.
SCRIPTS = (
    "<script>window.canary=1</script>",
    "\"><img src=x onerror='window.canary=2'>",
    "</script><script>window.canary=3</script>",
    "javascript:window.canary=4",
    "</style><style>body{display:none}</style>",
    "<svg onload=window.canary=5>",
    "{{ 7 * 191 }}{% raw %}",
    "';window.canary=6;//",
    "&lt;b&gt;",
)
STEERING = ("\x1b[2J\x1b]0;owned\x07", "\x9b31m", "\u202egpj.exe", "a\rb", "\x00", "\u2028")

MIB = 600  # beyond what is in use: threads and the net itself take some
HUGE = "x" * 100_000
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 2**31, 10**30, float("inf"), float("nan"), 0.5),
    *("", "0", "\x1b[31m\n", "../../etc/passwd", HUGE),
    *([], [[]], ["a", "a"], {}, {"a": {"b": {}}}, [2**70] * 3),
)


def steers(text: str) -> list[str]:
    """The characters of ``text`` that a terminal would obey."""
    return sorted({c for c in text if not c.isprintable() and c != "\n"})


def one_line(error: PipelineError, *names: str) -> None:
    """What a refusal has to be: short, naming what is wrong."""
    text = str(error)
    assert len(text) < 5_000, f"{len(text)} characters"
    for name in names:
        assert name in text


@contextmanager
def memory_within(mib: int) -> Iterator[None]:
    """Whoever asks for more memory than that, beyond what is in use, gets a MemoryError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + (mib << 20), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def sparse(path: Path, size: int, content: bytes = b"") -> None:
    """A file of ``size`` bytes that takes no room on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.truncate(size)


def no_file(path: Path, kind: str) -> None:
    """In place of the file ``path`` something that cannot be read as one."""
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "huge":
        sparse(path, 10 << 30)
    else:
        path.symlink_to("/etc/passwd" if kind == "secret" else "/nonexistent")


NO_FILES = ("pipe", "folder", "device", "loop", "huge", "secret", "dangling")


class Evil:
    """Unpickled, it makes the folder ``place``."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.place),)


def tree(folder: Path) -> dict[str, int]:
    """Every path under ``folder`` with its size."""
    return {
        str(path.relative_to(folder)): path.lstat().st_size for path in sorted(folder.rglob("*"))
    }


# --------------------------------------------------------------------------- weights


def lying(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(start: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


FORGED = {
    "empty": b"",
    "header beyond the file": lying({}, length=1 << 20),
    "header of 2^63 bytes": lying({}, length=2**63),
    "header of 100 MB": lying(b"{}", length=100 << 20),
    "no JSON": lying(b"\xff" * 64),
    "deep": lying(b'{"a":' + b"[" * 5_000),
    "data beyond the file": lying({"a": entry(0, 4_000_000, [1_000_000])}),
    "backwards": lying({"a": entry(8, 0, [2])}, b"\0" * 8),
    "overlap": lying({"a": entry(0, 8, [2]), "b": entry(4, 12, [2])}, b"\0" * 12),
    "a shape without end": lying({"a": entry(0, 8, [2**62, 2**62])}, b"\0" * 8),
    "a hole": lying({"a": entry(4, 8, [1])}, b"\0" * 8),
    "more data than named": lying({"a": entry(0, 4, [1])}, b"\0" * 400),
    "type unknown": lying({"a": entry(0, 4, [1], "PYOBJ")}, b"\0" * 4),
}
