"""A data set one already has as data/raw: a folder of class folders, or a tar or zip of one.

Members of an archive are read, never extracted: their names decide a class and a line in the
manifest, not a place on disk, so a hostile name reaches nothing.
"""

from __future__ import annotations

import hashlib
import itertools
import lzma
import os
import re
import tarfile
import unicodedata
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import ParamsError, PipelineError
from pipeline.progress import bar
from pipeline.raw import Content, Row, Store, examine, materialise
from pipeline.workspace import Workspace, exclusive

MAX_BYTES = 26_214_400
_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp"}
_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
_BATCH_FILES, _BATCH_BYTES = 256, 64 << 20  # in memory at once
_MOST_FILES = 2_000_000
_MOST_BYTES = 1 << 40  # unpacked, all together: a bomb ends here

Member = tuple[tuple[str, ...], bytes]  # the parts of a relative path, and the content


def import_dataset(
    path: Path, workspace: Workspace, *, max_bytes: int = MAX_BYTES
) -> dict[str, Any]:
    """Make data/raw from the pictures in ``path``; returns metrics of the form ``scrape`` gives.

    Each folder of pictures is a class; folders that hold everything, and the level of a
    train/val/test split, are seen through; pictures in no folder are one class named after
    ``path``. Files that are neither pictures nor named like one are left out.

    Raises:
        ParamsError: ``path`` is missing or of an unknown kind; nothing was touched.
        PipelineError: no picture in it, or an archive that cannot be read to its end.
    """
    path = path.expanduser()
    if not path.exists():
        raise ParamsError(f"{path}: does not exist; expected a folder, tar or zip of pictures")
    if path.is_file() and not (tarfile.is_tarfile(path) or zipfile.is_zipfile(path)):
        raise ParamsError(f"{path}: is no folder and no tar or zip that can be read")
    with exclusive(workspace.here / ".cache" / "scrape.lock", "scraping or importing"):
        try:
            store = Store(workspace.cache / "scrape" / "store")
            found, refused = _take_in(path, store, max_bytes)
        except OSError as error:  # a full disk, no rights
            raise PipelineError(f"{path}: its pictures cannot be kept: {error}") from None
        if not found:
            raise PipelineError(f"{path}: holds no pictures (jpg, png, webp, gif, bmp)")
        rows = _rows(found, slug(_stem(path)))
        files = materialise(rows, store, workspace.raw)
    return _count(rows, files, refused)


