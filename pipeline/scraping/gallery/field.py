"""Soft shapes from distance fields: tapered capsules, smooth unions, rounded shading, paint.

A shape is the smooth union of capsules. Its signed distance (negative inside, in the subject's own
units) gives everything else at any resolution: an anti-aliased edge, the slope for shading, and,
with noise added, the outline of a shaggy coat.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter

FAR = np.float32(9.0)  # a distance beyond every shape
LIGHT = (-0.42, 0.66, 0.62)  # towards the light, seen from the viewer: left, above, in front


class Capsule(NamedTuple):
    """A round-ended bar from (ax, ay) with radius ra to (bx, by) with radius rb."""

    ax: float
    ay: float
    bx: float
    by: float
    ra: float
    rb: float


class Stroke(NamedTuple):
    """Paint on a shape: ``colour`` where ``where`` is, fading over ``soft`` units."""

    where: Capsule
    colour: np.ndarray  # float32 [3], 0..1
    soft: float = 0.05


def disc(x: float, y: float, radius: float) -> Capsule:
    """A capsule without length."""
    return Capsule(x, y, x, y, radius, radius)


@dataclass
class Canvas:
    """A transparent picture with the subject's own coordinates (x forward, y up).

    ``rgb`` (3, height, width) is premultiplied by ``alpha`` (height, width); both float32 in 0..1.
    """

    width: int
    height: int
    scale: float  # pixels a unit
    left: float  # pixel column of x = 0
    ground: float  # pixel row of y = 0
    facing: int  # 1 looks right, -1 looks left

    def __post_init__(self) -> None:
        columns = np.arange(self.width, dtype=np.float32) + np.float32(0.5 - self.left)
        rows = np.float32(self.ground - 0.5) - np.arange(self.height, dtype=np.float32)
        self.x = (columns * np.float32(self.facing / self.scale))[None, :]
        self.y = (rows * np.float32(1 / self.scale))[:, None]
        self.rgb = np.zeros((3, self.height, self.width), np.float32)
        self.alpha = np.zeros((self.height, self.width), np.float32)

    def window(self, part: Capsule, margin: float) -> tuple[slice, slice]:
        """Rows and columns that ``part`` and ``margin`` units around it may touch."""
        x0 = min(part.ax - part.ra, part.bx - part.rb) - margin
        x1 = max(part.ax + part.ra, part.bx + part.rb) + margin
        y0 = min(part.ay - part.ra, part.by - part.rb) - margin
        y1 = max(part.ay + part.ra, part.by + part.rb) + margin
        side = sorted(self.left + self.facing * self.scale * x for x in (x0, x1))
        return (
            _span(self.ground - self.scale * y1, self.ground - self.scale * y0, self.height),
            _span(side[0], side[1], self.width),
        )


def _span(low: float, high: float, limit: int) -> slice:
    start = min(max(int(low) - 1, 0), limit)
    return slice(start, min(max(int(high) + 2, start), limit))


def reach(part: Capsule, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed distance to ``part`` at the points of the grid x (1, w) by y (h, 1)."""
    dx, dy = part.bx - part.ax, part.by - part.ay
    px, py = x - np.float32(part.ax), y - np.float32(part.ay)
    length = dx * dx + dy * dy
    if length < 1e-9:
        return np.sqrt(px * px + py * py) - np.float32(part.ra)
    along = px * np.float32(dx / length) + py * np.float32(dy / length)
    np.clip(along, 0, 1, out=along)
    qx, qy = px - along * np.float32(dx), py - along * np.float32(dy)
    qx *= qx
    qy *= qy
    qx += qy
    np.sqrt(qx, out=qx)
    along *= np.float32(part.rb - part.ra)
    qx -= along
    qx -= np.float32(part.ra)
    return qx


@dataclass
class Shape:
    """A window of the canvas with its distances."""

    rows: slice
    columns: slice
    x: np.ndarray
    y: np.ndarray
    distance: np.ndarray


def union(canvas: Canvas, parts: list[Capsule], blend: float, margin: float = 0.0) -> Shape:
    """The smooth union of ``parts``; neighbours melt together over ``blend`` units.

    Polynomial smooth minimum: min(a, b) - max(k - |a - b|, 0)^2 / 4k.
    """
    windows = [canvas.window(part, blend + margin) for part in parts]
    rows = slice(min(w[0].start for w in windows), max(w[0].stop for w in windows))
    columns = slice(min(w[1].start for w in windows), max(w[1].stop for w in windows))
    x, y = canvas.x[:, columns], canvas.y[rows]
    distance = np.full((y.shape[0], x.shape[1]), FAR, np.float32)
    k = np.float32(blend)
    for part, (part_rows, part_columns) in zip(parts, windows, strict=True):
        near = distance[
            part_rows.start - rows.start : part_rows.stop - rows.start,
            part_columns.start - columns.start : part_columns.stop - columns.start,
        ]
        if not near.size:
            continue
        other = reach(part, canvas.x[:, part_columns], canvas.y[part_rows])
        bulge = np.abs(near - other)
        np.subtract(k, bulge, out=bulge)
        np.maximum(bulge, 0, out=bulge)
        bulge *= bulge
        bulge *= np.float32(0.25 / blend)
        np.minimum(near, other, out=near)
        near -= bulge
    return Shape(rows, columns, x, y, distance)


