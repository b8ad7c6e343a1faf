"""What is fuzzed: every door by which the bytes of a stranger reach a decoder, and the promises.

A target takes bytes and raises ``Broken`` where a promise does not hold; what else it raises is a
finding as well.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
from PIL import Image

from pipeline.cleaning import hashing, measure, parts, quality, seams
from pipeline.images import DRAFT, Picture, PictureError, Reason, read_picture, shrink_and_crop
from pipeline.raw import NOT_A_PICTURE, examine

MOST_PIXELS = 1_000_000  # 50 times fewer than a run allows, so that an input takes milliseconds
LONGEST = 200  # characters in which a refusal says why


class Broken(AssertionError):
    """A promise that does not hold."""


def promise(holds: object, what: str) -> None:
    if not holds:
        raise Broken(what)


def decode(data: bytes) -> None:
    """Bytes to pixels, whole and reduced, and to the facts that the scraper writes down."""
    for draft in (None, 64, DRAFT):
        try:
            picture = read_picture(data, max_pixels=MOST_PIXELS, draft=draft)
        except PictureError as error:
            _check_refusal(error.reason, str(error))
        else:
            _check_picture(picture, reduced=draft is not None)
    content = examine(data)
    promise(content.sha256 == hashlib.sha256(data).hexdigest(), "another hash")
    promise(content.bytes == len(data), "another length")
    promise(content.ext in ("jpg", "png", "webp", "gif", "bmp", NOT_A_PICTURE), content.ext)
    promise((content.width is None) == (content.height is None), "half a size")


def measured(data: bytes) -> None:
    """The row of a file: hashes, quality, evidence, the square; asked twice, twice the same."""
    file = _file(data)
    row = measure.measure((str(file), MOST_PIXELS))
    if zlib.crc32(data) % 8 == 0:  # now and then: it takes as long again
        promise(row == measure.measure((str(file), MOST_PIXELS)), "the same bytes give two rows")
    if row["fault"] is not None:
        _check_refusal("corrupt", row["fault"])
        promise(row == measure.faulty(row["fault"]), "a refusal with numbers")
    else:
        _check_row(row)
    promise(len(parts.table([("0" * 64, row)])) == 1, "no row of the table")


TARGETS: dict[str, Callable[[bytes], None]] = {"decode": decode, "measure": measured}


def _file(data: bytes) -> Path:
    path = Path(tempfile.gettempdir(), f"fuzzed-{os.getpid()}")
    path.write_bytes(data)
    return path


def _check_refusal(reason: str, said: str) -> None:
    promise(reason in get_args(Reason), f"reason {reason}")
    promise(0 < len(said) <= LONGEST, f"says too much or nothing: {said!r}")
    promise(said.isprintable(), f"not one line of text: {said!r}")
    promise(" 0x" not in said.lower(), f"an address of memory: {said!r}")


def _check_picture(picture: Picture, reduced: bool) -> None:
    image, size = picture.image, (picture.width, picture.height)
    promise(picture.format in ("jpg", "png", "webp", "gif", "bmp"), picture.format)
    promise(picture.frames >= 1, f"{picture.frames} frames")
    promise(image.mode == "RGB", image.mode)
    promise(min(size) >= 1 and size[0] * size[1] <= MOST_PIXELS, f"size {size}")
    if reduced and picture.format == "jpg":
        promise(all(a <= b for a, b in zip(image.size, size, strict=True)), "a draft grew")
    else:
        promise(image.size == size, f"{image.size} is not {size}")
    _check_pixels(np.asarray(image), (image.height, image.width, 3))
    _check_pixels(shrink_and_crop(image, measure.SQUARE), (measure.SQUARE, measure.SQUARE, 3))


def _check_pixels(pixels: np.ndarray, shape: tuple[int, ...]) -> None:
    promise(pixels.shape == shape, f"shape {pixels.shape}")
    promise(pixels.dtype == np.uint8, f"dtype {pixels.dtype}")


def _check_row(row: dict[str, Any]) -> None:
    for name in ("std", "sharpness", "content", "detail", "colour", *quality.SCORES):
        promise(np.isfinite(row[name]) and row[name] >= 0, f"{name} is {row[name]}")
    promise(all(row[name] <= 1 for name in quality.SCORES), "a score above 1")
    pixels = row["width"] * row["height"]
    promise(row["content"] <= pixels <= MOST_PIXELS, "more content than pixels")
    promise(len(row["square"]) == measure.SQUARE**2 * 3, "no square")
    with Image.open(io.BytesIO(row["thumb"]), formats=["JPEG"]) as thumb:
        thumb.load()
    looks = measure.unpack_greys([row["greys"]])
    promise(len(looks) == 1, "not one picture's greys")
    promise(hashing.phash(looks.whole).dtype == np.uint64, "no hash")
    features = np.frombuffer(row["features"], np.float32)
    promise(len(features) in (1, seams.COUNT), f"{len(features)} features")
    promise(np.isfinite(features).all(), "a feature that is no number")
    for seam in measure.unpack_seams(row["seams"]):
        promise(0 <= seam.position <= 1 and np.isfinite(seam.score), f"{seam}")
