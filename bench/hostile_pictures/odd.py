"""Pictures that are whole and unlike most: each shows what it was made from."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from hostile_pictures import raw
from hostile_pictures.raw import encode

Make = Callable[[Image.Image], bytes]

# The turn that the camera's orientation tag will undo.
_TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def _jpeg(image: Image.Image, **options: object) -> bytes:
    return encode(image, "JPEG", 90, **options)


def _grey16(image: Image.Image) -> bytes:
    wide = np.asarray(image.convert("L")).astype(np.uint16) * 257
    return encode(Image.fromarray(wide), "PNG")


def _rgb16(image: Image.Image) -> bytes:
    wide = (np.asarray(image).astype(">u2") * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    return raw.png(image.width, image.height, 16, 2, rows)


def _rotated(tag: int) -> Make:
    def make(image: Image.Image) -> bytes:
        turn, exif = _TURNS[tag], Image.Exif()
        exif[0x0112] = tag
        return _jpeg(image if turn is None else image.transpose(turn), exif=exif.tobytes())

    return make


def _exif(entries: bytes, count: int, following: int = 0) -> Make:
    block = b"Exif\0\0" + raw.exif(entries, count, following)
    return lambda image: raw.with_segment(_jpeg(image), 0xE1, block)


def _animated(kind: str) -> Make:
    def make(image: Image.Image) -> bytes:
        rest = [ImageOps.invert(image), ImageOps.flip(image)]
        return encode(
            image, kind, 90, save_all=True, append_images=rest, duration=100, loop=0, lossless=True
        )

    return make


def _two_pictures(image: Image.Image) -> bytes:
    return encode(image, "MPO", 90, save_all=True, append_images=[ImageOps.flip(image)])


def _profile(data: bytes) -> Make:
    return lambda image: _jpeg(image, icc_profile=data)


def _more_pixels(image: Image.Image) -> bytes:
    """A PNG whose stream of pixels goes on for 64 MiB beyond the last row."""
    rows = b"".join(b"\0" + row.tobytes() for row in np.asarray(image.convert("RGB")))
    return raw.png(image.width, image.height, 8, 2, rows + bytes(64 << 20))


def _run_lengths(image: Image.Image) -> bytes:
    """A BMP of 256 colours in runs of one pixel."""
    small = image.quantize(256)
    palette = bytes(small.getpalette() or []).ljust(768, b"\0")
    colours = b"".join(palette[k : k + 3][::-1] + b"\0" for k in range(0, 768, 3))
    rows = np.asarray(small)[::-1]
    runs = b"".join(b"".join(b"\1" + bytes([v]) for v in row) + b"\0\0" for row in rows) + b"\0\1"
    info = struct.pack(
        "<IiiHHIIiiII", 40, small.width, small.height, 1, 8, 1, len(runs), 0, 0, 256, 0
    )
    start = 54 + len(colours)
    head = b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start)
    return head + info + colours + runs


def _archive(image: Image.Image) -> bytes:
    """A GIF that is an archive as well."""
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../../evil.py", "print('no')")
    return encode(image.quantize(), "GIF") + out.getvalue()


_SCRIPT = b"<script>alert(1)</script>"

WHOLE: list[tuple[str, str, Make]] = [
    ("CMYK JPEG", "jpg", lambda im: _jpeg(im.convert("CMYK"))),
    ("progressive JPEG", "jpg", lambda im: _jpeg(im, progressive=True)),
    ("grey JPEG", "jpg", lambda im: _jpeg(im.convert("L"))),
    ("16-bit grey PNG", "png", _grey16),
    ("16-bit RGB PNG", "png", _rgb16),
    *((f"turned by EXIF ({tag})", "jpg", _rotated(tag)) for tag in _TURNS),
    ("EXIF of orientation 77", "jpg", _exif(raw.entry(0x0112, 3, 1, 77), 1)),
    ("EXIF of orientation in words", "jpg", _exif(raw.entry(0x0112, 2, 4, 0x00363636), 1)),
    ("EXIF of 65,535 entries", "jpg", _exif(raw.entry(0x0112, 3, 1, 1), 65535)),
    ("EXIF that leads to itself", "jpg", _exif(raw.entry(0x8769, 4, 1, 8), 1, following=8)),
    ("EXIF beyond its end", "jpg", _exif(raw.entry(0x0112, 3, 0xFFFFFFFF, 0xFFFFFF00), 1)),
    ("animated GIF", "gif", _animated("GIF")),
    ("animated WebP", "webp", _animated("WEBP")),
    ("animated PNG", "png", _animated("PNG")),
    ("two pictures in a JPEG", "jpg", _two_pictures),
    ("BMP", "bmp", lambda im: encode(im, "BMP")),
    ("BMP in runs", "bmp", _run_lengths),
    ("PNG named jpg", "jpg", lambda im: encode(im, "PNG")),
    ("WebP named png", "png", lambda im: encode(im, "WEBP", 90)),
    ("JPEG without a suffix", "", _jpeg),
    ("JPEG named HTML", "html", _jpeg),
    ("JPEG with a script behind it", "jpg", lambda im: _jpeg(im) + bytes(1000) + _SCRIPT),
    ("JPEG with a script within", "jpg", lambda im: raw.with_segment(_jpeg(im), 0xFE, _SCRIPT)),
    ("GIF that is an archive", "gif", _archive),
    ("JPEG with a profile of noise", "jpg", _profile(b"\x91\x92" * 40_000)),
    ("PNG with pixels without end", "png", _more_pixels),
]  # fmt: skip


def holed(image: Image.Image) -> tuple[Image.Image, Image.Image]:
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
    return encode(small, "PNG", transparency=255)


def _alpha(image: Image.Image, mask: Image.Image) -> bytes:
    """Transparent over black: dropping the alpha shows another picture."""
    black = Image.composite(image, Image.new("RGB", image.size), mask)
    black.putalpha(mask)
    return encode(black, "PNG")


def _grey_alpha(image: Image.Image, mask: Image.Image) -> bytes:
    grey = image.convert("L")
    grey.putalpha(mask)
    return encode(grey, "PNG")


SEE_THROUGH = [
    ("palette with transparency", _palette),
    ("RGBA PNG", _alpha),
    ("grey PNG with alpha", _grey_alpha),
]