def roundness(shape: Shape, scale: float, radius: float, facing: int) -> np.ndarray:
    """How much light each point gets, about -0.4..1, as if the shape were inflated.

    The slope of a distance field jumps along the shape's spine; smoothing over a fraction of
    ``radius`` turns that ridge into a rounded back.
    """
    depth = np.clip(shape.distance * np.float32(-1 / radius), 0, 1)
    if min(depth.shape) < 2:
        return depth
    slope_y, slope_x = np.gradient(shape.distance)
    outward = 1 - depth
    # Columns run to the right whatever way the dog looks, and rows run down.
    light = slope_x * np.float32(LIGHT[0] * scale) - slope_y * np.float32(LIGHT[1] * scale)
    light *= outward
    outward *= outward
    light += np.sqrt(1 - outward) * np.float32(LIGHT[2])
    np.clip(light, -0.4, 1, out=light)
    return _smoothed(light, 0.22 * radius * scale)


def _smoothed(values: np.ndarray, width: float) -> np.ndarray:
    """``values`` blurred over about ``width`` pixels, by way of a coarse grid."""
    step = int(width / 2)
    height, length = values.shape
    if step >= 2 and min(height, length) > 2 * step:
        coarse = Image.fromarray(values).reduce(step)
        coarse = Image.fromarray(uniform_filter(np.asarray(coarse), 3, mode="nearest"))
        # `reduce` rounds the last cell up; the box undoes that stretch.
        box = (0, 0, length / step, height / step)
        return np.array(coarse.resize((length, height), Image.Resampling.BICUBIC, box))
    return uniform_filter(values, 2 * step + 1, mode="nearest") if width > 1 else values


GRAIN = 96  # samples of a noise tile per unit
TILE = 512  # samples along a tile, which repeats without a seam


@lru_cache(maxsize=8)
def _tile(kind: str) -> np.ndarray:
    """Periodic noise of one character in -1..1: white noise through a band-pass filter.

    The table holds wavelengths in units across and along the hair (equal ones give round
    blotches) and the angle the hair lies at, in radians.
    """
    across, along, tilt = {
        "blotch": (0.34, 0.34, 0.0),
        "fleck": (0.10, 0.10, 0.0),
        "smooth": (0.030, 0.10, 0.9),
        "wiry": (0.040, 0.11, 0.5),
        "fluffy": (0.045, 0.16, 0.7),
        "long": (0.050, 0.34, 0.22),
        "curly": (0.095, 0.115, 0.0),
    }[kind]
    rng = np.random.default_rng(abs(hash_of(kind)))
    white = np.fft.fft2(rng.standard_normal((TILE, TILE)))
    fy, fx = np.meshgrid(*(np.fft.fftfreq(TILE, 1 / GRAIN),) * 2, indexing="ij")
    turned_x = fx * np.cos(tilt) + fy * np.sin(tilt)
    turned_y = fy * np.cos(tilt) - fx * np.sin(tilt)
    # A ring (or ellipse) of frequencies: coarser and finer ones fall off on both sides.
    ring = np.sqrt((turned_x * across) ** 2 + (turned_y * along) ** 2)
    noise = np.fft.ifft2(white * np.exp(-((ring - 0.75) ** 2) / 0.18)).real
    noise = np.clip(noise / (2.2 * noise.std()), -1, 1)
    # Rounded to 8 bits, so that the last digit of a processor's FFT never shows.
    return (np.round(noise * 127) / 127).astype(np.float32)


def hash_of(text: str) -> int:
    """A number for ``text`` that is the same in every process (``hash`` is not)."""
    return zlib.crc32(text.encode())


def noise(x: np.ndarray, y: np.ndarray, kind: str, phase: float) -> np.ndarray:
    """Noise of ``kind`` on the grid x (1, w) by y (h, 1); ``phase`` picks the place."""
    columns = (x[0] * np.float32(GRAIN) + np.float32(phase * 71)).astype(np.int32) % TILE
    rows = (y[:, 0] * np.float32(GRAIN) + np.float32(phase * 37)).astype(np.int32) % TILE
    return _tile(kind)[rows][:, columns]


def paint(canvas: Canvas, shape: Shape, colour: np.ndarray, fuzz: float = 0.0) -> None:
    """Lay ``shape`` over the canvas. ``colour``: (3, h, w) of its window, or one colour (3,).

    The edge fades over a pixel, or over ``fuzz`` units where the coat is soft.
    """
    edge = canvas.scale / max(1.0, fuzz * canvas.scale)
    cover = np.clip(np.float32(0.5) - shape.distance * np.float32(edge), 0, 1)
    rgb = canvas.rgb[:, shape.rows, shape.columns]
    alpha = canvas.alpha[shape.rows, shape.columns]
    keep = 1 - cover
    rgb *= keep
    rgb += cover * (colour[:, None, None] if colour.ndim == 1 else colour)
    alpha *= keep
    alpha += cover


def lay(colours: np.ndarray, canvas: Canvas, shape: Shape, stroke: Stroke, wobble: float) -> None:
    """Brush ``stroke`` onto ``colours`` (3, h, w), with an edge as uneven as fur's."""
    part_rows, part_columns = canvas.window(stroke.where, stroke.soft + wobble)
    rows = _inside(part_rows, shape.rows)
    columns = _inside(part_columns, shape.columns)
    target = colours[:, rows, columns]
    if not target.size:
        return
    x, y = shape.x[:, columns], shape.y[rows]
    distance = reach(stroke.where, x, y)
    if wobble:
        distance += np.sin(x * np.float32(19) + y * np.float32(23)) * np.float32(wobble)
    cover = np.clip(np.float32(0.5) - distance * np.float32(1 / stroke.soft), 0, 1)
    target += cover * (stroke.colour[:, None, None] - target)


def _inside(part: slice, whole: slice) -> slice:
    start = max(part.start, whole.start) - whole.start
    return slice(start, max(min(part.stop, whole.stop) - whole.start, start))


def rgb(text: str) -> np.ndarray:
    """``#rrggbb`` as float32 [3] in 0..1."""
    return np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / np.float32(255)
