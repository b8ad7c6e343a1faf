"""The photos everything is composed from, and their two halves."""

from __future__ import annotations

import hashlib
import io
import random
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
_BREEDS = ("beagle", "poodle", "pug", "boxer", "collie", "samoyed", "borzoi", "whippet")
_EACH = 50


@dataclass(frozen=True)
class Photo:
    """A photo as it lies on disk; ``name`` decides its half and seeds whatever is made of it."""

    name: str
    path: Path

    def open(self) -> Image.Image:
        with Image.open(self.path) as image:
            return image.convert("RGB")


def find_photos(folder: Path) -> list[Photo]:
    """Every picture file below ``folder``, by name."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    return [Photo(path.relative_to(folder).as_posix(), path) for path in paths]


def draw_dogs(folder: Path) -> Path:
    """The embedded gallery's drawn dogs as files, for a clone that has no photos."""
    from pipeline.scraping.gallery import Gallery

    folder.mkdir(parents=True, exist_ok=True)
    gallery = Gallery(_BREEDS, seed=0, per_breed=_EACH, planted=0)
    for row in gallery.truth().itertuples():
        path = folder / f"{row.breed}-{row.rank:03}.{row.format}"
        entry = gallery.collection.entry(row.id)
        if entry is not None and not path.exists():
            answer = gallery.collection.original(entry)
            assert answer is not None
            path.write_bytes(answer.body)
    return folder


def digest(*parts: object) -> str:
    """32 hex digits of any parts: seeds, and file names that tell nothing."""
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()[:32]


def halves(photos: list[Photo]) -> dict[str, list[Photo]]:
    """Tuning and test half by the hash of the name; either half in an order that means nothing."""
    order = sorted(photos, key=lambda photo: digest("order", photo.name))
    parts: dict[str, list[Photo]] = {"tuning": [], "test": []}
    for photo in order:
        parts["test" if int(digest("half", photo.name), 16) % 2 else "tuning"].append(photo)
    return parts


def seeded(*parts: object) -> random.Random:
    return random.Random(digest(*parts))


def encode(image: Image.Image, kind: str, quality: int) -> bytes:
    """The bytes of a file; ``kind`` is a Pillow format."""
    out = io.BytesIO()
    image.save(out, kind, quality=quality)
    return out.getvalue()
