"""All that is ever asked of one file, from one decode.

``measure`` is a plain function from a path to a row, so that it can run in any process anywhere.
What it finds depends on the bytes alone: rows are cached by content.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from pipeline.cleaning import hashing, seams
from pipeline.images import PictureError, read_picture

# The kinds of grey thumbnail, as (share cut off each side). "trim" cuts the uniform frame.
CROPS = {"whole": 0.0, "crop5": 0.025, "crop10": 0.05, "crop15": 0.075}
VARIANTS = (*CROPS, "trim")

# Seams are looked for at 384 pixels; a JPEG is decoded no smaller.
DRAFT = 384
_THUMB = 144

# Raise when the same bytes would now give other numbers: cached rows are then measured anew.
VERSION = 4


def measure(task: tuple[str, int]) -> dict[str, Any]:
    """The row of one file: (path, max_pixels) -> column values.

    ``fault`` says why the file is no usable picture; all else is then empty. ``greys`` holds the
    bytes of the 32x32 thumbnails in the order of ``VARIANTS``, ``features`` the float32 seam
    evidence, ``seams`` rows of (vertical, position, score) as float32, ``thumb`` a small JPEG.
    """
    path, max_pixels = task
    try:
        picture = read_picture(Path(path), max_pixels=max_pixels, draft=DRAFT)
    except PictureError as error:
        return faulty(str(error))
    image = picture.image
    found, frame = seams.evidence(image)
    grey = image.convert("L")
    greys = _greys(grey, frame)
    left, top, right, bottom = frame
    content = (1 - left - right) * (1 - top - bottom)
    small = grey.resize((256, 256), Image.Resampling.BOX)
    return {
        "fault": None,
        "format": picture.format,
        "width": picture.width,
        "height": picture.height,
        "frames": picture.frames,
        "std": float(greys[0].std()),
        "sharpness": _sharpness(small),
        "content": float(picture.width * picture.height * content),
        "greys": greys.tobytes(),
        "features": found.features.tobytes(),
        "seams": _pack_seams(found.seams),
        "thumb": _thumb(image),
    }


def faulty(fault: str) -> dict[str, Any]:
    """The row of a file that is no usable picture."""
    return {
        "fault": fault,
        "format": None,
        "width": None,
        "height": None,
        "frames": None,
        "std": None,
        "sharpness": None,
        "content": None,
        "greys": b"",
        "features": b"",
        "seams": b"",
        "thumb": b"",
    }


_LAPLACE = ImageFilter.Kernel((3, 3), (0, -1, 0, -1, 4, -1, 0, -1, 0), scale=1, offset=128)


def _sharpness(grey: Image.Image) -> float:
    """Typical size of the Laplacian. The upper quartile: the sharp edges of a watermark, which
    cover less, must not make a copy look better than its original."""
    edges = np.abs(np.asarray(grey.filter(_LAPLACE)).astype(np.int16) - 128)
    return float(np.partition(edges.ravel(), edges.size * 3 // 4)[edges.size * 3 // 4])


def _greys(grey: Image.Image, frame: tuple[float, float, float, float]) -> np.ndarray:
    """Thumbnails in the order of ``VARIANTS``, uint8 5 x 32 x 32."""
    side, method = (hashing.SIDE, hashing.SIDE), Image.Resampling.LANCZOS
    whole = grey.resize(side, method)
    # The crops come from a middle size: their pixels are compared, never trained on.
    middle = grey.resize((256, 256), Image.Resampling.BOX if min(grey.size) >= 256 else method)
    crops = [
        middle.resize(side, method, box=(256 * cut, 256 * cut, 256 * (1 - cut), 256 * (1 - cut)))
        for cut in list(CROPS.values())[1:]
    ]
    left, top, right, bottom = frame
    trim = whole
    if any(frame):
        box = (256 * left, 256 * top, 256 * (1 - right), 256 * (1 - bottom))
        trim = middle.resize(side, method, box=box)
    return np.stack([np.asarray(image) for image in (whole, *crops, trim)])


def _pack_seams(found: list[seams.Seam]) -> bytes:
    rows = [(float(seam.vertical), seam.position, seam.score) for seam in found]
    return np.array(rows, np.float32).tobytes()


def unpack_seams(data: bytes) -> list[seams.Seam]:
    """What ``measure`` stored in ``seams``."""
    rows = np.frombuffer(data, np.float32).reshape(-1, 3)
    return [seams.Seam(bool(row[0]), float(row[1]), float(row[2])) for row in rows]


def unpack_greys(data: Iterable[bytes]) -> np.ndarray:
    """What ``measure`` stored in ``greys``, of N pictures: uint8 N x 5 x 32 x 32."""
    pixels = np.frombuffer(b"".join(data), np.uint8)
    return pixels.reshape(-1, len(VARIANTS), hashing.SIDE, hashing.SIDE)


def _thumb(image: Image.Image) -> bytes:
    small = image.copy()
    small.thumbnail((_THUMB, _THUMB), Image.Resampling.BOX)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=70)
    return out.getvalue()
