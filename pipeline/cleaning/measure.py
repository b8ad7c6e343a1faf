"""All that is ever asked of one file, from one decode.

``measure`` is a plain function from a path to a row, so that it can run in any process anywhere.
What it finds depends on the bytes alone: rows are cached by content.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.fft import rfft

from pipeline.cleaning import hashing, quality, seams
from pipeline.cleaning.glance import SIDE as GLANCE
from pipeline.cleaning.glance import glance
from pipeline.images import DRAFT, PictureError, read_picture, shrink_and_crop

_THUMB = 144
SQUARE = 64  # side of the picture kept for training

# Raise when the same bytes would now give other numbers: cached rows are then measured anew.
VERSION = 11
_BYTES = ("greys", "features", "seams", "thumb", "square")
_NUMBERS = ("std", "sharpness", "content", "detail", "colour", *quality.SCORES)


def measure(task: tuple[str, int]) -> dict[str, Any]:
    """The row of one file: (path, max_pixels) -> column values.

    ``fault`` says why the file is no usable picture; all else is then empty. ``greys`` holds the
    bytes of the grey pictures that copies are told by (see ``Looks``), ``detail`` the pixels across
    that the picture really shows, ``features`` the float32 seam evidence, ``seams`` rows of
    (vertical, position, score) as float32, ``thumb`` a small JPEG, ``square`` the 64 x 64 RGB that
    training sees. The scores of ``quality`` are columns of their own.

    What a first look clears of being a collage has one number of seam evidence, the score of its
    best line, and no seams.
    """
    path, max_pixels = task
    try:
        picture = read_picture(Path(path), max_pixels=max_pixels, draft=DRAFT)
    except PictureError as error:
        return faulty(str(error))
    image = picture.image
    look = glance(image)
    found = seams.evidence(image)[0] if look.suspect else seams.cleared(look.score)
    grey = image.convert("L")
    small = _small(grey, look.squashed)
    shades = np.asarray(small)
    whole, trim, middle = _greys(grey, small, look.frame)
    left, top, right, bottom = look.frame
    content = (1 - left - right) * (1 - top - bottom)
    content *= picture.width * picture.height
    low = image.reduce(max(1, min(image.size) // _THUMB))
    std = float(whole.std())
    return {
        "fault": None,
        "format": picture.format,
        "width": picture.width,
        "height": picture.height,
        "frames": picture.frames,
        "std": std,
        "sharpness": _sharpness(shades) / max(std, 1.0),
        "content": float(content),
        "detail": float(np.sqrt(content)) * _shown(grey),
        "colour": _colour(low),
        **quality.scores(shades, look.frame),
        "greys": b"".join(part.tobytes() for part in (whole, trim, middle)),
        "features": found.features.tobytes(),
        "seams": _pack_seams(found.seams),
        "thumb": _thumb(low),
        "square": shrink_and_crop(image, SQUARE).tobytes(),
    }


def _small(grey: Image.Image, squashed: Image.Image) -> Image.Image:
    """The grey picture at 256 x 256, from the squashed one where that was shrunk alike."""
    if min(grey.size) >= GLANCE:
        return squashed.convert("L")
    return grey.resize(squashed.size, Image.Resampling.BOX)


def faulty(fault: str) -> dict[str, Any]:
    """The row of a file that is no usable picture."""
    row = dict.fromkeys(("fault", "format", "width", "height", "frames", *_NUMBERS))
    return row | {"fault": fault} | dict.fromkeys(_BYTES, b"")


def _sharpness(grey: np.ndarray) -> float:
    """Typical size of the Laplacian. The upper quartile: the sharp edges of a watermark, which
    cover less, must not make a copy look better than its original."""
    values = grey.astype(np.int16)
    edges = 4 * values[1:-1, 1:-1]
    for beside in (values[:-2, 1:-1], values[2:, 1:-1], values[1:-1, :-2], values[1:-1, 2:]):
        edges -= beside
    sizes = np.minimum(np.abs(edges), 255).astype(np.uint8)
    below = np.cumsum(quality.histogram(sizes))
    return float(np.searchsorted(below, below[-1] * 3 // 4, side="right"))


_PATCH = 256  # pixels of the middle whose spectrum is looked at
_FALLEN = 0.5


def _shown(grey: Image.Image) -> float:
    """The share of its resolution that a picture makes use of, in (0, 1].

    The power of natural pictures falls with the square of the frequency (Field 1987), so power
    times frequency squared is level, up to where detail ends: at the first frequency where it falls
    to half of what it is at the low ones. Enlarged and blurred pictures end early.
    """
    width, height = grey.size
    x, y = min(_PATCH, width), min(_PATCH, height)
    left, top = (width - x) // 2, (height - y) // 2
    patch = np.asarray(grey.crop((left, top, left + x, top + y)), np.float32)
    # Every second line tells as much.
    return (_reach(patch[::2]) + _reach(patch.T[::2])) / 2


@cache
def _hann(length: int) -> np.ndarray:
    return np.hanning(length).astype(np.float32)


def _reach(lines: np.ndarray) -> float:
    lines = (lines - lines.mean(axis=1, keepdims=True)) * _hann(lines.shape[1])
    waves = rfft(lines, _PATCH, axis=1)
    power = (waves.real**2 + waves.imag**2).mean(axis=0)
    level = power * np.arange(len(power)) ** 2.0
    level = np.convolve(np.pad(level, 4, mode="edge"), np.ones(9) / 9, "valid")
    fallen = np.flatnonzero(level[30:] < _FALLEN * np.median(level[8:30]))
    last = len(level) - 3
    return min(1.0, float(fallen[0] + 30) / last) if len(fallen) else 1.0


def _colour(image: Image.Image) -> float:
    """Mean distance between the largest and the smallest channel, in grey levels; without the rim,
    which may be a frame."""
    small = np.asarray(image.resize((32, 32), Image.Resampling.BOX))[4:28, 4:28].astype(np.int16)
    return float((small.max(axis=2) - small.min(axis=2)).mean())


def _greys(
    grey: Image.Image, small: Image.Image, frame: tuple[float, float, float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The parts of ``Looks``."""
    side, method = (hashing.SIDE, hashing.SIDE), Image.Resampling.LANCZOS
    whole = trim = grey.resize(side, method)
    # Parts come from middle sizes: their pixels are compared, never trained on.
    large = small if min(grey.size) >= 256 else grey.resize(small.size, method)
    left, top, right, bottom = frame
    if any(frame):
        box = (256 * left, 256 * top, 256 * (1 - right), 256 * (1 - bottom))
        trim = large.resize(side, method, box=box)
    middle = large.resize((hashing.MIDDLE, hashing.MIDDLE), Image.Resampling.BOX)
    return np.asarray(whole), np.asarray(trim), np.asarray(middle)


