"""One small picture of the worst misses."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

_COLUMNS = 10
_LIMIT = 300_000  # bytes


@dataclass(frozen=True)
class Strip:
    """A row of the sheet: a title, and pictures with a word under each."""

    title: str
    pictures: list[tuple[Path, str]]


def write_sheet(strips: list[Strip], path: Path) -> None:
    """Draw the strips one below the other, as large as fits in 300 kB."""
    strips = [strip for strip in strips if strip.pictures]
    for side in (104, 92, 80, 70, 60, 50):
        out = io.BytesIO()
        _draw(strips, side).quantize(96).save(out, "PNG", optimize=True)
        if out.tell() <= _LIMIT:
            break
    path.write_bytes(out.getvalue())


def _draw(strips: list[Strip], side: int) -> Image.Image:
    high = side + 28
    sheet = Image.new("RGB", (_COLUMNS * (side + 4), max(high * len(strips), 1)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=10)
    for row, strip in enumerate(strips):
        y = row * high
        draw.text((2, y), strip.title, "black", font)
        for column, (path, words) in enumerate(strip.pictures[:_COLUMNS]):
            with Image.open(path) as image:
                small = ImageOps.contain(image.convert("RGB"), (side, side))
            x = column * (side + 4)
            sheet.paste(small, (x, y + 13))
            draw.text((x, y + 14 + side), words, "#a00", font)
    return sheet
