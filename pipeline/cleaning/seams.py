"""Evidence of joins in a picture: 184 numbers, and where the straight ones lie.

A collage is several pictures glued along straight lines. Along such a line nearly every row shows a
step, and the step stands out from the texture on both sides; a wall or a horizon does so over part
of the line only. All is measured on the picture squashed to 384 x 384 (squashing keeps straight
lines straight), after a uniform frame was trimmed.

The numbers, for each axis (38): seven about the best line and seven about the second best (see
``_Context.line``), the flattest line, the share of flat lines, the number of strong lines; then
what ``cells`` says: six about partial joins, four about cuts beside the two best lines of the other
axis, three about even spacing, six about what goes on across the two best lines, and two more (the
third and fourth best line). After both axes the frame trimmed on either axis, the aspect ratio and
the contrast. The axis with the stronger line comes first.

Behind these, again for each axis: nine numbers about what goes on across each of the two best
lines and across the one whose steps rank highest, and the score of the latter (``cells.across``).
Then 24 about upright rectangles (``outlines``) and 24 about edges at any angle (``segments``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipeline.cleaning import cells, outlines, segments, steps
from pipeline.cleaning.glance import MIN_SIDE, NO_FRAME, Frame

SIDE = 384
AXIS = 38  # numbers about one axis
MORE = 3 * cells.LINE + 1  # further numbers about one axis
COUNT = 2 * AXIS + 4 + 2 * MORE + outlines.COUNT + segments.COUNT
WHOLE = (2 * AXIS + 2, 2 * AXIS + 3)  # places of the shape and the contrast of the whole picture

# What more of can only mean more of a collage (1), or less of one (-1).
_LINE = (1, 1, 1, 1, 1, 0, 0)  # of `_Context.line`: likeness and place may mean either
_TORN = (-1, 1, 0)
_AXIS = (*_LINE, *_LINE, 0, 0, 1, *[1] * 9, *_TORN, *_TORN, *[1] * 6)
_MORE = (*cells.LINE_MONOTONE * 3, 1)
MONOTONE = (*_AXIS, *_AXIS, *[0] * 4, *_MORE, *_MORE, *outlines.MONOTONE, *segments.MONOTONE)
assert len(_AXIS) == AXIS and len(MONOTONE) == COUNT

_FLAT = 8.0
_LEAST = 60  # pixels a side that must be left after trimming
_STRONG = 0.6


@dataclass(frozen=True)
class Seam:
    """A straight line across a picture. ``position`` in [0, 1] of the width (or height)."""

    vertical: bool
    position: float
    score: float


@dataclass(frozen=True)
class Evidence:
    """``features``: float32 of length ``COUNT``. ``seams``: strong lines first."""

    features: np.ndarray
    seams: list[Seam]

    @property
    def score(self) -> float:
        """The score of the best line, in [0, 1]."""
        return float(max(self.features[0], 0.0))


NONE = Evidence(np.zeros(COUNT, np.float32), [])


def cleared(score: float) -> Evidence:
    """Of a picture that a first look clears, which found the score of its best line."""
    features = np.zeros(COUNT, np.float32)
    features[0] = score
    return Evidence(features, [])


def evidence(image: Image.Image) -> tuple[Evidence, Frame]:
    """The seam evidence of an RGB picture of any size; none for a small one.

    Beside it the uniform frame around the picture: the shares of its width and height to trim at
    the left, top, right and bottom. (0, 0, 0, 0) where too little would be left.
    """
    shrinks = min(image.size) >= SIDE
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
    return _measured(image.resize((SIDE, SIDE), method), image.size)


def _measured(squashed: Image.Image, size: tuple[int, int]) -> tuple[Evidence, Frame]:
    """The evidence in a picture of ``size``, squashed to SIDE x SIDE."""
    pixels = steps.planes(squashed)
    turned = steps.planes(squashed.transpose(Image.Transpose.TRANSPOSE))
    deviations = steps.deviation(pixels), steps.deviation(turned)
    (left, right), (top, bottom) = map(steps.frame, deviations)
    if SIDE - left - right < _LEAST or SIDE - top - bottom < _LEAST:
        return NONE, NO_FRAME
    frame = (left / SIDE, top / SIDE, right / SIDE, bottom / SIDE)
    if min(size) < MIN_SIDE:
        return NONE, frame
    if any(frame):
        pixels = np.ascontiguousarray(pixels[:, top : SIDE - bottom, left : SIDE - right])
        turned = np.ascontiguousarray(turned[:, left : SIDE - right, top : SIDE - bottom])
        deviations = steps.deviation(pixels), steps.deviation(turned)
    across, down = _axis(pixels, turned, deviations[0]), _axis(turned, pixels, deviations[1])
    axes = [(across, down, left, right, True), (down, across, top, bottom, False)]
    seams = [
        Seam(vertical, (before + x + 1) / SIDE, score)
        for axis, _, before, _, vertical in axes
        for x, score in axis.lines
        if score > 0.5
    ]
    blocks = [
        (axis.values + axis.beside(other), (before + after) / SIDE, axis.more)
        for axis, other, before, after, _ in axes
    ]
    # The stronger axis first: a 2-up and a stack are then the same evidence.
    blocks.sort(key=lambda block: -block[0][0])
    rest = [blocks[0][1], blocks[1][1], size[0] / size[1], _contrast(pixels)]
    rest += blocks[0][2] + blocks[1][2]
    rest += outlines.rectangles(across.hit, down.hit.T)
    rest += segments.prints(squashed.convert("L"), size)
    features = np.array([*blocks[0][0], *blocks[1][0], *rest], np.float32)
    return Evidence(features, sorted(seams, key=lambda seam: -seam.score)), frame


def _contrast(pixels: np.ndarray) -> float:
    """The standard deviation of all values. Centred, sums over a row are exact in float32."""
    values = pixels.astype(np.float32) - np.float32(128)
    square = np.vecdot(values, values).sum(dtype=np.float64) / values.size
    mean = values.sum(axis=2).sum(dtype=np.float64) / values.size
    return float(np.sqrt(max(square - mean * mean, 0.0)))


@dataclass(frozen=True)
class _Axis:
    """Numbers about vertical lines, the two best of them as (column, score), the bands, and which
    pixels differ much from the next in their row (H x (W-1))."""

    values: list[float]
    more: list[float]
    lines: list[tuple[int, float]]
    bands: np.ndarray
    hit: np.ndarray

    def beside(self, other: _Axis) -> list[float]:
        """Four numbers: the best lines on either side of the two best ones of the other axis."""
        width = other.bands.shape[1] + 1
        return [v for x, _ in other.lines for v in cells.split(self.bands, (x + 1) / width)]


def _axis(pixels: np.ndarray, turned: np.ndarray, deviation: np.ndarray) -> _Axis:
    """The numbers about vertical lines in ``pixels`` (uint8, 3 x H x W), of which ``turned`` is the
    transposed picture."""
    step = steps.steps(pixels)
    wide, hit = steps.hits(step)
    bands = steps.banded(hit)
    score, share, weakest = steps.shares(bands, len(hit))
    context = _Context(turned, wide, float(step.mean()), score, share, weakest)

    width = len(score)
    central = np.zeros(width, bool)
    central[int(0.1 * width) : int(0.9 * width) + 1] = True
    values: list[float] = []
    lines = []
    for _ in range(4):
        x = int(np.argmax(np.where(central, score, -1)))
        lines.append((x, float(score[x])))
        central[max(0, x - 10) : x + 11] = False
    values += context.line(lines[0][0]) + context.line(lines[1][0])
    values += [
        float(deviation[int(0.1 * width) : int(0.9 * width) + 1].min()),
        float((deviation < _FLAT).mean()),
        float((score > _STRONG).sum()),
        *cells.partial(bands),
        *cells.spacing(score),
        *cells.torn(_grey(pixels), [x for x, _ in lines[:2]]),
        lines[2][1],
        lines[3][1],
    ]
    more = _more(pixels, wide, score, [x for x, _ in lines[:2]])
    return _Axis(values, more, lines[:2], bands, hit)


def _more(pixels: np.ndarray, wide: np.ndarray, score: np.ndarray, lines: list[int]) -> list[float]:
    """28 numbers: nine about each of two lines and the one of the highest ranks, its score."""
    some = wide[::2]  # every second row tells as much
    rank = steps.banded(cells.ranks(some))
    low, high = int(0.1 * len(score)), int(0.9 * len(score)) + 1
    best = low + int(cells.span_score(rank[:, low:high]).argmax())
    values = [v for x in (*lines, best) for v in cells.across(pixels, rank, x)]
    return [*values, float(score[best])]


def _grey(pixels: np.ndarray) -> np.ndarray:
    """The mean of the channels, float32."""
    total = np.add(pixels[0], pixels[1], dtype=np.uint16)
    total += pixels[2]
    return total / np.float32(3)


@dataclass
class _Context:
    """What describing one line needs: the picture transposed (3 x W x H), so that columns are added
    up row by row, H x (W-1) steps, and scores by column."""

    turned: np.ndarray
    wide: np.ndarray
    mean_step: float
    score: np.ndarray
    share: np.ndarray
    weakest: np.ndarray

    def __post_init__(self) -> None:
        # Every 24 columns the contrast of eight and eight with five between them.
        width, height = self.turned.shape[1:]
        places = len(range(12, width - 13, 24))
        parts = self.turned[:, 2 : 2 + 24 * places].astype(np.int16)
        parts = parts.reshape(3, places, 24, height)
        apart = np.abs(
            parts[:, :, :8].sum(axis=2, dtype=np.int16)
            - parts[:, :, 13:21].sum(axis=2, dtype=np.int16)
        )
        self._usual = float(np.median(apart.sum(axis=(0, 2), dtype=np.int64) / (8 * 3 * height)))

    def strip(self, low: int, high: int) -> np.ndarray:
        """The mean colour of columns low..high-1 in each row, 3 x H."""
        low, high = max(low, 0), min(high, self.turned.shape[1])
        low = min(low, high - 1)
        return self.turned[:, low:high].sum(axis=1, dtype=np.uint32) / float(high - low)

    def line(self, x: int) -> list[float]:
        """Seven numbers about column x: score, share of rows with a step, weakest of 12 bands,
        size of the step, contrast and likeness of the two sides, distance to a half or third."""
        left, right = self.strip(x - 14, x - 3), self.strip(x + 5, x + 16)
        contrast = float(np.abs(left - right).mean()) / (self._usual + 3)
        a, b = left.mean(axis=0), right.mean(axis=0)
        a, b = a - a.mean(), b - b.mean()
        likeness = float((a * b).mean() / (a.std() * b.std() + 1e-3))
        place = (x + 1) / self.turned.shape[1]
        return [
            float(self.score[x]),
            float(self.share[x]),
            float(self.weakest[x]),
            float(self.wide[:, x].mean()) / (self.mean_step + 3),
            contrast,
            likeness,
            min(abs(place - 1 / 2), abs(place - 1 / 3), abs(place - 2 / 3)),
        ]
