"""The files that were found, and the hash of what each holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipeline import pool
from pipeline.images import PictureError, open_regular
from pipeline.progress import progress


@dataclass(frozen=True)
class File:
    """A file that was found: ``name`` relative to the folder, and what it holds.

    ``sha256`` is None for what cannot be read; ``fault`` then says why.
    """

    name: str
    path: Path
    sha256: str | None
    bytes: int
    fault: str | None = None


def read_files(paths: Iterable[tuple[str, Path]], *, workers: int) -> list[File]:
    """Hash the files (name, path), in the order given."""
    paths = list(paths)
    if not paths:
        return []
    # hashlib lets go of the interpreter, so threads are enough.
    with ThreadPoolExecutor(workers or pool.cores()) as threads:
        found = threads.map(lambda item: read_file(*item), paths)
        return list(progress(found, "read", "files", total=len(paths)))


def read_file(name: str, path: Path) -> File:
    """Hash one file; never raises for what cannot be read."""
    try:
        with open_regular(path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return File(name, path, digest, file.tell())
    except PictureError as error:
        return File(name, path, None, 0, str(error))
    except OSError as error:
        return File(name, path, None, 0, f"cannot be read: {error.strerror}")
