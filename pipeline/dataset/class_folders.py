"""A data set of class folders, as a folder or packed in a tar or zip.

Members of an archive are read, never extracted: their names decide a class and a line in the
manifest, not a place on disk, so a hostile name reaches nothing.
"""

from __future__ import annotations

import itertools
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from pipeline.dataset.collection import Collection, Item, class_names, slug
from pipeline.errors import PipelineError
from pipeline.images import sniff
from pipeline.progress import bar
from pipeline.raw import Content, Store, examine
from pipeline.workspace import open_regular

_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp"}
_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
_BATCH_FILES, _BATCH_BYTES = 256, 64 << 20  # in memory at once
_MOST_FILES = 2_000_000
_MOST_BYTES = 1 << 40  # unpacked, all together: a bomb ends here

Parts = tuple[str, ...]  # of a relative path
Member = tuple[Parts, bytes]


def read_class_folders(path: Path, store: Store, max_bytes: int) -> Collection:
    """The pictures of ``path``, each of the class of its folder; all of them in the store.

    Each folder of pictures is a class; folders that hold everything, and the level of a
    train/val/test split, are seen through; pictures in no folder are one class named after
    ``path``. Files that are neither pictures nor named like one are left out.

    Raises:
        PipelineError: no picture in it, or an archive that cannot be read to its end.
    """
    found, refused = _take_in(path, store, max_bytes)
    if not found:
        raise PipelineError(f"{path}: holds no pictures (jpg, png, webp, gif, bmp)")
    return Collection(slug(stem(path)), _items(found, stem(path)), refused=refused)


def stem(path: Path) -> str:
    """The name of a data set's file or folder without what says how it is packed."""
    name = path.resolve().name
    return re.sub(r"(\.(tar|zip|tgz|tbz2?|txz|gz|bz2|xz|npy))+$", "", name, flags=re.IGNORECASE)


def _items(found: dict[Parts, Content], name: str) -> list[Item]:
    """The same whether the data set came as a folder or packed: sorted by class and place."""
    levels = zip(*(parts[:-1] for parts in found), strict=False)  # ends with the shortest
    outer = sum(1 for _ in itertools.takewhile(lambda level: len(set(level)) == 1, levels))
    if outer:
        name = next(iter(found))[outer - 1]  # of pictures beside the class folders, too
    split = {parts[outer].lower() for parts in found} <= _SPLITS
    rests = {}
    for parts in found:
        rest = parts[outer:]
        rests[parts] = (rest[1], rest[0], *rest[2:]) if split and len(rest) > 2 else rest
    folders = {parts: rest[0] if len(rest) > 1 else name for parts, rest in rests.items()}
    names = class_names(folders.values())
    items = [
        Item(names[folders[parts]], "/".join(rests[parts]), content)
        for parts, content in found.items()
    ]
    return sorted(items, key=lambda item: (item.label, item.place))


def _take_in(path: Path, store: Store, max_bytes: int) -> tuple[dict[Parts, Content], int]:
    """The content of every picture by its path, all of it in the store; and how many refused."""
    found: dict[Parts, Content] = {}
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
        for odd, data in pairs:
            # No table holds a name that is no text: its odd bytes are written out.
            name = odd.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
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
            if not file.is_file():  # a pipe, a device
                continue
            with open_regular(file) as opened:
                data = opened.read(max_bytes + 1)
            # A link to a picture counts; to anything else it might be somebody's key.
            if not file.is_symlink() or sniff(data[:16]):
                yield file.relative_to(path).as_posix(), data


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
            if not member.is_dir() and not stat.S_ISLNK(member.external_attr >> 16):
                with archive.open(member) as file:
                    yield member.filename, file.read(max_bytes + 1)
