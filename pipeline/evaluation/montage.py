"""Contact sheets: grids of samples, the way from noise, and samples beside what they resemble.

Small pictures are enlarged by whole factors without smoothing, so that every pixel shown is a pixel
drawn. All sheets are uint8 H×W×3 on a dark ground; ``write_png`` puts them in a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.stamp import chunk
from pipeline.workspace import atomic_write

GROUND = (21, 24, 30)
INK = (232, 234, 238)
FAINT = (158, 164, 174)
GAP = 4
MARGIN = 12
_WEBP = 16_383  # pixels a side at most
_WRAP = 12  # characters of a breed's name a line


def sample_grid(
    images: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    columns: int | None = None,
    wrap: int | None = None,
    heads: Sequence[str] = (),
    scale: int = 2,
) -> np.ndarray:
    """A row of pictures per breed, or several, its name at the left of the first.

    Args:
        images: uint8 N×S×S×3.
        labels: N; -1 is shown as "any breed".
        classes: names of the labels.
        columns: pictures a breed at most; default all.
        wrap: pictures a row at most, the others of the breed in rows below; default all in one.
        heads: texts above the columns.
        scale: whole enlargement.

    Returns:
        uint8 H×W×3.
    """
    present = [int(label) for label in np.unique(labels)]
    rows, names = [], []
    for label in present:
        shown = images[labels == label][:columns]
        step = wrap or len(shown)
        below = [shown[start : start + step] for start in range(0, len(shown), step)]
        rows += below
        names += [spoken(classes[label]) if label >= 0 else "any breed"]
        names += [""] * (len(below) - 1)
    tile = images.shape[1] * scale
    size = text_size(tile)
    lines = [_wrap(name) for name in names]
    left = max(_text_width(line, size) for block in lines for line in block) + 2 * MARGIN
    width = left + max(len(row) for row in rows) * (tile + GAP) - GAP + MARGIN
    first = MARGIN + (size + MARGIN // 2 if heads else 0)
    sheet = _Sheet(first + MARGIN + len(rows) * (tile + GAP) - GAP, width)
    for column, head in enumerate(heads):
        centre = left + column * (tile + GAP) + tile / 2
        sheet.text(centre, MARGIN + size / 2 - 2, head, _caption_size(tile), FAINT, "mm")
    for number, (row, block) in enumerate(zip(rows, lines, strict=True)):
        top = first + number * (tile + GAP)
        sheet.text_block(left - MARGIN, top + tile / 2, block, size)
        for column, image in enumerate(row):
            sheet.paste(image, left + column * (tile + GAP), top, scale)
    return sheet.array()


def denoising_strip(
    noisy: np.ndarray, denoised: np.ndarray, sigmas: Sequence[float], *, scale: int = 2
) -> np.ndarray:
    """One sample on its way from noise: what the solver held, above what the net made of it.

    Args:
        noisy, denoised: uint8 F×S×S×3, in the order they were made.
        sigmas: the F noise levels, written under the frames.
    """
    tile = noisy.shape[1] * scale
    size = text_size(tile)
    names = (["noisy"], ["denoised"])
    left = max(_text_width(name[0], size) for name in names) + 2 * MARGIN
    foot = size + MARGIN
    width = left + len(noisy) * (tile + GAP) - GAP + MARGIN
    sheet = _Sheet(2 * MARGIN + 2 * tile + GAP + foot, width)
    for number, (frames, name) in enumerate(zip((noisy, denoised), names, strict=True)):
        top = MARGIN + number * (tile + GAP)
        sheet.text_block(left - MARGIN, top + tile / 2, name, size)
        for column, image in enumerate(frames):
            sheet.paste(image, left + column * (tile + GAP), top, scale)
    for column, sigma in enumerate(sigmas):
        centre = left + column * (tile + GAP) + tile / 2
        below = MARGIN + 2 * tile + GAP + foot / 2
        sheet.text(centre, below, f"σ {sigma:.3g}", _caption_size(tile), FAINT, "mm")
    return sheet.array()


def nearest_grid(
    samples: np.ndarray,
    nearest: Mapping[str, tuple[np.ndarray, Sequence[str]]],
    *,
    groups: int | None = None,
    scale: int = 2,
) -> np.ndarray:
    """Each sample and the training pictures nearest to it in several ways, with numbers under.

    Args:
        samples: uint8 N×S×S×3.
        nearest: by the way's name, uint8 N×S×S×3 neighbours and their N captions.
        groups: samples side by side; default 2 for up to 8 samples, else 4.
    """
    count, side = samples.shape[:2]
    groups = min(count, groups or (2 if count <= 8 else 4))
    tile = side * scale
    size = _caption_size(tile)
    head, foot = size + MARGIN, size + 10
    columns = {"sample": (samples, [""] * count), **nearest}
    group = len(columns) * (tile + GAP) - GAP
    between = 3 * MARGIN
    lines = -(-count // groups)
    width = 2 * MARGIN + groups * group + (groups - 1) * between
    sheet = _Sheet(MARGIN + head + lines * (tile + foot) + MARGIN // 2, width)
    for number in range(groups):
        for place, title in enumerate(columns):
            centre = MARGIN + number * (group + between) + place * (tile + GAP) + tile / 2
            sheet.text(centre, MARGIN + head / 2 - 4, title, size, INK, "mm")
    for number in range(count):
        left = MARGIN + number % groups * (group + between)
        top = MARGIN + head + number // groups * (tile + foot)
        for place, (pictures, notes) in enumerate(columns.values()):
            x = left + place * (tile + GAP)
            sheet.paste(pictures[number], x, top, scale)
            sheet.text(x + tile / 2, top + tile + foot / 2 - 2, notes[number], size, FAINT, "mm")
    return sheet.array()


def filmstrip(frames: Sequence[np.ndarray], *, scale: int = 1) -> np.ndarray:
    """Frames (uint8 S×S×3) side by side with gaps, nothing written on them."""
    tile = frames[0].shape[0] * scale
    sheet = _Sheet(tile, len(frames) * (tile + GAP) - GAP)
    for column, frame in enumerate(frames):
        sheet.paste(frame, column * (tile + GAP), 0, scale)
    return sheet.array()


def write_film(
    path: Path, frames: Sequence[np.ndarray], *, seconds: float = 4.0, lossless: bool = True
) -> None:
    """Write uint8 H×W×3 frames as an endless WebP: the whole file or none.

    Noise hardly compresses without loss; with it (quality 90) a film is a few times smaller. The
    last frame stays as long as a third of the way there, so that it can be looked at. Raises
    ``ValueError`` if the frames are larger than the format allows.
    """
    height, width = frames[0].shape[:2]
    if max(height, width) > _WEBP:
        raise ValueError(f"a film of {width}x{height} pixels; WebP ends at {_WEBP} a side")
    each = max(20, round(1000 * seconds / len(frames)))
    first, *others = (Image.fromarray(frame) for frame in frames)
    with atomic_write(path) as file:
        first.save(
            file,
            "WEBP",
            save_all=True,
            append_images=others,
            duration=[each] * len(others) + [each + round(1000 * seconds / 3)],
            loop=0,
            lossless=lossless,
            quality=90,
        )


def captioned_strip(frames: np.ndarray, captions: Sequence[str], *, scale: int = 2) -> np.ndarray:
    """Pictures in a row, each with its lines of text below.

    Args:
        frames: uint8 F×S×S×3.
        captions: F texts; a line break begins a line.
    """
    tile = frames.shape[1] * scale
    size = _caption_size(tile)
    lines = [caption.split("\n") for caption in captions]
    step = round(size * 1.35)
    # Small pictures are set apart as far as their captions need.
    pitch = max(tile, *(_text_width(line, size) for block in lines for line in block)) + GAP
    height = 2 * MARGIN + tile + step * max(map(len, lines)) + GAP
    sheet = _Sheet(height, 2 * MARGIN + len(frames) * pitch - GAP)
    for column, (image, block) in enumerate(zip(frames, lines, strict=True)):
        centre = MARGIN + column * pitch + (pitch - GAP) / 2
        sheet.paste(image, round(centre - tile / 2), MARGIN, scale)
        for number, line in enumerate(block):
            below = MARGIN + tile + GAP + (number + 0.5) * step
            sheet.text(centre, below, line, size, FAINT, "mm")
    return sheet.array()


def write_png(path: Path, image: np.ndarray, note: Mapping[str, Any] | None = None) -> None:
    """Write uint8 H×W×3 as PNG, with ``note`` in it (see ``stamp``): the whole file or none."""
    with atomic_write(path) as file:
        Image.fromarray(image).save(file, "PNG", optimize=True, pnginfo=chunk(note))


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    """Each pixel of H×W×3 as a ``scale``×``scale`` square."""
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def spoken(name: str) -> str:
    """A class name for people: ``siberian_husky`` is "siberian husky"."""
    return name.replace("_", " ").strip() or name


# --------------------------------------------------------------------------- drawing


class _Sheet:
    """A dark ground on which pictures and text are put."""

    def __init__(self, height: int, width: int) -> None:
        self.image = Image.new("RGB", (width, height), GROUND)
        self.draw = ImageDraw.Draw(self.image)

    def paste(self, image: np.ndarray, x: int, y: int, scale: int) -> None:
        self.image.paste(Image.fromarray(enlarge(image, scale)), (x, y))

    def text(
        self, x: float, y: float, text: str, size: int, ink: tuple[int, int, int], anchor: str
    ) -> None:
        self.draw.text((x, y), text, fill=ink, font=_font(size), anchor=anchor)

    def text_block(self, right: float, middle: float, lines: Sequence[str], size: int) -> None:
        """Lines of text, right-aligned, around the height ``middle``."""
        step = round(size * 1.25)
        first = middle - step * (len(lines) - 1) / 2
        for number, line in enumerate(lines):
            self.text(right, first + number * step, line, size, INK, "rm")

    def array(self) -> np.ndarray:
        return np.asarray(self.image).copy()


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans, which matplotlib brings and which knows σ; without it Pillow's own."""
    try:
        import matplotlib

        return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)
    except (ImportError, OSError):
        return ImageFont.load_default(size)


def text_size(tile: int) -> int:
    return int(np.clip(tile // 7, 11, 20))


def _caption_size(tile: int) -> int:
    return int(np.clip(tile // 9, 9, 16))


def _text_width(text: str, size: int) -> int:
    return int(_font(size).getlength(text)) + 1


def _wrap(name: str) -> list[str]:
    """Words of ``name`` in lines of about _WRAP characters; a very long word is cut."""
    lines = [""]
    for word in name.split():
        word = word if len(word) <= 24 else word[:23] + "…"
        if lines[-1] and len(lines[-1]) + 1 + len(word) > _WRAP:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines[:4]
