"""What is planted among the drawings: altered copies, collages, and files that are not pictures."""

from __future__ import annotations

import random
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFont, ImageOps

Cell = Callable[[int, int, int], Image.Image]  # (number, width, height) -> picture of that size

NEAR = ("resize", "jpeg30", "crop", "mirror", "watermark")
LAYOUTS = ("2-up", "stacked", "2x2", "1+2", "3x3")
GUTTERS = ("white", "#15161a", "#e6dcc8")
BROKEN = ("truncated", "html", "zero", "wrong_type")

HTML = b"""<!doctype html>
<html><head><title>Access denied</title></head>
<body><h1>Hotlinking is not allowed</h1><p>Please visit our page to see this picture.</p></body>
</html>
"""


def near_edit(rng: random.Random, turn: int) -> str:
    """The ``turn``-th near-duplicate edit, with its strength: mirror, jpeg30, crop7, resize62."""
    name = NEAR[turn % len(NEAR)]
    if name == "crop":
        return f"crop{rng.randint(4, 10)}"
    if name == "resize":
        return f"resize{rng.randint(50, 85)}"
    return name


def near_size(edit: str, width: int, height: int) -> tuple[int, int]:
    """The size of a ``width`` x ``height`` picture after ``edit``."""
    if edit.startswith("resize"):
        scale = int(edit[6:]) / 100
        return max(1, round(width * scale)), max(1, round(height * scale))
    if edit.startswith("crop"):
        left, top, right, bottom = _crop_box(edit, width, height)
        return right - left, bottom - top
    return width, height


def _crop_box(edit: str, width: int, height: int) -> tuple[int, int, int, int]:
    share = int(edit[4:]) / 100
    # Three tenths of what goes is taken left and above: the crop is off-centre, as by hand.
    x, y = round(width * share), round(height * share)
    return round(0.3 * x), round(0.3 * y), width - x + round(0.3 * x), height - y + round(0.3 * y)


def near_copy(image: Image.Image, edit: str) -> Image.Image:
    """``image`` (RGB) altered by ``edit``. Recompression (jpeg30) is left to the encoder."""
    if edit.startswith("resize"):
        return image.resize(near_size(edit, *image.size), Image.Resampling.LANCZOS)
    if edit.startswith("crop"):
        return image.crop(_crop_box(edit, *image.size))
    if edit == "mirror":
        return ImageOps.mirror(image)
    if edit == "watermark":
        return _watermarked(image)
    return image


def _watermarked(image: Image.Image) -> Image.Image:
    size = max(8, min(image.size) // 16)
    font = ImageFont.load_default(size)
    layer = Image.new("RGBA", image.size)
    pen = ImageDraw.Draw(layer)
    where = (image.width - size // 2, image.height - size // 2)
    pen.text(where, "dogpictures.example", (255, 255, 255, 150), font, anchor="rb",
             stroke_width=max(1, size // 14), stroke_fill=(20, 20, 20, 110))  # fmt: skip
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def cells(layout: str, width: int, height: int, gutter: int) -> list[tuple[int, int, int, int]]:
    """The boxes (left, top, right, bottom) of a collage; ``gutter`` pixels apart and around."""
    if layout == "1+2":
        # One large picture on the left, two stacked on the right.
        split = round(width * 0.6)
        middle = height // 2
        return [
            (gutter, gutter, split - gutter // 2, height - gutter),
            (split + gutter - gutter // 2, gutter, width - gutter, middle - gutter // 2),
            (split + gutter - gutter // 2, middle + gutter - gutter // 2, width - gutter,
             height - gutter),
        ]  # fmt: skip
    across, down = {"2-up": (2, 1), "stacked": (1, 2), "2x2": (2, 2), "3x3": (3, 3)}[layout]
    columns, rows = _cuts(width, across, gutter), _cuts(height, down, gutter)
    return [(x0, y0, x1, y1) for y0, y1 in rows for x0, x1 in columns]


def _cuts(length: int, count: int, gutter: int) -> list[tuple[int, int]]:
    inner = length - gutter * (count + 1)
    edges = [round(inner * i / count) for i in range(count + 1)]
    return [
        (edges[i] + gutter * (i + 1), edges[i + 1] + gutter * (i + 1)) for i in range(count)
    ]  # fmt: skip


def collage(
    layout: str, width: int, height: int, gutter: int, colour: str, cell: Cell
) -> Image.Image:
    """A ``width`` x ``height`` collage of the pictures that ``cell`` gives."""
    sheet = Image.new("RGB", (width, height), colour)
    for number, (left, top, right, bottom) in enumerate(cells(layout, width, height, gutter)):
        sheet.paste(cell(number, right - left, bottom - top), (left, top))
    return sheet


def collage_canvas(layout: str, rng: random.Random) -> tuple[int, int]:
    """A size that suits ``layout``."""
    base = rng.randrange(500, 1000, 20)
    wide, high = {"2-up": (1.5, 0.8), "stacked": (0.8, 1.4), "1+2": (1.3, 0.9)}.get(layout, (1, 1))
    return round(base * wide), round(base * high)


def truncated(data: bytes, share: float) -> bytes:
    """The first ``share`` of a file, as a broken transfer leaves it."""
    return data[: max(64, int(len(data) * share))]
