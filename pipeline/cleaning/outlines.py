"""Upright rectangles inside a picture: the evidence of an inset (picture in picture).

The sides of a pasted picture are straight to the pixel, sharp over their whole length, and stop
where they meet; those of a door or a screen are seldom all of this. An inset in a corner of the
picture shows two sides, one at an edge three, any other four; most lie close to a corner, and
windows do not. The best rectangle of each of these four kinds gives six numbers.

All is measured on what ``seams`` has at hand: where a pixel differs from the next by more than is
usual around it (``hits``). A point (y, x) lies between the rows y and y + 1 and the columns x and
x + 1; the picture's own edges are at -1 and at its last row and column.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

COUNT = 24
# Of the numbers of one kind: what can only speak for an inset.
MONOTONE = (1, 1, 1, 0, 0, 0) * 4

_RUN = 32  # pixels a side goes on from its corner, at the least
_BLOCK = 8  # of a corner in a block of this many pixels only the best is kept
_KEPT = 16  # corners of each of the four kinds
_LEAST = 36  # pixels of a side
_MOST = 0.62  # of the picture's side: larger ones are cells or frames
_NEAR = 0.09  # of the picture's sides: how far from its corner an inset lies
_PAST = 16  # pixels beyond its corners over which a side must have stopped

_Points = tuple[np.ndarray, np.ndarray]


def rectangles(vertical: np.ndarray, level: np.ndarray) -> list[float]:
    """24 numbers: for the best rectangle with two sides inside the picture, with three, with four
    close to a corner and with four elsewhere, its score; of the shares of hits along its sides the
    weakest and the mean; the share of hits where its sides should have stopped; its shorter and
    its longer side. Zeros where there is none.

    Args:
        vertical: bool H x (W-1), whether pixel (y, x) differs much from (y, x + 1).
        level: bool (H-1) x W, whether it differs much from (y + 1, x).
    """
    down, right = _sums(vertical), _sums(level.T)
    corners = _corners(down, right)
    last = (len(vertical) - 1, len(level.T) - 1)
    boxes, kind = _boxes(corners, *last)
    numbers = _describe(boxes, down, right)
    values: list[float] = []
    for number in (2, 3, 4, 5):
        some = numbers[kind == number]
        best = some[some[:, 0].argmax()] if len(some) else np.zeros(6)
        values += [float(v) for v in best]
    return values


def _sums(hits: np.ndarray) -> np.ndarray:
    """(N+1) x M: the number of hits in the first n of N rows of each of M lines."""
    sums = np.zeros((len(hits) + 1, hits.shape[1]), np.int16)
    np.cumsum(hits, axis=0, out=sums[1:])
    return sums


def _runs(sums: np.ndarray) -> _Points:
    """Hits in the ``_RUN`` pixels before and behind each point of each line, (N-1) x M each."""
    inner = sums[1:-1]
    padded = np.pad(sums, ((_RUN, _RUN), (0, 0)), mode="edge")
    count = len(inner)
    before = (inner - padded[1 : 1 + count]).astype(np.int8)
    behind = (padded[2 * _RUN + 1 : 2 * _RUN + 1 + count] - inner).astype(np.int8)
    return before, behind


def _corners(down: np.ndarray, right: np.ndarray) -> dict[tuple[int, int], _Points]:
    """The likeliest corners of each kind: points (y, x) from which lines run the ways (dy, dx),
    and not the opposite ways."""
    above, below = _runs(down)
    before, behind = (np.ascontiguousarray(run.T) for run in _runs(right))
    along = {(-1, 0): above, (1, 0): below, (0, -1): before, (0, 1): behind}
    found = {}
    for dy in (-1, 1):
        for dx in (-1, 1):
            goes = np.minimum(along[dy, 0], along[0, dx])
            stops = np.maximum(along[-dy, 0], along[0, -dx])
            found[dy, dx] = _peaks(2 * goes - stops)
    return found


def _peaks(score: np.ndarray) -> _Points:
    """The best points of the best blocks."""
    high, wide = (n // _BLOCK for n in score.shape)
    cut = score[: high * _BLOCK, : wide * _BLOCK]
    blocks = cut.reshape(high, _BLOCK, -1).max(axis=1).reshape(high, wide, _BLOCK).max(axis=2)
    kept = min(_KEPT, blocks.size)
    y, x = np.divmod(np.argpartition(-blocks.ravel(), kept - 1)[:kept], wide)
    within = cut.reshape(high, _BLOCK, wide, _BLOCK)[y, :, x, :].reshape(kept, -1).argmax(axis=1)
    return y * _BLOCK + within // _BLOCK, x * _BLOCK + within % _BLOCK


def _boxes(
    corners: dict[tuple[int, int], _Points], bottom: int, right: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rectangles to look at, N x (top, bottom, left, right), and of each the number of sides that
    lie inside, 5 where it lies away from the corners too."""
    found = [*_open_boxes(corners, bottom, right)]
    # Two corners across say where the other two are.
    (y, x), (other_y, other_x) = corners[1, 1], corners[-1, -1]
    found.append((4, _box(y[:, None], other_y, x[:, None], other_x)))
    (y, x), (other_y, other_x) = corners[1, -1], corners[-1, 1]
    found.append((4, _box(y[:, None], other_y, other_x, x[:, None])))
    boxes = np.concatenate([box for _, box in found])
    kinds = np.repeat([sides for sides, _ in found], [len(box) for _, box in found])
    tall, wide = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    good = (np.minimum(tall, wide) >= _LEAST) & (tall <= _MOST * bottom) & (wide <= _MOST * right)
    boxes, kinds = boxes[good], kinds[good]
    aside = np.minimum(boxes + 1, (bottom, bottom, right, right) - boxes)
    away = (aside[:, :2].min(axis=1) > _NEAR * bottom) | (aside[:, 2:].min(axis=1) > _NEAR * right)
    return boxes, np.where((kinds == 4) & away, 5, kinds)


