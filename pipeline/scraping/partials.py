"""Bodies that were interrupted, kept so that the next attempt, or the next run, continues them.

Only a server that can say "still the same file" and sends ranges gets one: a strong ETag or date,
kept beside the bytes in a small JSON file. A lock on the body keeps two runs on one store apart;
it ends with the process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO

from pipeline.raw import Content, Store, examine

FOLDER = ".partial"
_IN_MEMORY = 1 << 18  # bytes; most pictures are smaller and never see a temporary file
_LIFETIME = 24 * 3600.0  # seconds, then a partial is swept


class Partial:
    """A file that grows. ``validator`` is what If-Range sends; "" where nothing can be resumed."""

    def __init__(self, path: Path, file: BinaryIO, validator: str = "") -> None:
        self.path, self.file, self.validator = path, file, validator
        self.size = os.fstat(file.fileno()).st_size

    def append(self, data: bytes) -> None:
        left = memoryview(data)
        while left:  # unbuffered writes may be short
            left = left[self.file.write(left) :]
        self.size += len(data)

    def close(self) -> None:
        self.file.close()

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        if self.validator:
            _notes(self.path).unlink(missing_ok=True)
        self.close()


def validator(headers: Mapping[str, str], status: int) -> str:
    """What proves that a file is unchanged, if the server resumes at all; else "".

    A strong ETag, or a Last-Modified that is older than the answer: a file may change twice in one
    second (RFC 9110, 8.8.2.2).
    """
    if status != 206 and headers.get("Accept-Ranges", "").strip().lower() != "bytes":
        return ""
    etag, modified = headers.get("ETag", ""), headers.get("Last-Modified", "")
    if etag.startswith('"'):
        return etag
    try:
        age = parsedate_to_datetime(headers.get("Date", "")) - parsedate_to_datetime(modified)
        return modified if age.total_seconds() >= 1 else ""
    # No date, a broken one, only one with a time zone, or one with numbers beyond all bounds.
    except (ValueError, TypeError, OverflowError):
        return ""


class Partials:
    """The partial bodies of one store."""

    def __init__(self, store: Store) -> None:
        self.store, self.folder = store, store.folder / FOLDER
        self._names: set[str] = set()
        oldest = time.time() - _LIFETIME
        for path in self.folder.glob("*"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
                elif not path.suffix:
                    self._names.add(path.name)

    def find(self, url: str) -> Partial | None:
        """The beginning of the body of ``url`` that an earlier attempt got."""
        name = _name(url)
        if name not in self._names:
            return None
        self._names.discard(name)
        path = self.folder / name
        file = _locked(path, create=False)
        if file is None:
            return None
        try:
            notes = json.loads(_notes(path).read_bytes())
            if notes["url"] != url:
                raise ValueError
            partial = Partial(path, file, str(notes["validator"]))
        except (OSError, ValueError, KeyError, TypeError):
            _notes(path).unlink(missing_ok=True)
            partial = Partial(path, file)
        if partial.validator and partial.size:
            return partial
        partial.drop()
        return None

    def create(self, url: str, validator: str) -> Partial:
        """An empty file for the body of ``url``: one that is kept, if the server resumes."""
        if validator:
            self.folder.mkdir(exist_ok=True)
            path = self.folder / _name(url)
            file = _locked(path, create=True)
            if file is not None:
                file.truncate(0)
                # Before the first byte: a body never lies beside the notes of another one.
                _notes(path).write_text(json.dumps({"url": url, "validator": validator}))
                return Partial(path, file, validator)
        path = self.store.temporary()
        return Partial(path, path.open("xb", buffering=0))

    def keep(self, partial: Partial) -> None:
        """Let go of it for now; ``find`` has it again."""
        self._names.add(partial.path.name)
        partial.close()

    def tidy(self) -> None:
        with contextlib.suppress(OSError):  # not empty, or never made
            self.folder.rmdir()


class Body:
    """A body on its way into the store: in memory while it is small, then in a file.

    It may begin with what an earlier attempt got: ``size`` is then not zero from the start.
    """

    def __init__(self, partials: Partials, url: str) -> None:
        self._partials, self._url = partials, url
        self._partial = partials.find(url)
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._validator = self._partial.validator if self._partial else ""

    @property
    def size(self) -> int:
        return self._held_bytes + (self._partial.size if self._partial else 0)

    def request(self) -> dict[str, str]:
        """Headers that ask for what is missing, or for everything if the file has changed."""
        if not self.size:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self._validator}

    @property
    def resumable(self) -> bool:
        return bool(self._validator) and self.size > 0

    def is_of(self, headers: Mapping[str, str]) -> bool:
        """Whether an answer's mark, where it has one, is that of the beginning that is here."""
        name = "ETag" if self._validator.startswith('"') else "Last-Modified"
        return headers.get(name, self._validator) == self._validator

    def restart(self, validator: str = "") -> None:
        """Forget what is here; the whole body follows."""
        if self._partial is not None:
            self._partial.drop()
            self._partial = None
        self._held, self._held_bytes, self._validator = [], 0, validator

    def write(self, data: bytes) -> None:
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= _IN_MEMORY:
            self._spill()

    def _spill(self) -> None:
        if self._partial is None:
            self._partial = self._partials.create(self._url, self._validator)
        data = b"".join(self._held)
        self._held, self._held_bytes = [], 0
        self._partial.append(data)

    def take_in(self) -> Content:
        """The body is whole: examine it and give it its place. Milliseconds of a core."""
        store = self._partials.store
        if self._partial is None:
            data = b"".join(self._held)
            content = examine(data)
            store.put(data, content)
            return content
        try:
            self._spill()
            content = examine(self._partial.path.read_bytes())
            if not store.has(content):
                store.adopt(self._partial.path, content)
            return content
        finally:
            self._partial.drop()

    def leave(self, *, keep: bool) -> None:
        """There will be no more of it in this attempt. Kept only where it can be resumed."""
        if keep and self.resumable:
            with contextlib.suppress(OSError):  # a full disk is found out by whole bodies
                self._spill()
        if self._partial is None:
            return
        if keep and self._partial.validator:
            self._partials.keep(self._partial)
        else:
            self._partial.drop()
        self._partial = None


def _name(url: str) -> str:
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()


def _notes(path: Path) -> Path:
    return path.with_suffix(".json")


def _locked(path: Path, *, create: bool) -> BinaryIO | None:
    """The file, open for appending and ours alone; None if it is another's or gone."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    try:
        file = open(os.open(path, flags, 0o644), "ab", buffering=0)  # noqa: PTH123, SIM115
    except FileNotFoundError:
        return None
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # It may have become a picture of the store between the two calls.
        if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
            return file
    file.close()
    return None
