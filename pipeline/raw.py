"""data/raw: content-addressed originals and their manifest, and the one way to write them.

Pictures are fetched (or imported) into a store whose file names are the sha256 of the content;
``materialise`` then lays out exactly what was asked for as hard links. The store lies in the cache
and outlives a run: DVC empties ``data/raw`` before the stage that makes it, the store stays.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from pipeline.errors import PipelineError
from pipeline.images import PictureError, read_picture, sniff
from pipeline.workspace import atomic_write

MANIFEST = "manifest.parquet"
NOT_A_PICTURE = "bin"  # the extension of content that no magic bytes name

_COLUMNS = {
    "breed": "string",
    "query": "string",
    "source": "string",
    "rank": "int64",
    "title": "string",
    "image_url": "string",
    "page_url": "string",
    "licence": "string",
    "author": "string",
    "fetched_at": "string",
    "robots": "string",
    "bytes": "int64",
    "sha256": "string",
    "width": "Int64",
    "height": "Int64",
    "path": "string",
}


@dataclass(frozen=True)
class Content:
    """What is known of the bytes of one file.

    ``width`` and ``height`` are pixels as a person sees them (orientation applied), and None when
    the file does not decode to its end.
    """

    sha256: str
    ext: str
    bytes: int
    width: int | None
    height: int | None

    @property
    def is_picture(self) -> bool:
        return self.width is not None


@dataclass(frozen=True)
class Row:
    """One manifest row: where a picture was found, and its content.

    ``robots`` says whether the source's robots.txt was heeded or ignored; None where none applies.
    """

    breed: str
    query: str
    source: str
    rank: int
    title: str | None
    image_url: str
    page_url: str | None
    licence: str | None
    author: str | None
    fetched_at: str | None
    content: Content
    robots: str | None = None

    @property
    def path(self) -> str:
        """Relative to data/raw, with forward slashes."""
        return f"{self.breed}/{self.content.sha256[:16]}.{self.content.ext}"


def examine(data: bytes) -> Content:
    """Hash, format by content, and size in pixels, by a full decode."""
    width = height = None
    with contextlib.suppress(PictureError):
        # A draft still reads the whole stream, so a truncated JPEG is found out at a third of
        # the price of a full decode.
        picture = read_picture(data, draft=64)
        width, height = picture.width, picture.height
    ext = sniff(data[:16]) or NOT_A_PICTURE
    return Content(hashlib.sha256(data).hexdigest(), ext, len(data), width, height)


class Store:
    """A folder of read-only files named after the sha256 of their content."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, content: Content) -> Path:
        return self.folder / f"{content.sha256}.{content.ext}"

    def has(self, content: Content) -> bool:
        """Whether the content is here whole; a length of zero after power loss is not."""
        try:
            return self.path(content).stat().st_size == content.bytes
        except OSError:
            return False

    def temporary(self) -> Path:
        """A name nobody else uses, for a body that is still coming in."""
        return self.folder / f".{os.getpid()}-{secrets.token_hex(8)}.part"

    def put(self, data: bytes, content: Content) -> None:
        if not self.has(content):
            temporary = self.temporary()
            try:
                temporary.write_bytes(data)
                self.adopt(temporary, content)
            finally:
                temporary.unlink(missing_ok=True)

    def adopt(self, temporary: Path, content: Content) -> None:
        """Give a finished file its name. Read-only: data/raw holds links to the same bytes."""
        temporary.chmod(0o444)
        temporary.replace(self.path(content))

    def sweep(self) -> None:
        """Remove what downloads of dead processes left behind."""
        for part in self.folder.glob(".*.part"):
            owner = part.name[1:].partition("-")[0]
            if not (owner.isdigit() and _alive(int(owner))):
                part.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def materialise(rows: Sequence[Row], store: Store, raw: Path) -> int:
    """Make ``raw`` hold exactly the files of ``rows`` and their manifest; returns the files.

    Files that no row names are removed. The manifest is taken away first and written last, so a
    folder with a manifest is a whole one. Equal rows give equal bytes.

    Raises:
        PipelineError: a file of the store is gone.
    """
    rows = sorted(rows, key=lambda row: (row.breed, row.rank, row.image_url))
    wanted = {row.path: row.content for row in rows}
    raw.mkdir(parents=True, exist_ok=True)
    (raw / MANIFEST).unlink(missing_ok=True)
    _remove_others(raw, set(wanted))
    for path, content in sorted(wanted.items()):
        _link(store.path(content), raw / path, content)
    _write_manifest(rows, raw / MANIFEST)
    return len(wanted)


def _remove_others(raw: Path, wanted: set[str]) -> None:
    for folder, inner, names in os.walk(raw, topdown=False):
        # A link to a folder leads out of data/raw: what is written under it would lie elsewhere.
        for name in (name for name in inner if Path(folder, name).is_symlink()):
            Path(folder, name).unlink()
        for name in names:
            path = Path(folder, name)
            if path.relative_to(raw).as_posix() not in wanted:
                path.unlink()
        if Path(folder) != raw:
            with contextlib.suppress(OSError):  # not empty: it holds wanted files
                Path(folder).rmdir()


def _link(source: Path, target: Path, content: Content) -> None:
    with contextlib.suppress(OSError):
        if target.samefile(source):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
        return
    except FileNotFoundError:
        raise PipelineError(f"{source} vanished while data/raw was written: run again") from None
    except OSError:  # another file system, or one without hard links
        data = source.read_bytes()
    if len(data) != content.bytes:
        raise PipelineError(f"{source} is damaged: delete it and run again")
    with atomic_write(target) as file:
        file.write(data)


def _write_manifest(rows: Sequence[Row], path: Path) -> None:
    with atomic_write(path) as file:
        manifest_table(rows).to_parquet(file, index=False)


def manifest_table(rows: Sequence[Row]) -> pd.DataFrame:
    return pd.DataFrame(list(_records(rows)), columns=list(_COLUMNS)).astype(_COLUMNS)


def _records(rows: Sequence[Row]) -> Iterator[dict[str, object]]:
    for row in rows:
        record = asdict(row)
        content = record.pop("content")
        content.pop("ext")
        yield record | content | {"path": row.path}