def _pack_seams(found: list[seams.Seam]) -> bytes:
    rows = [(float(seam.vertical), seam.position, seam.score) for seam in found]
    return np.array(rows, np.float32).tobytes()


def unpack_seams(data: bytes) -> list[seams.Seam]:
    """What ``measure`` stored in ``seams``."""
    rows = np.frombuffer(data, np.float32).reshape(-1, 3)
    return [seams.Seam(bool(row[0]), float(row[1]), float(row[2])) for row in rows]


@dataclass(frozen=True)
class Looks:
    """What N pictures look like, grey, uint8: ``whole`` as imagehash shrinks it, ``trim`` without
    the frame (equal where there is none), both N x 32 x 32; ``middle``, N x 64 x 64, for parts."""

    whole: np.ndarray
    trim: np.ndarray
    middle: np.ndarray

    def __len__(self) -> int:
        return len(self.whole)

    def take(self, chosen: np.ndarray) -> Looks:
        """Those of some of the pictures."""
        return Looks(self.whole[chosen], self.trim[chosen], self.middle[chosen])


def unpack_greys(data: Iterable[bytes]) -> Looks:
    """What ``measure`` stored in ``greys``."""
    small, middle = hashing.SIDE**2, hashing.MIDDLE**2
    pixels = np.frombuffer(b"".join(data), np.uint8).reshape(-1, 2 * small + middle)
    shapes = [(hashing.SIDE, hashing.SIDE)] * 2 + [(hashing.MIDDLE, hashing.MIDDLE)]
    parts = np.split(pixels, [small, 2 * small], axis=1)
    return Looks(*(part.reshape(-1, *s) for part, s in zip(parts, shapes, strict=True)))


def _thumb(image: Image.Image) -> bytes:
    small = image.copy()
    small.thumbnail((_THUMB, _THUMB), Image.Resampling.BOX)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=70)
    return out.getvalue()
