"""Steps from pixel to pixel in a squashed picture: what all evidence of joins is made of.

Planes are uint8, 3 x H x W: reducing over a last axis of three is many times slower.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

BANDS = 12  # of rows, in which a join is looked for
_FRAME = 10.0


def planes(squashed: Image.Image) -> np.ndarray:
    """uint8, 3 x H x W: reducing over a last axis of three is many times slower."""
    return np.ascontiguousarray(np.asarray(squashed).transpose(2, 0, 1))


def deviation(pixels: np.ndarray) -> np.ndarray:
    """How far each column is from one colour: mean over its pixels of the largest channel's
    distance from the column's median. Every fourth row is enough to tell."""
    some = np.ascontiguousarray(pixels[:, ::4])
    middle = _median(some)
    away = largest(np.maximum(some, middle) - np.minimum(some, middle))
    return away.sum(axis=0, dtype=np.uint32) / len(away)


def _median(values: np.ndarray) -> np.ndarray:
    """The upper median of each column (3 x 1 x W) of uint8 values (3 x H x W, H < 256).

    Bit by bit: the largest number that at most half of the values are below. Eight comparisons of
    bytes are quicker than putting columns in order.
    """
    half = values.shape[1] // 2
    middle = np.zeros_like(values[:, :1])
    for bit in (128, 64, 32, 16, 8, 4, 2, 1):
        tried = middle | np.uint8(bit)
        below = (values < tried).view(np.uint8).sum(axis=1, dtype=np.uint8, keepdims=True)
        middle = np.where(below <= half, tried, middle)
    return middle


def largest(planes: np.ndarray) -> np.ndarray:
    return np.maximum(np.maximum(planes[0], planes[1]), planes[2])


def frame(deviation: np.ndarray) -> tuple[int, int]:
    """Columns to trim at either end: a run of uniform ones, at most 30 % of the picture."""
    busy = np.flatnonzero(deviation >= _FRAME)
    most = int(0.3 * len(deviation))
    if not len(busy):
        return most, most
    return min(int(busy[0]), most), min(int(len(deviation) - 1 - busy[-1]), most)


def frame_of(pixels: np.ndarray) -> tuple[int, int]:
    """``frame`` of planes; most have none, which the first and the last column tell."""
    if (deviation(pixels[:, :, [0, -1]]) >= _FRAME).all():
        return 0, 0
    return frame(deviation(pixels))


def _band_edges(rows: int) -> np.ndarray:
    return np.linspace(0, rows, BANDS + 1).round().astype(np.int64)


@cache
def _band_means(rows: int) -> np.ndarray:
    """12 x rows: the matrix whose product with a picture is the mean of each band of its rows."""
    edges = _band_edges(rows)
    band = np.searchsorted(edges, np.arange(rows), side="right") - 1
    means = np.zeros((BANDS, rows), np.float32)
    means[band, np.arange(rows)] = 1 / np.diff(edges)[band]
    return means


def steps(pixels: np.ndarray) -> np.ndarray:
    """The largest channel's difference between each pixel and the next in its row, H x (W-1)."""
    # All rows as one: three times as fast, and what it finds across their ends is cut off.
    flat = pixels.ravel()
    steps = np.zeros_like(flat)
    np.maximum(flat[1:], flat[:-1], out=steps[:-1])
    steps[:-1] -= np.minimum(flat[1:], flat[:-1])
    return largest(steps.reshape(pixels.shape))[:, :-1]


def _surroundings(step: np.ndarray) -> np.ndarray:
    """The larger of the summed steps 3 to 9 columns to the left and to the right of each pixel."""
    height, width = step.shape
    padded = np.empty((height, width + 18), np.uint16)
    padded[:, 9:-9] = step
    padded[:, :9] = step[:, 9:0:-1]
    padded[:, -9:] = step[:, -2:-11:-1]
    one = padded.ravel()
    two = one[:-1] + one[1:]
    four = two[:-2] + two[2:]
    seven = np.zeros_like(one)
    np.add(four[:-3], two[4:-1], out=seven[:-6])
    seven[:-6] += one[6:]
    np.maximum(seven[:-12], seven[12:], out=seven[:-12])
    return seven.reshape(padded.shape)[:, :width]


def hits(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of H x W steps: the larger of each and the next in its row, as resampling and JPEG spread a
    join over two pixels, and whether that stands out from what is usual around it."""
    wide = step.copy()
    np.maximum(wide[:, :-1], step[:, 1:], out=wide[:, :-1])
    # wide > 1.6 * (mean of seven) + 3, in whole numbers.
    return wide, np.multiply(wide, 35, dtype=np.uint16) > 8 * _surroundings(step) + 105


def banded(rows: np.ndarray) -> np.ndarray:
    """12 x W: the mean of each band of rows. A product with a matrix of means is many times faster
    than means of slices."""
    return np.asarray(_band_means(len(rows)) @ rows.astype(np.float32))


def shares(bands: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the bands of ``rows`` rows of hits, by column: the score of a line there (half the share
    of rows, half the second weakest band), the share, and the weakest band."""
    share = (np.diff(_band_edges(rows)) / rows).astype(np.float32) @ bands
    ordered = np.sort(bands, axis=0)
    return 0.5 * share + 0.5 * ordered[1], share, ordered[0]
