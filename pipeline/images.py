"""The one way to open a picture: limits, formats, orientation, alpha, depth; shrink and crop.

Whatever is hashed, judged, trained on or shown goes through ``read_picture``, so that a hash always
describes the pixels a net sees. Files come from strangers: the format is taken from the content,
never from the name; the size is checked in the header before a pixel is decoded; and a file that is
no whole picture raises ``PictureError`` and nothing else.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from pipeline import workspace

MAX_PIXELS = 50_000_000
MAX_BYTES = 512 << 20
DRAFT = 256  # a JPEG is decoded no smaller, nor at 1/2 smaller than one and a half times this

# Pillow knows dozens of formats; some call other programs (EPS) or have a history of bombs (FITS).
_FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "bmp": "BMP"}

# Our own limit on pixels is lower and is checked on the header; Pillow's warning would only add
# lines to the log.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

Reason = Literal["not_a_file", "not_a_picture", "corrupt", "too_large"]


class PictureError(Exception):
    """This is no picture that can be used. ``str()`` says why in a few words.

    ``reason`` is one of ``not_a_file`` (missing, a folder, a pipe, not readable),
    ``not_a_picture`` (the content is something else), ``corrupt`` (it does not decode to its end)
    and ``too_large`` (more pixels than allowed, known from the header).
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason

    def __reduce__(self) -> tuple[type[PictureError], tuple[str, str]]:
        return type(self), (self.reason, str(self))  # so that it crosses process borders


@dataclass(frozen=True)
class Picture:
    """A decoded picture and the facts its header gave.

    ``image`` is RGB with the orientation applied; after a draft decode it is smaller than
    ``width`` x ``height``, the full size in pixels as a person sees it (orientation applied).
    ``format`` is one of jpg, png, webp, gif, bmp. Of an animation ``image`` is the first of
    ``frames``.
    """

    image: Image.Image
    format: str
    width: int
    height: int
    frames: int


def sniff(head: bytes) -> str | None:
    """The format of a file from its first 16 bytes: jpg, png, webp, gif, bmp, or None."""
    if head.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    # "BM" alone also begins plain text; the four reserved bytes of the header are always zero.
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return "bmp"
    return None


