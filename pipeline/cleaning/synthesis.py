"""Collages made from a set's own single pictures, to learn from: nobody has labelled any.

``examples`` is a plain function from a few pictures to the seam evidence of collages of them and of
the same pictures one by one, framed and saved again: what a collage shares with a picture that was
merely edited must not count against the picture.
"""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pipeline.cleaning import seams
from pipeline.cleaning.measure import DRAFT
from pipeline.images import PictureError, open_picture

# Raise when other collages would be made of the same pictures.
VERSION = 4

Box = tuple[float, float, float, float]  # left, top, width, height as shares of the canvas

_CANVASES = ((600, 600), (800, 600), (600, 800), (1000, 500))
_GUTTERS = (0, 0, 2, 4, 8, 14)
_COLOURS = ((255, 255, 255), (255, 255, 255), (0, 0, 0), (230, 220, 200))
_LONGEST = 800
_QUALITIES = (30, 50, 70, 85, 92)  # the blocks of strong compression make edges of their own


@dataclass(frozen=True)
class Task:
    """Pictures to glue: their paths, the seed of all choices, and how many collages to make
    for each picture."""

    paths: tuple[str, ...]
    seed: str
    rounds: int
    max_pixels: int


def grid(columns: int, rows: int) -> list[Box]:
    """Equal cells, row by row."""
    return [
        (x / columns, y / rows, 1 / columns, 1 / rows) for y in range(rows) for x in range(columns)
    ]


def layouts(rng: random.Random) -> dict[str, list[Box]]:
    """The cells of every layout; uneven ones with a split drawn from ``rng``."""
    at = rng.uniform(0.3, 0.7)
    big = rng.uniform(0.5, 0.67)
    return {
        "2-up": grid(2, 1),
        "stack": grid(1, 2),
        "2x2": grid(2, 2),
        "3x3": grid(3, 3),
        "columns": grid(3, 1),
        "rows": grid(1, 3),
        "2x3": grid(2, 3),
        "1+2": [(0, 0, big, 1), (big, 0, 1 - big, 0.5), (big, 0.5, 1 - big, 0.5)],
        "1+3": [(0, 0, big, 1), *((big, k / 3, 1 - big, 1 / 3) for k in range(3))],
        "uneven": [(0, 0, at, 1), (at, 0, 1 - at, 1)],
        "pinwheel": [
            (0, 0, 0.65, 0.35),
            (0.65, 0, 0.35, 0.65),
            (0.35, 0.65, 0.65, 0.35),
            (0, 0.35, 0.35, 0.65),
            (0.35, 0.35, 0.3, 0.3),
        ],
    }


def compose(pictures: list[Image.Image], rng: random.Random) -> tuple[Image.Image, str]:
    """A collage of some of ``pictures`` (each cell another one), and the name of its layout."""
    name, cells = rng.choice(
        [item for item in layouts(rng).items() if len(item[1]) <= len(pictures)]
    )
    if rng.random() < 0.5:
        cells = [(top, left, height, width) for left, top, width, height in cells]
    if rng.random() < 0.5:
        cells = [(1 - left - width, top, width, height) for left, top, width, height in cells]
    width, height = _canvas(pictures, rng)
    gutter = rng.choice(_GUTTERS)
    margin = rng.choice((0, gutter))
    canvas = Image.new("RGB", (width, height), rng.choice(_COLOURS))
    chosen = rng.sample(pictures, len(cells))
    inner = (width - 2 * margin + gutter, height - 2 * margin + gutter)
    for (left, top, wide, high), picture in zip(cells, chosen, strict=True):
        x, y = margin + round(left * inner[0]), margin + round(top * inner[1])
        right = margin + round((left + wide) * inner[0]) - gutter
        bottom = margin + round((top + high) * inner[1]) - gutter
        cell = ImageOps.fit(
            picture, (max(right - x, 1), max(bottom - y, 1)), Image.Resampling.BICUBIC
        )
        canvas.paste(cell, (x, y))
    return _saved(canvas, rng), name


def _canvas(pictures: list[Image.Image], rng: random.Random) -> tuple[int, int]:
    """A usual size for collages, or the shape of one of the pictures: shape must tell nothing."""
    if rng.random() < 0.5:
        return rng.choice(_CANVASES)
    width, height = rng.choice(pictures).size
    scale = rng.uniform(480, _LONGEST) / max(width, height)
    return max(round(width * scale), 160), max(round(height * scale), 160)


def edited(picture: Image.Image, rng: random.Random) -> Image.Image:
    """One picture as the web passes it on: cropped, scaled, sometimes framed, saved again."""
    width, height = picture.size
    keep = rng.uniform(0.75, 1)
    left, top = rng.uniform(0, 1 - keep) * width, rng.uniform(0, 1 - keep) * height
    box = (left, top, left + keep * width, top + keep * height)
    scale = rng.uniform(400, _LONGEST) / max(width, height) / keep
    size = (max(round(keep * width * scale), 160), max(round(keep * height * scale), 160))
    image = picture.resize(size, Image.Resampling.BICUBIC, box=box)
    if rng.random() < 0.25:
        border = round(rng.uniform(0.01, 0.06) * min(size))
        image = ImageOps.expand(image, border, rng.choice(_COLOURS))
    return _saved(image, rng)


def _saved(image: Image.Image, rng: random.Random) -> Image.Image:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=rng.choice(_QUALITIES))
    return Image.open(out).convert("RGB")


Examples = tuple[np.ndarray, np.ndarray]
NOTHING: Examples = (np.empty((0, seams.COUNT), np.float32), np.empty(0, np.int64))


def examples(task: Task) -> Examples:
    """Seam features (float32 K x 38), and for each of what: the place in ``task.paths`` of the one
    picture it is of, or -1 for a collage."""
    rng = random.Random(task.seed)
    pictures, places = [], []
    for place, path in enumerate(task.paths):
        try:
            pictures.append(open_picture(Path(path), max_pixels=task.max_pixels, draft=DRAFT))
            places.append(place)
        except PictureError:  # changed on disk since it was measured: the others will do
            continue
    if len(pictures) < 2:
        return NOTHING
    made = [compose(pictures, rng)[0] for _ in range(task.rounds * len(pictures))]
    shown = [-1] * len(made) + places
    # One each: an unknown collage among the pictures is a false witness, and need not be five.
    made += [edited(picture, rng) for picture in pictures]
    features = np.stack([seams.evidence(image)[0].features for image in made])
    return features, np.array(shown)