def _open_boxes(
    corners: dict[tuple[int, int], _Points], bottom: int, right: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Rectangles of two or three sides: their number, and boxes as above."""
    for (dy, dx), (y, x) in corners.items():
        rows = (y, bottom) if dy > 0 else (-1, y)
        columns = (x, right) if dx > 0 else (-1, x)
        yield 2, _box(*rows, *columns)
    # Two corners beside each other, the side between them exactly level or upright.
    for way in (-1, 1):
        (y, x), (other_y, other_x) = corners[way, 1], corners[way, -1]
        one, two = np.nonzero(np.abs(y[:, None] - other_y) <= 1)
        rows = (y[one], bottom) if way > 0 else (-1, y[one])
        yield 3, _box(*rows, x[one], other_x[two])
        (y, x), (other_y, other_x) = corners[1, way], corners[-1, way]
        one, two = np.nonzero(np.abs(x[:, None] - other_x) <= 1)
        columns = (x[one], right) if way > 0 else (-1, x[one])
        yield 3, _box(y[one], other_y[two], *columns)


def _box(*sides: np.ndarray | int) -> np.ndarray:
    return np.stack(np.broadcast_arrays(*sides), axis=-1).reshape(-1, 4)


def _describe(boxes: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Six numbers about each rectangle, see ``rectangles``."""
    top, low, left, end = boxes.T
    bottom, last = len(down) - 2, len(right) - 2
    found = [
        _side(down, left, top, low),
        _side(down, end, top, low),
        _side(right, top, left, end),
        _side(right, low, left, end),
    ]
    inner = np.array([left >= 0, end < last, top >= 0, low < bottom])
    share, past = (np.array(part) for part in zip(*found, strict=True))
    count = np.maximum(inner.sum(axis=0), 1)
    weak = np.where(inner, share, 1).min(axis=0)
    mean = (share * inner).sum(axis=0) / count
    excess = (past * inner).sum(axis=0) / count
    tall, wide = (low - top) / len(down), (end - left) / len(right)
    score = weak + 0.5 * mean - 0.4 * excess
    return np.stack([score, weak, mean, excess, np.minimum(tall, wide), np.maximum(tall, wide)], 1)


def _side(sums: np.ndarray, at: np.ndarray, start: np.ndarray, stop: np.ndarray) -> _Points:
    """The share of hits along the line ``at`` (or the next one) from start to stop, and the
    greater one past its two ends."""
    near = np.clip(at[:, None] + np.array([-1, 0, 1]), 0, sums.shape[1] - 1)
    hits = sums[stop[:, None] + 1, near] - sums[start[:, None] + 1, near]
    best = hits.argmax(axis=1)
    line = near[np.arange(len(at)), best]
    share = hits.max(axis=1) / np.maximum(stop - start, 1)
    before, behind = np.maximum(start - _PAST, -1), np.minimum(stop + _PAST, len(sums) - 2)
    ahead = (sums[start + 1, line] - sums[before + 1, line]) / np.maximum(start - before, 4)
    after = (sums[behind + 1, line] - sums[stop + 1, line]) / np.maximum(behind - stop, 4)
    return share, np.maximum(ahead, after)