def describe(head: bytes) -> str:
    """In a word or two what a file that is none of our formats seems to be (first 1 KiB)."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:512].lower()
    if not head:
        return "empty file"
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text):
        return "svg"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<!--")):
        return "html"
    for magic, name in _OTHERS:
        if head.startswith(magic):
            return name
    if head[4:8] == b"ftyp":
        return "avif" if head[8:12] in (b"avif", b"avis") else "video or heic"
    if not text.strip(b"\0"):
        return "zero bytes only" if b"\0" in head else "blank text"
    if text[:1] in (b"{", b"["):
        return "json"
    if text[:1] == b"<":
        return "xml"
    return "text" if head.isascii() and b"\0" not in head else "unknown data"


_OTHERS = (
    (b"%PDF", "pdf"),
    (b"%!PS", "postscript"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"\0\0\0\x0cJXL ", "jpeg xl"),
    (b"\xff\x0a", "jpeg xl"),
    (b"\0\0\0\x0cjP  ", "jpeg 2000"),
    (b"8BPS", "photoshop"),
    (b"\0\0\1\0", "icon"),
)


def open_regular(path: Path) -> io.BufferedReader:
    """A regular file (a link to one counts), open for reading; never waits on a pipe or a device.

    Raises:
        PictureError: ``not_a_file``.
    """
    try:
        return workspace.open_regular(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        kind = "" if why == workspace.NOT_REGULAR else "cannot be read: "
        raise PictureError("not_a_file", f"{kind}{why.lower()}") from None


def _read_bytes(path: Path) -> bytes:
    """The content of a file that begins as a picture of ours; else its first bytes only."""
    try:
        with open_regular(path) as file:
            head = file.read(1024)
            if sniff(head) is None:
                return head
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise PictureError("too_large", f"the file is over {MAX_BYTES >> 20} MiB")
            file.seek(0)
            return file.read()
    except OSError as error:
        why = str(error.strerror).lower()
        raise PictureError("not_a_file", f"cannot be read: {why}") from None


def read_picture(
    source: Path | bytes, *, max_pixels: int = MAX_PIXELS, draft: int | None = None
) -> Picture:
    """Decode a file or its bytes to RGB, to its end.

    Orientation is applied, transparency is laid on white, 16-bit grey is scaled to 8, CMYK and
    palette become RGB. No colour profile is applied.

    Args:
        max_pixels: larger pictures (width x height in the header) are refused undecoded.
        draft: a JPEG may be decoded at 1/4 or 1/8 as long as both sides keep at least this many
            pixels, and at 1/2 if they keep half as many again: several times faster, and good
            enough for a result of a third that size.

    Raises:
        PictureError: with the reason; no other exception leaves this function.
    """
    data = source if isinstance(source, bytes) else _read_bytes(source)
    kind = sniff(data[:16])
    if kind is None:
        raise PictureError("not_a_picture", f"not a picture: {describe(data[:1024])}")
    try:
        with Image.open(io.BytesIO(data), formats=[_FORMATS[kind]]) as image:
            size = image.size
            if size[0] * size[1] > max_pixels:
                raise PictureError(
                    "too_large", f"{size[0]}x{size[1]} is over {max_pixels} pixels (max_pixels)"
                )
            frames = getattr(image, "n_frames", 1)
            if draft is not None:
                # Pillow takes the smallest of 1/1, 1/2, 1/4, 1/8 that leaves so many pixels.
                least = draft if min(size) >= 4 * draft else draft * 3 // 2
                image.draft(None, (least, least))
            image.load()
            # The decoder is content once the last row is out; the file may still be cut short.
            if kind == "jpg" and data.rfind(b"\xff\xd9", data.find(b"\xff\xda")) < 0:
                raise PictureError("corrupt", "truncated jpg")
            stored = image.size
            upright = _upright(image)
            width, height = size if upright.size == stored else size[::-1]
            return Picture(_rgb(upright), kind, width, height, frames)
    except PictureError:
        raise
    except (Image.DecompressionBombError, MemoryError):
        raise PictureError("too_large", "asks for more memory than is allowed") from None
    # Decoders raise OSError, SyntaxError, ValueError, struct.error, ... for the same fault.
    except Exception as error:
        raise PictureError("corrupt", _why_corrupt(kind, error)) from None


def open_picture(
    source: Path | bytes, *, max_pixels: int = MAX_PIXELS, draft: int | None = None
) -> Image.Image:
    """The RGB image of ``read_picture``, which see."""
    return read_picture(source, max_pixels=max_pixels, draft=draft).image


def shrink_and_crop(image: Image.Image, size: int) -> np.ndarray:
    """The centre square of ``image`` at ``size`` x ``size``, antialiased, nothing squashed.

    Returns:
        uint8 array, size x size x 3, RGB.
    """
    image = image if image.mode == "RGB" else _rgb(image)
    width, height = image.size
    side = min(width, height)
    if width == height == size:
        return np.array(image)
    left, top = (width - side) / 2, (height - side) / 2
    # Lanczos is the sharpest when shrinking and rings when enlarging.
    method = Image.Resampling.LANCZOS if side > size else Image.Resampling.BICUBIC
    box = (left, top, left + side, top + side)
    # Four times smaller and more: a mean of whole pixels comes first, which halves the time.
    return np.array(image.resize((size, size), method, box=box, reducing_gap=2.0))


def draft_for(size: int) -> int:
    """The ``draft`` from which a square of this size is made: at least three times its size, where
    the result differs from that of a full decode by less than JPEG itself does (over 50 dB); and
    no less than ``DRAFT``, so that whoever makes the square decodes the same pixels."""
    return max(DRAFT, 3 * size)


def _upright(image: Image.Image) -> Image.Image:
    """``image`` as the camera's orientation tag wants it; a broken tag changes nothing."""
    # Damaged EXIF blocks raise anything, and the pixels are still good.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)  # what needs no turning is not copied
    return image


def _rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of any mode our formats decode to, transparency on white."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        # convert() would clip at 255: nearly every 16-bit picture would become plain white.
        wide = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.rint(np.clip(wide, 0, 65535) / 257).astype(np.uint8)).convert(
            "RGB"
        )
    if image.has_transparency_data:
        over = image.convert("RGBA")
        white = Image.new("RGBA", over.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, over).convert("RGB")
    return image.convert("RGB")


def _why_corrupt(kind: str, error: Exception) -> str:
    text = " ".join(str(error).split())[:120]
    if "truncated" in text.lower() or "unexpected end" in text.lower():
        return f"truncated {kind}"
    return f"broken {kind}: {text or type(error).__name__}"
