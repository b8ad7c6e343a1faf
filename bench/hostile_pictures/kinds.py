"""The kinds of hostile and odd pictures, each made from any picture, and how each must end.

Benches, tests and the fuzzer share them. ``expect`` is the reason by which cleaning must drop the
file, or ``TWIN`` where it is the picture it was made from all the same and must be read as such.
"""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from hostile_pictures import odd, raw
from hostile_pictures.raw import encode

TWIN = "twin"  # expected: found to be a copy of its picture
CORRUPT = "corrupt"
_MIB = 1 << 20


@dataclass(frozen=True)
class Kind:
    """``words``: what the row's detail must say (one of those between bars). ``make`` gives the
    bytes of the file; ``seen`` what it shows, of what was handed in."""

    name: str
    suffix: str
    expect: str
    words: str
    make: Callable[[Image.Image, random.Random], bytes]
    seen: Callable[[Image.Image], Image.Image] = lambda image: image


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _bad_crc(data: bytes) -> bytes:
    at = data.index(b"IDAT") + 24
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


def _bomb(megabytes: int) -> bytes:
    """Zeros under zlib: a thousandth of what they become."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(_MIB)) for _ in range(megabytes)]
    return b"".join([*parts, packer.flush()])


def _noise(rng: random.Random, head: bytes) -> bytes:
    return head + rng.randbytes(30_000)


_HTML = b"<!DOCTYPE html><html><head><title>404</title></head><body>Not found</body></html>"
_SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
_EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"

_CUT = [
    ("JPEG cut in half", "jpg", "truncated", lambda im, rng: half(encode(im, "JPEG", 85))),
    ("JPEG without its last 2 bytes", "jpg", "truncated",
     lambda im, rng: encode(im, "JPEG", 85)[:-2]),
    ("JPEG of 3 bytes", "jpg", "jpg", lambda im, rng: b"\xff\xd8\xff"),
    ("PNG cut in half", "png", "png", lambda im, rng: half(encode(im, "PNG"))),
    ("PNG without its pixels", "png", "png", lambda im, rng: encode(im, "PNG")[:33]),
    ("WebP cut in half", "webp", "webp", lambda im, rng: half(encode(im, "WEBP", 80))),
    ("GIF cut in half", "gif", "gif", lambda im, rng: half(encode(im.quantize(), "GIF"))),
    ("BMP cut in half", "bmp", "bmp", lambda im, rng: half(encode(im, "BMP"))),
    ("PNG with a wrong checksum", "png", "png", lambda im, rng: _bad_crc(encode(im, "PNG"))),
]  # fmt: skip

_NO_PICTURES = [
    ("zero bytes", "jpg", "empty", lambda im, rng: b""),
    ("zeros", "jpg", "zero bytes", lambda im, rng: bytes(5000)),
    ("HTML named jpg", "jpg", "html", lambda im, rng: _HTML),
    ("JSON named jpg", "jpg", "json", lambda im, rng: json.dumps({"error": "gone"}).encode()),
    ("SVG named jpg", "jpg", "svg", lambda im, rng: _SVG),
    ("PostScript named jpg", "jpg", "postscript", lambda im, rng: _EPS),
    ("TIFF named jpg", "jpg", "tiff", lambda im, rng: encode(im, "TIFF")),
    ("JPEG 2000 named jpg", "jpg", "jpeg 2000",
     lambda im, rng: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99)),
    ("icon named jpg", "jpg", "icon", lambda im, rng: encode(im, "ICO")),
    ("PDF named jpg", "jpg", "pdf", lambda im, rng: b"%PDF-1.7\n" + bytes(99)),
    ("gzip named jpg", "jpg", "gzip", lambda im, rng: b"\x1f\x8b\x08" + bytes(99)),
    ("noise", "jpg", "unknown|text", lambda im, rng: _noise(rng, b"\x90\x91")),
    ("noise with a JPEG's first bytes", "jpg", "jpg",
     lambda im, rng: _noise(rng, b"\xff\xd8\xff\xe0")),
    ("noise with a PNG's first bytes", "png", "png", lambda im, rng: _noise(rng, raw.PNG)),
    ("noise with a WebP's first bytes", "webp", "webp",
     lambda im, rng: _noise(rng, b"RIFF\0\0\0\0WEBP")),
    ("noise with a GIF's first bytes", "gif", "gif", lambda im, rng: _noise(rng, b"GIF89a")),
]  # fmt: skip

_BOMBS = [
    ("PNG with a text bomb", "png", "png", lambda im, _: raw.with_chunk(
        im, b"zTXt", b"Comment\0\0" + _bomb(80))),
    ("PNG with a profile bomb", "png", "png", lambda im, _: raw.with_chunk(
        im, b"iCCP", b"a\0\0" + _bomb(80))),
    ("PNG with many texts", "png", "png", lambda im, _: raw.with_chunk(
        im, b"zTXt", *[b"a\0\0" + zlib.compress(bytes(900_000), 9)] * 80)),
    ("header of 100,000 x 100,000", "png", "over|memory",
     lambda im, _: raw.png(100_000, 100_000, 8, 2, b"")),
    ("12,000 x 12,000 in one bit", "png", "over",
     lambda im, _: raw.png(12_000, 12_000, 1, 0, bytes(1501) * 12_000)),
    ("GIF header of 65,535 x 65,535", "gif", "memory", lambda im, _: raw.gif_header(65535, 65535)),
    ("GIF header of 7,000 x 7,000", "gif", "gif", lambda im, _: raw.gif_header(7000, 7000)),
    ("BMP header of 30,000 x 30,000", "bmp", "memory", lambda im, _: raw.bmp_header(30000, 30000)),
    ("BMP of minus 70 pixels", "bmp", "bmp|memory", lambda im, _: raw.bmp_header(-70, 70)),
    ("WebP header of 16,383 x 16,383", "webp", "memory",
     lambda im, _: raw.webp_header(16383, 16383)),
    ("JPEG header of 65,500 x 65,500", "jpg", "memory", lambda im, _: raw.scans(8, 8, 1).replace(
        b"\x08\0\x08\0\x08", b"\x08\xff\xdc\xff\xdc", 1)),
    ("JPEG of 5,000 scans", "jpg", "scans", lambda im, _: raw.scans(4000, 4000, 5000)),
    ("PNG of no width", "png", "png", lambda im, _: raw.png(0, 9, 8, 2, b"")),
    ("GIF of no size", "gif", "gif", lambda im, _: raw.gif_header(0, 0)),
    ("BMP of no size", "bmp", "bmp", lambda im, _: raw.bmp_header(0, 0)),
]  # fmt: skip

BROKEN = [Kind(name, end, CORRUPT, words, make) for name, end, words, make in [
    *_CUT, *_NO_PICTURES, *_BOMBS]]  # fmt: skip

ODD = [
    *(Kind(name, suffix, TWIN, "", lambda im, rng, make=make: make(im))
      for name, suffix, make in odd.WHOLE),
    *(Kind(name, "png", TWIN, "", lambda im, rng, hide=hide: hide(*odd.holed(im)),
           lambda im: odd.holed(im)[0])
      for name, hide in odd.SEE_THROUGH),
]  # fmt: skip

SMALL = [
    Kind("1 x 1", "gif", "too_small", "side",
         lambda im, rng: encode(Image.new("P", (1, 1)), "GIF")),
    Kind("8,000 x 70", "png", "odd_aspect", "long",
         lambda im, rng: encode(im.resize((8000, 70)), "PNG")),
]  # fmt: skip

ALL = [*BROKEN, *ODD, *SMALL]


def small_pictures(side: int = 40) -> Iterator[bytes]:
    """One file of every kind, of a small picture: what a fuzzer starts from."""
    rng = random.Random(0)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((side * 5 // 4, side), Image.Resampling.BICUBIC)
    for kind in ALL:
        yield kind.make(image, rng)
    for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP"):
        yield encode(image, name, 80)
