"""Where things lie, and the one way to write, lock and fingerprint them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import os
import secrets
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pipeline.errors import PipelineError
from pipeline.plain_yaml import no_key_twice

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


P = TypeVar("P")
R = TypeVar("R")
Stage: TypeAlias = Callable[[P, Workspace], R]


@contextlib.contextmanager
def atomic_write(path: Path, mode: str = "wb") -> Iterator[Any]:
    """Open a file beside ``path`` that replaces it only when the block ends well.

    The bytes are on disk before the rename and the rename is on disk before this returns, so a
    reader (and the next start after ``kill -9`` or power loss) sees the old file or the new one.
    What a killed writer left beside ``path`` is taken over by the next one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor, temporary = _open_beside(path)
        with os.fdopen(descriptor, mode, encoding=None if "b" in mode else "utf-8") as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                # While it is still locked, and so surely ours. A read-only disk refuses this too.
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)
                raise
        sync_directory(path.parent)
    except OSError as error:
        if error.filename is None or Path(error.filename).name.startswith(f".{path.name}."):
            error.filename = str(path)  # a full disk is said of no file, or of one nobody knows
        raise


def _open_beside(path: Path) -> tuple[int, Path]:
    """An empty file beside ``path`` that no other living process writes.

    One name for all writers, so that what a killed one leaves is found without a search; the
    kernel's lock tells whether it is killed. Who comes while another writes takes a name of its
    own. A link in its place, which may lead anywhere, is removed.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with contextlib.suppress(FileNotFoundError):
        if temporary.is_symlink():
            temporary.unlink()
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if temporary.stat().st_ino == os.fstat(descriptor).st_ino:  # else it was renamed just now
            os.ftruncate(descriptor, 0)
            return descriptor, temporary
    except OSError:  # locked, gone since, or a file system without locks
        pass
    os.close(descriptor)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    return os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), temporary


def open_regular(path: Path) -> BufferedReader:
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
        value = json.loads(read_bounded(path, most).decode(), object_pairs_hook=no_key_twice)
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
        with contextlib.suppress(OSError):  # on a full disk: the lock holds without a name in it
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), str(os.getpid()).encode())
        yield


def alone(stage: str) -> Callable[[Stage[P, R]], Stage[P, R]]:
    """Let one process at a time make the outs of ``stage`` in a checkout: decorates its ``run``.

    DVC sees to that while it lives; a stage whose DVC was killed goes on all the same. What is
    decorated raises PipelineError where another process is at it.
    """

    def decorate(run: Stage[P, R]) -> Stage[P, R]:
        @functools.wraps(run)
        def locked(params: P, space: Workspace) -> R:
            with exclusive(space.here / ".cache" / f"{stage}.lock", stage):
                return run(params, space)

        return locked

    return decorate


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


def committed(folder: Path, name: str, revision: str = "HEAD") -> str | None:
    """The file ``name`` in ``folder`` as a commit has it, the last one; None if it has none."""
    return _git(folder, "show", f"{revision}:./{name}")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