def slug(name: str) -> str:
    """A class name of a-z, 0-9 and _; names without any such character keep apart by a hash."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    return plain or f"class_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _stem(path: Path) -> str:
    name = path.resolve().name
    return re.sub(r"(\.(tar|zip|tgz|tbz2?|txz|gz|bz2|xz))+$", "", name, flags=re.IGNORECASE)


def _take_in(
    path: Path, store: Store, max_bytes: int
) -> tuple[dict[tuple[str, ...], Content], int]:
    """The content of every picture by its path, all of it in the store; and how many refused."""
    found: dict[tuple[str, ...], Content] = {}
    refused = total = 0

    def keep(member: Member) -> Content | None:
        parts, data = member
        content = examine(data)
        if content.ext == "bin" and PurePosixPath(parts[-1]).suffix.lower() not in _SUFFIXES:
            return None
        if len(data) <= max_bytes:
            store.put(data, content)
        return content

    with bar(None, f"import {path.name}", "files") as shown, ThreadPoolExecutor(4) as pool:
        for batch in _batches(_members(path, max_bytes)):
            for member, content in zip(batch, pool.map(keep, batch), strict=True):
                total += len(member[1])
                if content is not None and len(member[1]) > max_bytes:
                    refused += 1
                elif content is not None:
                    found[member[0]] = content
            shown.update(len(batch))
            if len(found) > _MOST_FILES or total > _MOST_BYTES:
                raise PipelineError(f"{path}: more than can be meant ({total:,} bytes so far)")
    return found, refused


def _batches(members: Iterator[Member]) -> Iterator[list[Member]]:
    batch: list[Member] = []
    size = 0
    for member in members:
        batch.append(member)
        size += len(member[1])
        if len(batch) == _BATCH_FILES or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    yield batch


def _members(path: Path, max_bytes: int) -> Iterator[Member]:
    """Regular files with their content (one byte over ``max_bytes`` at most), hidden ones not."""
    try:
        if path.is_dir():
            pairs = _of_folder(path, max_bytes)
        elif tarfile.is_tarfile(path):
            pairs = _of_tar(path, max_bytes)
        else:
            pairs = _of_zip(path, max_bytes)
        for name, data in pairs:
            parts = tuple(part for part in PurePosixPath(name).parts if part not in ("/", "."))
            hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
            if parts and not hidden:  # also: no ".."
                yield parts, data
    except (
        *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
        *(OSError, RuntimeError, NotImplementedError),  # RuntimeError: a zip with a password
    ) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PipelineError(f"{path}: cannot be read to its end ({reason}); nothing done") from None


def _of_folder(path: Path, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file():  # a link to a picture counts, a pipe does not
                with file.open("rb") as opened:
                    yield file.relative_to(path).as_posix(), opened.read(max_bytes + 1)


def _of_tar(path: Path, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r|*") as archive:  # a stream: each byte is unpacked once
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            if file is not None:
                data = file.read(max_bytes + 1)
                if len(data) < min(member.size, max_bytes + 1):
                    raise tarfile.ReadError(f"{member.name} is cut short")
                yield member.name, data


def _of_zip(path: Path, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                with archive.open(member) as file:
                    yield member.filename, file.read(max_bytes + 1)


def _rows(found: dict[tuple[str, ...], Content], name: str) -> list[Row]:
    """Manifest rows, the same whether the data set came as a folder or packed."""
    classes: dict[str, list[tuple[str, Content]]] = defaultdict(list)
    folders = [parts[:-1] for parts in found]
    levels = zip(*folders, strict=False)  # ends with the shortest
    outer = sum(1 for _ in itertools.takewhile(lambda level: len(set(level)) == 1, levels))
    if outer:
        name = slug(next(iter(found))[outer - 1])  # of pictures beside the class folders, too
    for parts, content in found.items():
        rest = parts[outer:]
        if len(rest) > 2 and {each[outer].lower() for each in found} <= _SPLITS:
            rest = (rest[1], rest[0], *rest[2:])
        label = slug(rest[0]) if len(rest) > 1 else name
        classes[label].append(("/".join(rest), content))
    return [
        Row(
            breed=label,
            query=label,
            source="import",
            rank=rank,
            title=None,
            image_url=f"import:{relative}",
            page_url=None,
            licence=None,
            author=None,
            fetched_at=None,
            content=content,
        )
        for label, files in sorted(classes.items())
        for rank, (relative, content) in enumerate(sorted(files, key=lambda file: file[0]))
    ]


def _count(rows: list[Row], files: int, refused: int) -> dict[str, Any]:
    by_breed: dict[str, dict[str, int]] = {}
    paths: dict[str, int] = {}
    for row in rows:
        mine = by_breed.setdefault(row.breed, {"fetched": 0, "duplicates": 0})
        mine["fetched"] += 1
        mine["duplicates"] += row.path in paths
        paths[row.path] = row.content.bytes
    return {
        "breeds": len(by_breed),
        "wanted": len(rows),
        "found": len(rows) + refused,
        "fetched": len(rows),
        "duplicates": len(rows) - files,
        "failed": refused,
        "files": files,
        "not_pictures": sum(not row.content.is_picture for row in rows),
        "missing": 0,
        "bytes": sum(paths.values()),
        "failures": {"too_large": refused} if refused else {},
        "by_breed": by_breed,
    }
