"""A first look at a picture: its frame, and whether it could be a collage at all.

Most pictures have nothing of what collages are found by, and a quick look tells: no line across
that many rows show, none that runs in from an edge on both axes, and no long edge that is neither
upright nor level. All evidence (``seams``) is then not worth its time. The limits were set on
composed collages that all evidence finds: they let pass more than 99 % of them, and a quarter of
single photos (``bench/results`` has the figures).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from pipeline.cleaning import cells, segments, steps

SIDE = 256  # of the squashed picture that is looked at
MIN_SIDE = 128  # below this a squashed picture is mostly interpolation: no evidence either way

_LEAST = 40  # pixels a side that must be left after trimming
_LINE = 0.45  # score of a line across the picture
_LONG, _SHORT = 0.85, 0.65  # of one from an edge to the middle; to a third, on both axes
_STEEP = 12.0  # grey levels over two pixels
_MOST = 4000  # edge pixels; the steepest of more
_ANGLES = 64  # of lines, a step of 2.8 degrees; two pixels between lines of one angle
_CHANCE = 10  # edge pixels on one line that say nothing
_TURNED = 112  # edge pixels on turned lines, beyond those, from which it is worth to look closer
_CLOSED, _ANGLE = 0.07, 0.29  # numbers of ``segments.prints``: a side of a turned print, a corner

Frame = tuple[float, float, float, float]
NO_FRAME: Frame = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Glance:
    """``frame``: the shares of the width and height to trim at the left, top, right and bottom, all
    0 where too little would be left. ``score``: of the best line across, in [0, 1]. ``suspect``:
    whether it may be a collage. ``squashed``: the picture, 256 x 256."""

    frame: Frame
    score: float
    suspect: bool
    squashed: Image.Image


def glance(image: Image.Image) -> Glance:
    """A first look at an RGB picture of any size."""
    enlarged = min(image.size) < SIDE
    method = Image.Resampling.BICUBIC if enlarged else Image.Resampling.BOX
    squashed = image.resize((SIDE, SIDE), method)
    upright = steps.planes(squashed)
    level = steps.planes(squashed.transpose(Image.Transpose.TRANSPOSE))
    left, right = steps.frame_of(upright)
    top, bottom = steps.frame_of(level)
    if SIDE - left - right < _LEAST or SIDE - top - bottom < _LEAST:
        return Glance(NO_FRAME, 0.0, False, squashed)
    frame = (left / SIDE, top / SIDE, right / SIDE, bottom / SIDE)
    if min(image.size) < MIN_SIDE:
        return Glance(frame, 0.0, False, squashed)
    if any(frame):
        upright = np.ascontiguousarray(upright[:, top : SIDE - bottom, left : SIDE - right])
        level = np.ascontiguousarray(level[:, left : SIDE - right, top : SIDE - bottom])
    bands = [steps.banded(steps.hits(steps.steps(some))[1]) for some in (upright, level)]
    rows = upright.shape[1], level.shape[1]
    score = max(_line(*axis) for axis in zip(bands, rows, strict=True))
    suspect = score >= _LINE or _runs_in(bands) or _prints(squashed, image.size)
    return Glance(frame, score, suspect, squashed)


def _line(bands: np.ndarray, rows: int) -> float:
    """The score of the best line across."""
    return float(cells.central(steps.shares(bands, rows)[0][None]).max())


def _runs_in(bands: list[np.ndarray]) -> bool:
    """Whether a line runs in from an edge: to the middle, or to a third on both axes."""
    inner = [cells.central(some) for some in bands]

    def best(some: np.ndarray, count: int) -> float:
        ends = some[:count], some[-count:]
        return max(float(cells.span_score(part).max()) for part in ends)

    if max(best(some, 6) for some in inner) >= _LONG:
        return True
    return min(best(some, 4) for some in inner) >= _SHORT


def _prints(squashed: Image.Image, size: tuple[int, int]) -> bool:
    """Whether there are sides and corners of turned prints."""
    grey = squashed.convert("L")
    if turned(np.asarray(grey, np.float32)) < _TURNED:
        return False
    found = segments.prints(grey, size)
    return found[segments.CLOSED] >= _CLOSED or found[segments.ANGLE] >= _ANGLE


def turned(grey: np.ndarray) -> int:
    """How many edge pixels of a grey picture (float32) lie on lines that are neither upright nor
    level, those left out that a line has by chance.

    Hough's transform, in which every edge pixel speaks for one line only, the one along its own
    edge (O'Gorman & Clowes 1976).
    """
    across = grey[:, 2:] - grey[:, :-2]
    across = across[:-2] + across[2:] + 2 * across[1:-1]
    down = grey[2:] - grey[:-2]
    down = down[:, :-2] + down[:, 2:] + 2 * down[:, 1:-1]
    steep = (across * across + down * down).ravel()
    at = np.flatnonzero(steep > (4 * _STEEP) ** 2)
    if len(at) > _MOST:
        some = steep[at]
        at = at[some >= np.partition(some, -_MOST)[-_MOST]]
    angle = np.arctan2(down.ravel()[at], across.ravel()[at])
    number = np.floor(angle * np.float32(_ANGLES / np.pi)).astype(np.int64) % _ANGLES
    y, x = np.divmod(at, across.shape[1])
    cos, sin = _waves()
    reach = sum(across.shape) // 4 + 1
    place = (x - across.shape[1] // 2) * cos[number] + (y - across.shape[0] // 2) * sin[number]
    line = (place * np.float32(0.5)).astype(np.int64) + reach
    count = np.bincount(number * (2 * reach) + line, minlength=_ANGLES * 2 * reach)
    count = count.reshape(_ANGLES, -1)
    # Upright and level lines lie in the two bins about 0 and a right angle.
    half = _ANGLES // 2
    some = np.concatenate([count[1 : half - 1], count[half + 1 : -1]])
    return int((some[some > _CHANCE] - _CHANCE).sum())


@cache
def _waves() -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of the angle of each bin."""
    angle = (np.arange(_ANGLES) + 0.5) * (np.pi / _ANGLES)
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
