"""Examples to learn from, made of a set's own pictures: nobody has labelled any collages.

``examples`` is a plain function from a few pictures to what is measured on collages of them and on
the same pictures one by one, framed, captioned, marked and saved again: what a collage shares with
a picture that was merely edited must not count against the picture.
"""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from pipeline.cleaning import seams, sheets
from pipeline.cleaning.glance import glance
from pipeline.cleaning.measure import DRAFT
from pipeline.images import PictureError, open_picture

# Raise when other examples would be made of the same pictures.
VERSION = 7

_LONG = (420, 900)
_QUALITIES = (30, 50, 70, 85, 92)  # the blocks of strong compression make edges of their own


@dataclass(frozen=True)
class Task:
    """Pictures to glue: their paths, the seed of all choices, and how many collages to make
    for each picture."""

    paths: tuple[str, ...]
    seed: str
    rounds: int
    max_pixels: int


@dataclass(frozen=True)
class Examples:
    """K examples.

    ``features``: float32 K x ``seams.COUNT``, seam evidence. ``of``: the place in ``Task.paths``
    of the one picture shown, or -1 for a collage. ``loose``: whether a collage is scattered or
    inset. ``suspect``: whether a first look does not clear it.
    """

    features: np.ndarray
    of: np.ndarray
    loose: np.ndarray
    suspect: np.ndarray


NOTHING = Examples(
    np.empty((0, seams.COUNT), np.float32),
    np.empty(0, np.int64),
    np.empty(0, bool),
    np.empty(0, bool),
)


def edited(picture: Image.Image, long: int, rng: random.Random) -> Image.Image:
    """One picture as the web passes it on: cropped, scaled, often framed, captioned or marked."""
    width, height = picture.size
    keep = rng.uniform(0.7, 1)
    left, top = rng.uniform(0, 1 - keep) * width, rng.uniform(0, 1 - keep) * height
    box = (left, top, left + keep * width, top + keep * height)
    scale = long / max(width, height)
    size = (max(round(width * scale), 32), max(round(height * scale), 32))
    image = picture.resize(size, Image.Resampling.BICUBIC, box=box)
    image = _changed(image, rng)
    before, after = _margins(size, rng)
    whole = (size[0] + before[0] + after[0], size[1] + before[1] + after[1])
    paper = sheets.colour(rng)
    sheet = Image.new("RGB", whole, paper)
    sheet.paste(image, before)
    high = max(before[1], after[1])
    if high > 0.06 * size[1] and rng.random() < 0.8:
        middle = high / 2 if before[1] >= after[1] else whole[1] - high / 2
        ink = (0, 0, 0) if sum(paper) > 380 else (255, 255, 255)
        sheets.write(sheet, "a good dog", (whole[0] / 2, middle), high, ink)
    return sheet


def _margins(size: tuple[int, int], rng: random.Random) -> tuple[tuple[int, int], tuple[int, int]]:
    """Pixels added (left, top) and (right, bottom): none, a frame, a caption's bar, a letterbox,
    or the foot of an instant print."""
    short, chance = min(size), rng.random()
    edge = round(rng.uniform(0.01, 0.07) * short)
    if chance < 0.6:
        return (0, 0), (0, 0)
    if chance < 0.75:
        return (edge, edge), (edge, edge)
    if chance < 0.85:
        bar = round(rng.uniform(0.08, 0.2) * size[1])
        return ((0, bar), (0, 0)) if rng.random() < 0.5 else ((0, 0), (0, bar))
    if chance < 0.95:
        bar = round(rng.uniform(0.03, 0.2) * short)
        return ((bar, 0), (bar, 0)) if rng.random() < 0.5 else ((0, bar), (0, bar))
    return (edge, edge), (edge, 3 * edge)


def _changed(image: Image.Image, rng: random.Random) -> Image.Image:
    """Now and then another light, no colour, less sharpness, a mark."""
    if rng.random() < 0.3:
        image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.7, 1.35))
    if rng.random() < 0.3:
        image = ImageEnhance.Contrast(image).enhance(rng.uniform(0.7, 1.4))
    if rng.random() < 0.1:
        image = ImageOps.grayscale(image).convert("RGB")
    if rng.random() < 0.1:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.001, 0.004) * max(image.size)))
    if rng.random() < 0.2:
        _mark(image, rng)
    return image


def _mark(image: Image.Image, rng: random.Random) -> None:
    """A filled label or plain words, near an edge: what a copy gains on its way, and no inset."""
    width, height = image.size
    high = rng.uniform(0.05, 0.13) * height
    x, y = rng.choice((0.2, 0.5, 0.8)) * width, rng.choice((0.08, 0.5, 0.92)) * height
    if rng.random() < 0.5:
        half = rng.uniform(0.08, 0.2) * width
        box = (x - half, y - high / 2, x + half, y + high / 2)
        ImageDraw.Draw(image).rectangle(box, fill=sheets.colour(rng))
    sheets.write(image, "dogs.example", (x, y), high, sheets.colour(rng))


def saved(image: Image.Image, rng: random.Random) -> Image.Image:
    """The picture as a JPEG of any quality gives it back."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=rng.choice(_QUALITIES))
    return Image.open(out).convert("RGB")


def examples(task: Task) -> Examples:
    """Collages of the task's pictures, and one edited copy of each picture."""
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
    made = [
        sheets.compose(pictures, rng.randint(*_LONG), rng)
        for _ in range(task.rounds * len(pictures))
    ]
    # One each: an unknown collage among the pictures is a false witness, and need not be five.
    single = [edited(picture, rng.randint(*_LONG), rng) for picture in pictures]
    shown = [saved(sheet, rng) for sheet in (*(sheet for sheet, _ in made), *single)]
    return Examples(
        np.stack([seams.evidence(sheet)[0].features for sheet in shown]),
        np.array([-1] * len(made) + places),
        np.array([loose for _, loose in made] + [False] * len(places)),
        np.array([glance(sheet).suspect for sheet in shown]),
    )
