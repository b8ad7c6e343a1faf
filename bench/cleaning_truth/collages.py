"""Collages of photos, every layout of the issue. Written apart from pipeline/cleaning/synthesis.py,
with other sizes, gutters and colours: a detector must not be examined by its own teacher."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from cleaning_truth.photos import encode

Box = tuple[float, float, float, float]  # left, top, right, bottom as shares of the canvas
Photos = list[Image.Image]
_COLOURS = ("white", "white", "white", "black", "#202428", "#f2ead8", "#c9ced6", "#e9b8c4")


def grid(columns: int, rows: int) -> list[Box]:
    return [
        (x / columns, y / rows, (x + 1) / columns, (y + 1) / rows)
        for y in range(rows)
        for x in range(columns)
    ]


def one_and_two(rng: random.Random) -> list[Box]:
    """A large cell beside two small ones, on any of the four sides."""
    at, half = rng.uniform(0.5, 0.7), rng.uniform(0.42, 0.58)
    return _turned([(0, 0, at, 1), (at, 0, 1, half), (at, half, 1, 1)], rng)


def uneven(rng: random.Random) -> list[Box]:
    """Two to five cells by splitting the largest one again and again, anywhere."""
    cells: list[Box] = [(0.0, 0.0, 1.0, 1.0)]
    for _ in range(rng.randint(1, 4)):
        cells.sort(key=lambda c: (c[2] - c[0]) * (c[3] - c[1]))
        left, top, right, bottom = cells.pop()
        at = rng.uniform(0.28, 0.72)
        if rng.random() < 0.5:
            x = left + at * (right - left)
            cells += [(left, top, x, bottom), (x, top, right, bottom)]
        else:
            y = top + at * (bottom - top)
            cells += [(left, top, right, y), (left, y, right, bottom)]
    return cells


def pinwheel(rng: random.Random) -> list[Box]:
    """Five cells around a middle one: no join runs the whole way."""
    a, b = rng.uniform(0.28, 0.4), rng.uniform(0.28, 0.4)
    cells = [(0, 0, 1 - a, b), (1 - a, 0, 1, 1 - b), (a, 1 - b, 1, 1), (0, b, a, 1)]
    return _turned([*cells, (a, b, 1 - a, 1 - b)], rng)


def _turned(cells: list[Box], rng: random.Random) -> list[Box]:
    if rng.random() < 0.5:
        cells = [(t, left, b, r) for left, t, r, b in cells]
    if rng.random() < 0.5:
        cells = [(1 - r, t, 1 - left, b) for left, t, r, b in cells]
    return cells


STRAIGHT: dict[str, Callable[[random.Random], list[Box]]] = {
    "2-up": lambda rng: grid(2, 1),
    "stacked": lambda rng: grid(1, 2),
    "2x2": lambda rng: grid(2, 2),
    "3x3": lambda rng: grid(3, 3),
    "strips": lambda rng: grid(1, rng.choice((3, 4))),
    "columns": lambda rng: grid(rng.choice((3, 4)), 1),
    "1+2": one_and_two,
    "uneven": uneven,
    "pinwheel": pinwheel,
}
GUTTERED = [f"{name}{gap}" for name in STRAIGHT for gap in ("", ", gutter")]
LOOSE = ["scattered", "inset"]
ALL = [*GUTTERED, "captioned", *LOOSE]
MOST = 9  # photos that a collage can need


def make_collage(photos: Photos, kind: str, rng: random.Random) -> bytes:
    """The file of a collage of some of ``photos`` (at least ``MOST``)."""
    name, _, gap = kind.partition(", ")
    if name in STRAIGHT:
        image = straight(photos, STRAIGHT[name](rng), bool(gap), rng)
    else:
        image = {"captioned": captioned, "scattered": scattered, "inset": inset}[name](photos, rng)
    return encode(image, "JPEG", rng.randint(60, 95))


def straight(photos: Photos, cells: list[Box], gap: bool, rng: random.Random) -> Image.Image:
    """Photos side by side, each cut to its cell."""
    width, height = _canvas(cells, rng)
    gutter = rng.randint(2, max(3, round(0.03 * min(width, height)))) if gap else 0
    margin = rng.choice((0, gutter, 2 * gutter))
    canvas = Image.new("RGB", (width + 2 * margin, height + 2 * margin), rng.choice(_COLOURS))
    for (left, top, right, bottom), photo in zip(
        cells, rng.sample(photos, len(cells)), strict=True
    ):
        x = margin + round(left * width) + (gutter // 2 if left > 0 else 0)
        y = margin + round(top * height) + (gutter // 2 if top > 0 else 0)
        end_x = margin + round(right * width) - (gutter - gutter // 2 if right < 0.999 else 0)
        end_y = margin + round(bottom * height) - (gutter - gutter // 2 if bottom < 0.999 else 0)
        canvas.paste(_fitted(photo, (max(end_x - x, 8), max(end_y - y, 8)), rng), (x, y))
    return canvas


def _canvas(cells: list[Box], rng: random.Random) -> tuple[int, int]:
    """Such that the cells have about the shapes of photos, within what folders hold."""
    usual = [(right - left) / (bottom - top) for left, top, right, bottom in cells]
    aspect = rng.uniform(0.85, 1.5) / sorted(usual)[len(usual) // 2]
    aspect = min(max(aspect, 0.4), 2.5)
    long = rng.randint(480, 1100)
    return (long, round(long / aspect)) if aspect > 1 else (round(long * aspect), long)


def _fitted(photo: Image.Image, size: tuple[int, int], rng: random.Random) -> Image.Image:
    where = (rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8))
    return ImageOps.fit(photo, size, Image.Resampling.LANCZOS, centering=where)


def captioned(photos: Photos, rng: random.Random) -> Image.Image:
    """Before and after: twice the same subject or two, each with a word on or beside it."""
    first, second = rng.sample(photos, 2)
    if rng.random() < 0.5:
        second = _later(first, rng)
    side = rng.randint(260, 520)
    size = (side, round(side * rng.uniform(0.8, 1.4)))
    colour, ink = rng.choice((("white", "black"), ("black", "white"), ("#f2ead8", "#303030")))
    bar = rng.choice((0, round(rng.uniform(0.07, 0.13) * size[1])))
    above, beside = rng.random() < 0.5, rng.random() < 0.6
    gutter = rng.choice((0, 0, 2, 5, 10))
    words = rng.choice((("BEFORE", "AFTER"), ("Before", "After"), ("2015", "2023"), ("1", "2")))
    parts = []
    for photo, word in zip((first, second), words, strict=True):
        part = Image.new("RGB", (size[0], size[1] + bar), colour)
        part.paste(_fitted(photo, size, rng), (0, bar if above else 0))
        high = bar or round(0.1 * size[1])
        y = 0 if above else part.height - high
        font = ImageFont.load_default(size=max(10, round(high * 0.7)))
        draw = ImageDraw.Draw(part)
        draw.text((size[0] / 2, y + high / 2), word, ink, font, "mm", stroke_width=0)
        parts.append(part)
    wide, high = parts[0].size
    whole = (2 * wide + gutter, high) if beside else (wide, 2 * high + gutter)
    canvas = Image.new("RGB", whole, colour)
    canvas.paste(parts[0], (0, 0))
    canvas.paste(parts[1], (wide + gutter, 0) if beside else (0, high + gutter))
    return canvas


def _later(photo: Image.Image, rng: random.Random) -> Image.Image:
    """The same subject seen again: closer, in other light, perhaps from the other side."""
    keep = rng.uniform(0.65, 0.9)
    width, height = photo.size
    left, top = rng.uniform(0, 1 - keep) * width, rng.uniform(0, 1 - keep) * height
    right, bottom = left + keep * width, top + keep * height
    closer = photo.crop((round(left), round(top), round(right), round(bottom)))
    lit = ImageEnhance.Brightness(closer).enhance(rng.uniform(0.75, 1.3))
    return ImageOps.mirror(lit) if rng.random() < 0.3 else lit


def scattered(photos: Photos, rng: random.Random) -> Image.Image:
    """Three to seven prints, turned, thrown on a ground so that they overlap."""
    width, height = rng.randint(600, 1100), rng.randint(500, 900)
    count = rng.randint(3, 7)
    chosen = rng.sample(photos, count + 1)
    canvas = _ground(chosen[count], (width, height), rng)
    columns = 2 if count <= 4 else 3
    rows = -(-count // columns)
    style, shadow = rng.choice(("polaroid", "polaroid", "white", "none")), rng.random() < 0.5
    places = [(x, y) for y in range(rows) for x in range(columns)]
    rng.shuffle(places)
    for photo, (x, y) in zip(chosen[:count], places, strict=False):
        side = rng.uniform(0.85, 1.25) * max(width / columns, height / rows) * 0.8
        card = _print(photo, round(side), style).rotate(
            rng.uniform(-25, 25), Image.Resampling.BICUBIC, expand=True
        )
        left = round((x + rng.uniform(0.35, 0.65)) * width / columns - card.width / 2)
        top = round((y + rng.uniform(0.35, 0.65)) * height / rows - card.height / 2)
        if shadow:
            dark = card.getchannel("A").filter(ImageFilter.GaussianBlur(6)).point(lambda a: a // 2)
            canvas.paste((0, 0, 0), (left + 5, top + 7), dark)
        canvas.paste(card, (left, top), card)
    return canvas


def _print(photo: Image.Image, side: int, style: str) -> Image.Image:
    """A photo as a print of ``side`` pixels: RGBA, with its white rim."""
    photo = ImageOps.contain(photo, (side, side), Image.Resampling.LANCZOS)
    rim = 0 if style == "none" else max(3, round(0.045 * side))
    foot = round(0.14 * side) if style == "polaroid" else rim
    card = Image.new("RGBA", (photo.width + 2 * rim, photo.height + rim + foot), "#fdfcf8")
    card.paste(photo, (rim, rim))
    return card


def _ground(photo: Image.Image, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """Plain, a gradient, planks, or a blurred photo."""
    kind = rng.choice(("plain", "gradient", "planks", "photo"))
    if kind == "photo":
        return _fitted(photo, size, rng).filter(ImageFilter.GaussianBlur(rng.uniform(3, 9)))
    a, b = rng.sample(("#8a6a4a", "#d8cbb5", "#34414e", "#f4f2ee", "#7c8f7a", "#b9a6c0"), 2)
    if kind == "plain":
        return Image.new("RGB", size, a)
    if kind == "gradient":
        return ImageOps.colorize(Image.linear_gradient("L").resize(size), a, b)
    noise = np.random.default_rng(rng.randrange(1 << 32))
    grain = noise.normal(128, rng.uniform(20, 60), (size[1], size[0] // 40 + 1))
    planks = Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8))
    return ImageOps.colorize(planks.resize(size, Image.Resampling.BICUBIC), a, b)


def inset(photos: Photos, rng: random.Random) -> Image.Image:
    """One or two small photos in the corners of a large one; some round, some framed."""
    count = rng.choice((1, 1, 2))
    base, *small = rng.sample(photos, count + 1)
    width = rng.randint(500, 1000)
    canvas = base.resize((width, round(width * base.height / base.width)), Image.Resampling.LANCZOS)
    corners = rng.sample([(0, 0), (0, 1), (1, 0), (1, 1)], count)
    away = rng.choice((0, round(rng.uniform(0.02, 0.05) * width)))
    for photo, (right, low) in zip(small, corners, strict=True):
        side = round(rng.uniform(0.22, 0.4) * min(canvas.size))
        size = (round(side * rng.uniform(0.9, 1.5)), side)
        rim = rng.choice((0, 0, rng.randint(2, 8)))
        part = ImageOps.expand(_fitted(photo, size, rng), rim, rng.choice(("white", "black")))
        mask = Image.new("L", part.size, 255)
        if rng.random() < 0.2:
            mask = Image.new("L", part.size, 0)
            ImageDraw.Draw(mask).ellipse((0, 0, part.width - 1, part.height - 1), fill=255)
        x = canvas.width - part.width - away if right else away
        y = canvas.height - part.height - away if low else away
        canvas.paste(part, (x, y), mask)
    return canvas
