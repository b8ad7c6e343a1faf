"""Where things lie, and the one way to write, lock and fingerprint them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import secrets
import stat
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError

NOT_REGULAR = "not a regular file"  # of the error that says so
_DEEPEST = 64  # levels of a JSON file that is read


@dataclass(frozen=True)
class Workspace:
    """The two roots of a run, and the fixed places under them.

    ``here`` is the checkout whose code and params run: outs lie in it. ``shared`` is the main
    repository: under ``dvc exp run --temp`` and ``dvc queue`` the checkout is a temporary copy
    that DVC deletes, and ``DVC_ROOT`` still names the main repository, so the MLflow store and
    everything that must survive the copy lies there.
    """

    here: Path
    shared: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Workspace:
        """The workspace around ``start`` (default: the current directory).

        Raises:
            PipelineError: no ``dvc.yaml`` in ``start`` or any folder above it.
        """
        start = (start or Path.cwd()).resolve()
        for folder in (start, *start.parents):
            if (folder / "dvc.yaml").is_file():
                # DVC_ROOT is trusted only from inside a stage, where DVC also sets DVC_STAGE.
                root = os.environ.get("DVC_ROOT") if os.environ.get("DVC_STAGE") else None
                return cls(folder, Path(root).resolve() if root else folder)
        raise PipelineError(
            f"no dvc.yaml in {start} or above it: run this inside a clone of the project"
        )

    @property
    def params(self) -> Path:
        return self.here / "params.yaml"

    @property
    def breeds(self) -> Path:
        return self.here / "breeds.yaml"

    @property
    def raw(self) -> Path:
        return self.here / "data" / "raw"

    @property
    def clean(self) -> Path:
        return self.here / "data" / "clean"

    @property
    def overrides(self) -> Path:
        return self.here / "overrides.csv"

    @property
    def dataset(self) -> Path:
        return self.here / "data" / "dataset"

    @property
    def models(self) -> Path:
        return self.here / "models"

    @property
    def reports(self) -> Path:
        return self.here / "reports"

    @property
    def cache(self) -> Path:
        """Git-ignored working state that outlives a run; never a DVC out."""
        return self.shared / ".cache"

    @property
    def mlruns(self) -> Path:
        return self.shared / "mlruns"


@contextlib.contextmanager
def atomic_write(path: Path, mode: str = "wb") -> Iterator[Any]:
    """Open a file beside ``path`` that replaces it only when the block ends well.

    The bytes are on disk before the rename and the rename is on disk before this returns, so a
    reader (and the next start after ``kill -9`` or power loss) sees the old file or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open(mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def open_regular(path: Path) -> io.BufferedReader:
    """A regular file (a link to one counts), open for reading; never waits on a pipe or a device.

    Raises:
        OSError: it cannot be opened, or is something else.
    """
    # A named pipe would block an ordinary open for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, NOT_REGULAR, str(path))
    return open(descriptor, "rb")  # noqa: PTH123 - a descriptor, and the caller's to close


def read_bounded(path: Path, most: int) -> bytes:
    """The content of a regular file of at most ``most`` bytes; of a larger one nothing is read.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"has {size:,} bytes, expected at most {most:,}", str(path))
        return file.read(most)


def read_json(path: Path, most: int = 64 << 20) -> dict[str, Any]:
    """The object in a JSON file of at most ``most`` bytes, whoever made it.

    Raises:
        OSError: see ``read_bounded``.
        ValueError: it is no JSON object in UTF-8, names a key twice, or is nested too deeply.
    """
    try:
        value = json.loads(read_bounded(path, most).decode(), object_pairs_hook=_unlike)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, got {type(value).__name__}")
    inner: list[Any] = [value]
    for _ in range(_DEEPEST):
        inner = [
            item
            for one in inner
            for item in (one.values() if isinstance(one, dict) else one)
            if isinstance(item, (dict, list))
        ]
    if inner:
        raise ValueError(f"nested more than {_DEEPEST} levels deep")
    return value


def _unlike(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def write_text(path: Path, text: str) -> None:
    with atomic_write(path, "w") as file:
        file.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` with sorted keys, so that equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def sync_directory(path: Path) -> None:
    """Flush a directory's entries, so that a rename in it survives power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def exclusive(path: Path, doing: str) -> Iterator[None]:
    """Hold the lock file ``path`` for the block. The kernel frees it however the process dies.

    Raises:
        PipelineError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise PipelineError(
                f"{doing} is already running (process {file.read().strip() or 'unknown'}): "
                f"wait for it or stop it; lock {path}"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextlib.contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Like ``exclusive``, but waits its turn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def fingerprint(value: Any) -> str:
    """sha256 (hex) of a JSON-able value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_files(paths: Iterable[Path]) -> str:
    """sha256 (hex) over the names and bytes of files, in the order of their names."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path.name}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


@dataclass(frozen=True)
class GitState:
    commit: str | None
    dirty: bool


def git_state(folder: Path, ignoring: Iterable[str] = ()) -> GitState:
    """The commit checked out in ``folder`` and whether tracked files differ from it.

    ``ignoring`` names paths whose changes do not count.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return GitState(None, False)
    paths = [".", *(f":(exclude,top){path}" for path in ignoring)]
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", *paths)
    return GitState(commit, bool(changes))


def committed(folder: Path, name: str) -> str | None:
    """The file ``name`` in ``folder`` as the last commit has it; None if it has none."""
    return _git(folder, "show", f"HEAD:./{name}")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
