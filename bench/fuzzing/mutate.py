"""Changes to pictures that get past the checksums, where a blind change of a byte ends."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable

MAGIC = b"\x89PNG\r\n\x1a\n"
_MOST = 1 << 20  # bytes that an opened stream of pixels may have

# What stands in files of these formats, for libFuzzer to put in.
WORDS = (
    *(b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"gAMA"),
    *(b"acTL", b"fcTL", b"fdAT", b"cHRM", b"pHYs", b"RIFF", b"WEBP", b"VP8 ", b"VP8L", b"VP8X"),
    *(b"ANIM", b"ANMF", b"ALPH", b"EXIF", b"ICCP", b"GIF87a", b"GIF89a", b"\x21\xf9\x04", b"\x2c"),
    *(b"\x21\xff\x0bNETSCAPE2.0", b"\x21\xfe", b"BM", b"Exif\0\0II*\0", b"Exif\0\0MM\0*"),
    *(b"JFIF\0", b"Adobe\0", b"MPF\0", b"ICC_PROFILE\0", b"\xff\xd8\xff", b"\xff\xd9"),
    *(b"\xff\xc0", b"\xff\xc2", b"\xff\xc4", b"\xff\xda", b"\xff\xdb", b"\xff\xdd", b"\xff\xe1"),
)


def mutate(data: bytes, most: int, seed: int, change: Callable[[bytes, int], bytes]) -> bytes:
    """``data`` changed by libFuzzer's ``change``; of a PNG the checksums are made to fit again, and
    now and then the change is made to the pixels under the compression."""
    rng = random.Random(seed)
    if not data.startswith(MAGIC) or rng.random() < 0.1:
        return change(data, most)
    if rng.random() < 0.3:
        return sealed(_in_the_pixels(data, most, change))[:most]
    return sealed(change(data, most))[:most]


def sealed(data: bytes) -> bytes:
    """A PNG with the checksum of each chunk mended, as far as it can be read as chunks."""
    if not data.startswith(MAGIC):
        return data
    out, at = [MAGIC], len(MAGIC)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        named = data[at + 4 : end]
        out += [data[at : at + 4], named, struct.pack(">I", zlib.crc32(named))]
        at = end + 4
    return b"".join([*out, data[at:]])


def _in_the_pixels(data: bytes, most: int, change: Callable[[bytes, int], bytes]) -> bytes:
    start = data.find(b"IDAT")
    if start < 4:
        return change(data, most)
    (length,) = struct.unpack_from(">I", data, start - 4)
    stream = data[start + 4 : start + 4 + length]
    try:
        pixels = zlib.decompressobj().decompress(stream, _MOST)
    except zlib.error:
        return change(data, most)
    packed = zlib.compress(change(pixels, _MOST), 1)
    head, tail = data[: start - 4], data[start + 4 + length :]
    return head + struct.pack(">I", len(packed)) + b"IDAT" + packed + tail
