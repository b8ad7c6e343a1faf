"""Files that stop other cleaners, and odd ones that are pictures all the same."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from cleaning_truth.photos import Photo, encode, seeded

TWIN = "twin"  # expected: found to be a copy of its picture


@dataclass(frozen=True)
class Case:
    """One file. ``expect``: the reason it must be dropped for, or ``TWIN``; ``words``: what the
    row's detail must say (one of those between bars); ``twin``: the file it is a copy of."""

    path: str
    kind: str
    expect: str
    words: str
    twin: str = ""


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG from raw rows (filter byte included), for what Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _bad_crc(data: bytes) -> bytes:
    at = data.index(b"IDAT") + 24
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


def _text_bomb(image: Image.Image) -> bytes:
    data = encode(image, "PNG", 0)
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * (80 << 20), 9))
    return data[:33] + bomb + data[33:]


def _huge() -> bytes:
    """12,000 x 12,000 in one bit: a few kilobytes that ask for 144 million pixels."""
    return png(12_000, 12_000, 1, 0, bytes(1501) * 12_000)


def _noise(rng: random.Random) -> bytes:
    return b"\xff\xd8\xff\xe0" + rng.randbytes(30_000)


_HTML = b"<!DOCTYPE html><html><head><title>404</title></head><body>Not found</body></html>"
_SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
_EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"

# kind -> (suffix, what the detail must say, bytes of the photo as an image). All are "corrupt".
BROKEN: dict[str, tuple[str, str, Callable[[Image.Image, random.Random], bytes]]] = {
    "JPEG cut in half": ("jpg", "truncated", lambda im, rng: _half(encode(im, "JPEG", 85))),
    "JPEG without its last 2 bytes": (
        "jpg",
        "truncated",
        lambda im, rng: encode(im, "JPEG", 85)[:-2],
    ),
    "PNG cut in half": ("png", "png", lambda im, rng: _half(encode(im, "PNG", 0))),
    "WebP cut in half": ("webp", "webp", lambda im, rng: _half(encode(im, "WEBP", 80))),
    "GIF cut in half": ("gif", "gif", lambda im, rng: _half(encode(im.quantize(), "GIF", 0))),
    "PNG with a wrong checksum": ("png", "png", lambda im, rng: _bad_crc(encode(im, "PNG", 0))),
    "PNG with a text bomb": ("png", "png", lambda im, rng: _text_bomb(im)),
    "zero bytes": ("jpg", "empty", lambda im, rng: b""),
    "HTML named jpg": ("jpg", "html", lambda im, rng: _HTML),
    "JSON named jpg": ("jpg", "json", lambda im, rng: json.dumps({"error": "gone"}).encode()),
    "SVG named jpg": ("jpg", "svg", lambda im, rng: _SVG),
    "PostScript named jpg": ("jpg", "postscript", lambda im, rng: _EPS),
    "noise with a JPEG's first bytes": ("jpg", "jpg", lambda im, rng: _noise(rng)),
    "header of 100,000 x 100,000": (
        "png",
        "over|memory",
        lambda im, rng: png(100_000, 100_000, 8, 2, b""),
    ),
    "12,000 x 12,000 in one bit": ("png", "over", lambda im, rng: _huge()),
}


def _cmyk(image: Image.Image) -> bytes:
    return encode(image.convert("CMYK"), "JPEG", 90)


def _grey16(image: Image.Image) -> bytes:
    wide = np.asarray(image.convert("L")).astype(np.uint16) * 257
    return encode(Image.fromarray(wide), "PNG", 0)


