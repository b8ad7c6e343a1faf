"""Files of our formats put together by hand, for what Pillow does not write."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"


def encode(image: Image.Image, kind: str, quality: int = 0, **options: object) -> bytes:
    """The bytes of a file; ``kind`` is a Pillow format."""
    out = io.BytesIO()
    image.save(out, kind, quality=quality, **options)
    return out.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG from raw rows (filter byte included)."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows, 9))
    return PNG + body + chunk(b"IEND", b"")


def with_chunk(image: Image.Image, name: bytes, *data: bytes) -> bytes:
    """``image`` as a PNG with more chunks of one name before its pixels."""
    plain = encode(image, "PNG")
    return plain[:33] + b"".join(chunk(name, each) for each in data) + plain[33:]


def segment(marker: int, data: bytes) -> bytes:
    """One segment of a JPEG."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


def with_segment(jpeg: bytes, marker: int, data: bytes) -> bytes:
    """``jpeg`` with one more segment at its start."""
    return jpeg[:2] + segment(marker, data) + jpeg[2:]


def scans(width: int, height: int, count: int) -> bytes:
    """A progressive grey JPEG of ``count`` scans that say nothing, in a few bytes each.

    Each is read over all of the picture: the work is their number times its pixels.
    """
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0"
    only_zero = b"\1" + bytes(15) + b"\0"  # a table of one code of one bit, which means zero
    blocks = -(-width // 8) * -(-height // 8)
    # The ends of blocks in runs of up to 32,767; a code of one bit and 14 more for the length.
    run = b"\1" + bytes(15) + b"\xe0"
    bits = "".join("0" + format(min(left, 32767) - 16384, "014b") for left in _runs(blocks))
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0") if bits else b""
    ends = segment(0xDA, b"\1\1\0\1\1\0") + data
    flat = bytes(-(-blocks // 8))
    return b"".join(
        (
            b"\xff\xd8",
            segment(0xDB, b"\0" + bytes([1]) * 64),
            segment(0xC2, frame),
            segment(0xC4, b"\0" + only_zero),
            segment(0xC4, b"\x10" + run),
            segment(0xDA, b"\1\1\0\0\0\0") + flat,
            ends * count,
            b"\xff\xd9",
        )
    )


def _runs(blocks: int) -> list[int]:
    """Runs of 16,384 to 32,767 blocks that cover so many and no more than fit."""
    whole, rest = divmod(blocks, 32767)
    return [32767] * whole + ([rest] if rest >= 16384 else [])


def gif_frames(count: int) -> bytes:
    """A GIF of ``count`` pictures of one pixel."""
    head = b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0x80, 0, 0) + bytes((0, 0, 0, 255, 255, 255))
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\2\x44\1\0"
    return head + frame * count + b";"


def gif_header(width: int, height: int) -> bytes:
    """A GIF that promises so many pixels, and one of them."""
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\2\2\x44\1\0"
    palette = bytes((0, 0, 0, 255, 255, 255))
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + palette + frame + b";"


def bmp_header(width: int, height: int, bits: int = 24) -> bytes:
    """A BMP that promises so many pixels, and none of them."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


def webp_header(width: int, height: int) -> bytes:
    """An extended WebP whose canvas has so many pixels, with a frame of one."""
    dot = encode(Image.new("RGB", (1, 1)), "WEBP", 80)[12:]
    frame = bytes(6) + bytes(6) + struct.pack("<I", 100)[:3] + b"\0" + dot
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = _riff(b"VP8X", b"\2\0\0\0" + canvas) + _riff(b"ANIM", bytes(6)) + _riff(b"ANMF", frame)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _riff(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def exif(entries: bytes, count: int, following: int = 0) -> bytes:
    """An EXIF block of one folder of raw entries; ``following`` is where the next folder lies."""
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entries + struct.pack("<I", following)


def entry(tag: int, kind: int, count: int, value: int) -> bytes:
    """One entry of an EXIF folder."""
    return struct.pack("<HHII", tag, kind, count, value)
