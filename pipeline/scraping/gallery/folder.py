"""A user's own folder of pictures behind the same pages.

Nothing outside the folder is ever read: links are not followed, and URLs hold ids, never paths.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageOps

from pipeline.errors import PipelineError
from pipeline.scraping.gallery.entry import (
    Answer,
    Entry,
    best_names,
    make_id,
    small_file,
    telling,
    words,
)
from pipeline.scraping.gallery.faults import with_faults
from pipeline.scraping.gallery.picture import fitted, on_white

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MEDIA = {
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp",
    "gif": "image/gif", "bmp": "image/bmp",
}  # fmt: skip
MAX_PIXELS = 80_000_000


class Folder:
    """The pictures under ``root`` (``Collection``): each folder is a breed."""

    def __init__(self, root: Path, faults: float = 0.0) -> None:
        if not root.is_dir():
            raise PipelineError(f"gallery: {root}: no such folder of pictures")
        self.root = root.resolve()
        self._paths: dict[str, Path] = {}
        self._by_id: dict[str, Entry] = {}
        self._by_name: dict[str, list[Entry]] = {}
        for path in _pictures(self.root):
            self._add(path)
        if not self._by_id:
            raise PipelineError(
                f"gallery: {root}: holds no pictures; looked for {', '.join(sorted(MEDIA))}"
            )
        self.faults = faults
        for turn, (name, group) in enumerate(self._by_name.items()):
            self._by_name[name] = with_faults(group, faults, turn)
            self._by_id |= {entry.id: entry for entry in self._by_name[name]}
        self._small = lru_cache(maxsize=1024)(self._make_small)

    def _add(self, path: Path) -> None:
        inside = path.relative_to(self.root)
        name = inside.parent.as_posix() if inside.parent.parts else self.root.name
        # A name that is not UTF-8 on disk cannot be printed or sent; its odd bytes become "?".
        name, stem = _printable(name), _printable(path.stem)
        group = self._by_name.setdefault(name, [])
        form, size = self._probe(path)
        id = make_id(os.fsencode(inside))
        entry = Entry(
            id=id, breed=name, rank=len(group), kind="single", of=None, edit=None,
            extension=path.suffix.lower().lstrip("."), format=form,
            width=size[0] if size else None, height=size[1] if size else None,
            shown=size or (480, 360), title=stem.replace("_", " ").strip() or stem,
            licence="not stated", author="not stated",
        )  # fmt: skip
        group.append(entry)
        self._paths[id], self._by_id[id] = path, entry

    def _probe(self, path: Path) -> tuple[str | None, tuple[int, int] | None]:
        """Format and size from the header alone; None for what is no picture."""
        try:
            with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
                kind = {"JPEG": "jpg"}.get(str(image.format), str(image.format).lower())
                return kind, (image.width, image.height)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None, None

    def names(self) -> list[str]:
        """The folders, sorted."""
        return list(self._by_name)

    def entries(self, names: Iterable[str]) -> list[Entry]:
        """The pictures of some folders, folder by folder."""
        return [entry for name in names for entry in self._by_name[name]]

    def find(self, query: str) -> list[Entry]:
        """All for the empty query or the root's name; else by folder, then by file names."""
        if not query.strip() or words(query) == words(self.root.name):
            return list(self._by_id.values())
        exact = [name for name in self._by_name if words(name) == words(query)]
        names = exact or best_names(query, self.names(), {})
        if names:
            return self.entries(names)
        asked = set(telling(query) or words(query))
        return [
            entry
            for entry in self._by_id.values()
            if asked <= set(words(entry.breed)) | set(words(entry.title))
        ]

    def entry(self, id: str) -> Entry | None:
        """The picture with this id."""
        return self._by_id.get(id)

    def small(self, entry: Entry, longest: int) -> Answer:
        """At most ``longest`` pixels a side; a grey card if the file does not decode."""
        return self._small(entry.id, longest)

    def original(self, entry: Entry) -> Answer | None:
        """The file's own bytes."""
        data = self._read(entry.id)
        return None if data is None else Answer(data, MEDIA[entry.extension])

    def identity(self) -> object:
        """The files as they are now: one that changed under its name is another."""
        return [self.faults, [self._stamp(path) for path in self._paths.values()]]

    def _stamp(self, path: Path) -> list[object]:
        name = os.fsencode(path.relative_to(self.root)).hex()
        try:
            status = path.lstat()
        except OSError:
            return [name]
        return [name, status.st_size, status.st_mtime_ns]

    def _read(self, id: str) -> bytes | None:
        """The bytes of a file; None if it went away or became a link since the folder was read."""
        path = self._paths[id]
        try:
            if path.resolve() != path:
                return None
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            with open(handle, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
                return file.read() if stat.S_ISREG(os.fstat(handle).st_mode) else None
        except OSError:
            return None

    def _make_small(self, id: str, longest: int) -> Answer:
        data = self._read(id)
        try:
            image = _shrunk(data or b"", longest)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            image = Image.new("RGB", fitted(*self._by_id[id].shown, longest), "#8a8580")
        return small_file(image, longest)


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _pictures(root: Path) -> list[Path]:
    """Regular files with a picture's extension under ``root``, sorted; no links, none hidden."""
    found = []
    for folder, inner, files in os.walk(root, followlinks=False):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            known = path.suffix.lower().lstrip(".") in MEDIA
            if known and not name.startswith(".") and stat.S_ISREG(path.lstat().st_mode):
                found.append(path)
    return found


def _shrunk(data: bytes, longest: int) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError("too many pixels for a thumbnail")
        image.draft("RGB", (longest * 2, longest * 2))
        upright = ImageOps.exif_transpose(image)
        if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
            upright = upright.convert("RGBA")
        upright = on_white(upright)
        return upright.resize(fitted(*upright.size, longest), Image.Resampling.LANCZOS, None, 3.0)