def _rgb16(image: Image.Image) -> bytes:
    wide = (np.asarray(image).astype(">u2") * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    return png(image.width, image.height, 16, 2, rows)


def _rotated(tag: int, method: Image.Transpose) -> Callable[[Image.Image], bytes]:
    def make(image: Image.Image) -> bytes:
        exif = Image.Exif()
        exif[0x0112] = tag
        out = io.BytesIO()
        image.transpose(method).save(out, "JPEG", quality=90, exif=exif.tobytes())
        return out.getvalue()

    return make


def _animated(kind: str) -> Callable[[Image.Image], bytes]:
    def make(image: Image.Image) -> bytes:
        out = io.BytesIO()
        rest = [ImageOps.invert(image), ImageOps.flip(image)]
        image.save(out, kind, save_all=True, append_images=rest, duration=100, loop=0)
        return out.getvalue()

    return make


ODD: dict[str, tuple[str, Callable[[Image.Image], bytes]]] = {
    "CMYK JPEG": ("jpg", _cmyk),
    "16-bit grey PNG": ("png", _grey16),
    "16-bit RGB PNG": ("png", _rgb16),
    "turned by EXIF (6)": ("jpg", _rotated(6, Image.Transpose.ROTATE_90)),
    "turned by EXIF (3)": ("jpg", _rotated(3, Image.Transpose.ROTATE_180)),
    "animated GIF": ("gif", _animated("GIF")),
    "animated WebP": ("webp", _animated("WEBP")),
    "PNG named jpg": ("jpg", lambda image: encode(image, "PNG", 0)),
    "JPEG with a script behind it": (
        "jpg",
        lambda image: encode(image, "JPEG", 85) + bytes(1000) + b"<script>alert(1)</script>",
    ),
}


def _holed(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    """(what is seen on white, the mask of what is opaque)."""
    mask = Image.new("L", image.size, 255)
    width, height = image.size
    ImageDraw.Draw(mask).ellipse((-width * 0.3, -height * 0.3, width * 0.5, height * 0.5), fill=0)
    return Image.composite(image, Image.new("RGB", image.size, "white"), mask), mask


def _palette(image: Image.Image, mask: Image.Image) -> bytes:
    small = image.quantize(255)
    colours = (small.getpalette() or [])[: 255 * 3]
    small.putpalette([*colours, *[0] * (255 * 3 - len(colours)), 0, 0, 0])
    small.paste(255, (0, 0), ImageOps.invert(mask))
    out = io.BytesIO()
    small.save(out, "PNG", transparency=255)
    return out.getvalue()


def _alpha(image: Image.Image, mask: Image.Image) -> bytes:
    """Transparent over black: dropping the alpha shows another picture."""
    black = Image.composite(image, Image.new("RGB", image.size), mask)
    black.putalpha(mask)
    return encode(black, "PNG", 0)


SEE_THROUGH = {"palette with transparency": _palette, "RGBA PNG": _alpha}


def make_hostile(photos: list[Photo], folder: Path, each: int) -> list[Case]:
    """Write every kind ``each`` times, of other photos, and the pictures they are copies of."""
    folder.mkdir(parents=True, exist_ok=True)
    cases: list[Case] = []
    for number in range(each):
        rng = seeded("hostile", number)
        cases += _made_of_photos(rng.sample(photos, len(photos)), folder, number, rng)
    return cases + _not_files(folder)


def _made_of_photos(
    photos: list[Photo], folder: Path, number: int, rng: random.Random
) -> list[Case]:
    cases, left = [], list(photos)

    def write(kind: str, suffix: str, data: bytes) -> str:
        name = f"{number} {kind}.{suffix}"
        (folder / name).write_bytes(data)
        return name

    for kind, (suffix, words, spoil) in BROKEN.items():
        name = write(kind, suffix, spoil(left.pop().open(), rng))
        cases.append(Case(name, kind, "corrupt", words))
    for kind, (suffix, make) in ODD.items():
        image = left.pop().open()
        twin = write(f"{kind} (twin)", "jpg", encode(image, "JPEG", 92))
        cases.append(Case(write(kind, suffix, make(image)), kind, TWIN, "", twin))
    for kind, hide in SEE_THROUGH.items():
        image = left.pop().open()
        seen, mask = _holed(image)
        twin = write(f"{kind} (twin)", "jpg", encode(seen, "JPEG", 92))
        cases.append(Case(write(kind, "png", hide(image, mask)), kind, TWIN, "", twin))
    dot = encode(Image.new("P", (1, 1)), "GIF", 0)
    cases.append(Case(write("1 x 1", "gif", dot), "1 x 1", "too_small", "side"))
    strip = encode(left.pop().open().resize((8000, 70)), "PNG", 0)
    cases.append(Case(write("8,000 x 70", "png", strip), "8,000 x 70", "odd_aspect", "long"))
    return cases


def _not_files(folder: Path) -> list[Case]:
    """What no program should open: links, a loop of links, a pipe that would block for ever."""
    (folder / "link.jpg").symlink_to("/etc/passwd")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "up").symlink_to("..")
    os.mkfifo(folder / "pipe.jpg")
    return [
        Case("link.jpg", "link out of the folder", "corrupt", "link"),
        Case("loop.jpg", "link to itself", "corrupt", "link"),
        Case("up", "link to the folder above", "corrupt", "link"),
        Case("pipe.jpg", "named pipe", "corrupt", "regular"),
    ]
