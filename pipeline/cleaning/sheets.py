"""Collages of a handful of pictures: straight cells, captioned pairs, thrown prints, insets.

Layouts as collage makers offer them; to build training figures from single pictures is usual for
compound figures of papers (SimCFS 2021). Sizes, gutters and colours are drawn wide: none of them
may tell a collage by itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Box = tuple[float, float, float, float]  # left, top, width, height as shares of the canvas
Colour = tuple[int, int, int]

_COLOURS = ((255, 255, 255), (255, 255, 255), (0, 0, 0), (230, 220, 200))
_WORDS = (("Before", "After"), ("BEFORE", "AFTER"), ("A", "B"), ("then", "now"), ("2012", "2021"))
_SMOOTH = Image.Resampling.BICUBIC


def colour(rng: random.Random) -> Colour:
    """A usual ground for collages and frames, or any colour."""
    if rng.random() < 0.75:
        return rng.choice(_COLOURS)
    return (rng.randrange(256), rng.randrange(256), rng.randrange(256))


def grid(columns: int, rows: int) -> list[Box]:
    """Equal cells, row by row."""
    return [
        (x / columns, y / rows, 1 / columns, 1 / rows) for y in range(rows) for x in range(columns)
    ]


def _split(rng: random.Random) -> list[Box]:
    """Two to five cells: a cell is cut in two, anywhere, again and again; large ones first."""
    cells: list[Box] = [(0.0, 0.0, 1.0, 1.0)]
    for _ in range(rng.choice((1, 1, 2, 3, 4))):
        cells.sort(key=lambda cell: cell[2] * cell[3])
        left, top, width, height = cells.pop()
        at = rng.uniform(0.27, 0.73)
        if rng.random() < 0.5:
            cells += [(left, top, at * width, height)]
            cells += [(left + at * width, top, (1 - at) * width, height)]
        else:
            cells += [(left, top, width, at * height)]
            cells += [(left, top + at * height, width, (1 - at) * height)]
    return cells


def _beside(rng: random.Random) -> list[Box]:
    """A large cell and two or three small ones in a column beside it."""
    big, count = rng.uniform(0.48, 0.72), rng.choice((2, 2, 3))
    cuts = [0.0, *(k / count + rng.uniform(-0.08, 0.08) for k in range(1, count)), 1.0]
    small = pairwise(cuts)
    return [(0, 0, big, 1), *((big, top, 1 - big, end - top) for top, end in small)]


def _pinwheel(rng: random.Random) -> list[Box]:
    """Four cells around a fifth: no join runs the whole way."""
    a, b = rng.uniform(0.27, 0.42), rng.uniform(0.27, 0.42)
    return [
        (0, 0, 1 - a, b),
        (1 - a, 0, a, 1 - b),
        (a, 1 - b, 1 - a, b),
        (0, b, a, 1 - b),
        (a, b, 1 - 2 * a, 1 - 2 * b),
    ]


# The pairs twice: the fewer joins, the harder to see.
STRAIGHT: dict[str, Callable[[random.Random], list[Box]]] = {
    "2-up": lambda rng: grid(2, 1),
    "2-up again": lambda rng: grid(2, 1),
    "uneven pair": lambda rng: _cut(rng.uniform(0.27, 0.73)),
    "2x2": lambda rng: grid(2, 2),
    "3x3": lambda rng: grid(*rng.choice(((3, 3), (3, 2)))),
    "strips": lambda rng: grid(rng.choice((3, 4)), 1),
    "1+2": _beside,
    "uneven": _split,
    "pinwheel": _pinwheel,
}
LOOSE = ("scattered", "inset")
MOST = 9  # pictures that a layout can need


def _cut(at: float) -> list[Box]:
    return [(0, 0, at, 1), (at, 0, 1 - at, 1)]


def straight(pictures: list[Image.Image], long: int, rng: random.Random) -> Image.Image:
    """Cells side by side, turned and mirrored at will. ``long``: the longer side, in pixels."""
    cells = STRAIGHT[rng.choice(list(STRAIGHT))](rng)
    if rng.random() < 0.5:
        cells = [(top, left, height, width) for left, top, width, height in cells]
    if rng.random() < 0.5:
        cells = [(1 - left - width, top, width, height) for left, top, width, height in cells]
    if rng.random() < 0.5:
        cells = [(left, 1 - top - height, width, height) for left, top, width, height in cells]
    width, height = _canvas(pictures, cells, long, rng)
    gutter = 0 if rng.random() < 0.45 else max(1, round(rng.uniform(0.003, 0.03) * long))
    margin = rng.choice((0, gutter, gutter))
    sheet = Image.new("RGB", (width, height), colour(rng))
    inner = (width - 2 * margin + gutter, height - 2 * margin + gutter)
    chosen = _chosen(pictures, len(cells), rng)
    for (left, top, wide, high), picture in zip(cells, chosen, strict=True):
        x, y = margin + round(left * inner[0]), margin + round(top * inner[1])
        right = margin + round((left + wide) * inner[0]) - gutter
        bottom = margin + round((top + high) * inner[1]) - gutter
        sheet.paste(_fit(picture, (max(right - x, 2), max(bottom - y, 2)), rng), (x, y))
    return sheet


def _chosen(pictures: list[Image.Image], count: int, rng: random.Random) -> list[Image.Image]:
    """``count`` pictures, different ones as far as there are."""
    if count <= len(pictures):
        return rng.sample(pictures, count)
    return [*rng.sample(pictures, len(pictures)), *rng.choices(pictures, k=count - len(pictures))]


def _fit(picture: Image.Image, size: tuple[int, int], rng: random.Random) -> Image.Image:
    where = (rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8))
    return ImageOps.fit(picture, size, _SMOOTH, centering=where)


def _canvas(
    pictures: list[Image.Image], cells: list[Box], long: int, rng: random.Random
) -> tuple[int, int]:
    """Such that the cells have the shape of photos, or the shape of one of the pictures: the shape
    of the whole must tell nothing."""
    if rng.random() < 0.6:
        shapes = sorted(width / height for _, _, width, height in cells)
        aspect = rng.uniform(0.7, 1.5) / shapes[len(shapes) // 2]
    else:
        picture = rng.choice(pictures)
        aspect = picture.width / picture.height
    aspect = min(max(aspect, 0.38), 2.6)
    return (long, round(long / aspect)) if aspect > 1 else (round(long * aspect), long)


def captioned(pictures: list[Image.Image], long: int, rng: random.Random) -> Image.Image:
    """Before and after: a subject twice (or two), each with a word on it or in a bar."""
    first, second = _chosen(pictures, 2, rng)
    if rng.random() < 0.6:
        second = _later(first, rng)
    beside = rng.random() < 0.6
    shape = rng.uniform(0.75, 1.5)  # height over width of a cell
    wide = long / max(2, shape) if beside else long / max(1, 2 * shape)
    cell = (max(round(wide), 8), max(round(wide * shape), 8))
    bar = rng.choice((0, 1)) * round(rng.uniform(0.06, 0.15) * cell[1])
    gutter = rng.choice((0, 0, 1, 1)) * max(1, round(rng.uniform(0.004, 0.02) * long))
    paper, above = colour(rng), rng.random() < 0.5
    ink = (0, 0, 0) if sum(paper) > 380 else (255, 255, 255)
    high = cell[1] + bar
    whole = (2 * cell[0] + gutter, high) if beside else (cell[0], 2 * high + gutter)
    sheet = Image.new("RGB", whole, paper)
    for turn, (picture, word) in enumerate(zip((first, second), rng.choice(_WORDS), strict=True)):
        at = (turn * (cell[0] + gutter), 0) if beside else (0, turn * (high + gutter))
        sheet.paste(_fit(picture, cell, rng), (at[0], at[1] + (bar if above else 0)))
        line = bar or round(0.12 * cell[1])
        middle = at[1] + (line / 2 if above else high - line / 2)
        write(sheet, word, (at[0] + cell[0] / 2, middle), line, ink)
    return sheet


def write(image: Image.Image, word: str, at: tuple[float, float], high: float, ink: Colour) -> None:
    """A word centred at a place, in letters that fill a line ``high`` pixels high."""
    font = ImageFont.load_default(size=max(6, round(0.7 * high)))
    ImageDraw.Draw(image).text(at, word, ink, font, "mm")


def _later(picture: Image.Image, rng: random.Random) -> Image.Image:
    """The subject another day: cut closer, in other light, perhaps mirrored."""
    keep = rng.uniform(0.6, 0.95)
    width, height = round(keep * picture.width), round(keep * picture.height)
    left, top = rng.randint(0, picture.width - width), rng.randint(0, picture.height - height)
    image = picture.crop((left, top, left + width, top + height))
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.7, 1.35))
    image = ImageEnhance.Color(image).enhance(rng.uniform(0.5, 1.3))
    return ImageOps.mirror(image) if rng.random() < 0.3 else image


def scattered(pictures: list[Image.Image], long: int, rng: random.Random) -> Image.Image:
    """Two to eight turned prints on a ground; they may overlap and run over the edge."""
    size = (long, round(long * rng.uniform(0.65, 1)))
    size = size if rng.random() < 0.7 else (size[1], size[0])
    ground = _ground(rng.choice(pictures), size, rng)
    sheet = Image.new("RGB", size, (0, 0, 0))
    sheet.paste(ground)
    count = rng.randint(2, 8)
    columns = max(1, round((count * size[0] / size[1]) ** 0.5 + rng.uniform(-0.3, 0.3)))
    rows = -(-count // columns)
    places = [(x, y) for y in range(rows) for x in range(columns)]
    rng.shuffle(places)
    rim, shade = rng.choice((0.0, 0.03, 0.05, 0.05)), rng.random() < 0.5
    foot, most = rng.choice((1.0, 1.0, 3.0)), rng.choice((8, 15, 25, 30))
    side = rng.uniform(0.65, 1.1) * max(size[0] / columns, size[1] / rows)
    for picture, (x, y) in zip(_chosen(pictures, count, rng), places, strict=False):
        card = _card(picture, round(side * rng.uniform(0.85, 1.15)), rim, foot)
        card = card.rotate(rng.uniform(-most, most), _SMOOTH, expand=True)
        left = round((x + rng.uniform(0.3, 0.7)) * size[0] / columns - card.width / 2)
        top = round((y + rng.uniform(0.3, 0.7)) * size[1] / rows - card.height / 2)
        mask = card.getchannel("A")
        if shade:
            away, soft = max(1, round(0.006 * long)), ImageFilter.GaussianBlur(0.008 * long)
            dark = mask.filter(soft).point(lambda a: a // 2)
            sheet.paste((0, 0, 0), (left + away, top + away), dark)
        sheet.paste(card.convert("RGB"), (left, top), mask)
    return sheet


def _card(picture: Image.Image, side: int, rim: float, foot: float) -> Image.Image:
    """A print, RGBA: the picture within its rim, which may be wider at the foot."""
    picture = ImageOps.contain(picture, (max(side, 8), max(side, 8)), _SMOOTH)
    edge = round(rim * side)
    low = round(rim * foot * side)
    size = (picture.width + 2 * edge, picture.height + edge + low)
    card = Image.new("RGBA", size, (252, 252, 248))
    card.paste(picture, (edge, edge))
    return card


def _ground(picture: Image.Image, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """What prints lie on: one colour, a gradient, grain of a table, or a picture out of focus."""
    kind = rng.choice(("plain", "gradient", "grain", "picture"))
    if kind == "picture":
        soft = ImageFilter.GaussianBlur(rng.uniform(0.003, 0.015) * max(size))
        return _fit(picture, size, rng).filter(soft)
    a, b = colour(rng), (rng.randrange(256), rng.randrange(256), rng.randrange(256))
    if kind == "plain":
        return Image.new("RGB", size, rng.choice((a, b)))
    if kind == "gradient":
        shade = Image.linear_gradient("L").resize(size)
        return ImageOps.colorize(shade if rng.random() < 0.5 else ImageOps.mirror(shade), a, b)
    noise = np.random.default_rng(rng.randrange(1 << 32))
    lying = rng.random() < 0.5
    shape = (size[1], max(2, size[0] // 30)) if lying else (max(2, size[1] // 30), size[0])
    grain = np.clip(noise.normal(128, rng.uniform(15, 60), shape), 0, 255).astype(np.uint8)
    return ImageOps.colorize(Image.fromarray(grain).resize(size, _SMOOTH), a, b)


def inset(pictures: list[Image.Image], long: int, rng: random.Random) -> Image.Image:
    """One to three small pictures in or near the corners of a large one."""
    count = rng.choice((1, 1, 1, 2, 3))
    base, *small = _chosen(pictures, count + 1, rng)
    scale = long / max(base.size)
    size = (max(round(scale * base.width), 32), max(round(scale * base.height), 32))
    sheet = Image.new("RGB", size, (0, 0, 0))
    sheet.paste(base.resize(size, _SMOOTH))
    away = rng.choice((0.0, rng.uniform(0.01, 0.06)))
    corners = rng.sample([(0, 0), (0, 1), (1, 0), (1, 1)], count)
    for picture, (right, low) in zip(small, corners, strict=True):
        side = rng.uniform(0.2, 0.45) * min(size)
        part = _fit(picture, (round(side * rng.uniform(0.8, 1.6)), round(side)), rng)
        rim = rng.choice((0, 0, round(rng.uniform(0.004, 0.015) * long)))
        part = ImageOps.expand(part, rim, colour(rng))
        mask = _round_mask(part.size, rng) if rng.random() < 0.25 else None
        gap = round(away * min(size))
        x = size[0] - part.width - gap if right else gap
        y = size[1] - part.height - gap if low else gap
        sheet.paste(part, (x, y), mask)
    return sheet


def _round_mask(size: tuple[int, int], rng: random.Random) -> Image.Image:
    mask = Image.new("L", size, 0)
    box = (0, 0, size[0] - 1, size[1] - 1)
    if rng.random() < 0.6:
        ImageDraw.Draw(mask).ellipse(box, fill=255)
    else:
        ImageDraw.Draw(mask).rounded_rectangle(box, 0.2 * min(size), fill=255)
    return mask


def compose(pictures: list[Image.Image], long: int, rng: random.Random) -> tuple[Image.Image, bool]:
    """A collage of some of ``pictures`` (two at least), and whether it is a loose one: scattered
    prints or an inset, whose joins do not run across."""
    chance = rng.random()
    if chance < 0.5:
        return straight(pictures, long, rng), False
    if chance < 0.6:
        return captioned(pictures, long, rng), False
    make = scattered if chance < 0.8 else inset
    return make(pictures, long, rng), True
