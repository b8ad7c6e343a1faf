"""Straight edge segments at any angle: the evidence of prints thrown on a ground.

Edge pixels whose neighbours have an edge of the same direction are one segment (as in LSD, Grompone
von Gioi et al. 2010), pieces on one line are joined. A turned print shows four long ones that meet
at right angles, and often a rim: a second line beside each. Photos have long straight edges too,
but few that are neither upright nor level, and hardly any in such order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

COUNT = 24
ANGLE, CLOSED = 6, 12  # places of the first right angle among turned lines, of the first closed one
# Long turned lines, right angles and rims may only speak for prints.
MONOTONE = (1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0)

_LONG = 256  # pixels of the longer side
_FAINT = 14  # grey levels over two pixels
_MOST = 5000  # edge pixels; the strongest of more
_TURN = 0.26  # sine of the angle between edges that belong together
_SHORT, _THICK = 11, 0.8  # pixels: of a segment, and its deviation from a line
_LINES = 72  # the longest
_TILT = 2.0  # degrees from which a line counts as turned


@dataclass(frozen=True)
class Segments:
    """N segments: ``middle`` N x 2 (x, y) and ``length`` in pixels, ``angle`` in radians (equal
    modulo pi), ``thickness`` (deviation from a line, pixels), ``strength`` (grey levels)."""

    middle: np.ndarray
    angle: np.ndarray
    length: np.ndarray
    thickness: np.ndarray
    strength: np.ndarray

    def __len__(self) -> int:
        return len(self.length)

    def take(self, chosen: np.ndarray) -> Segments:
        """Those of some of the segments."""
        parts = (self.middle, self.angle, self.length, self.thickness, self.strength)
        return Segments(*(part[chosen] for part in parts))

    def ends(self) -> np.ndarray:
        """N x 2 x 2: the two ends of each, (x, y)."""
        way = np.stack([np.cos(self.angle), np.sin(self.angle)], axis=1)
        half = way * (self.length / 2)[:, None]
        return np.stack([self.middle - half, self.middle + half], axis=1)


_NONE = Segments(np.zeros((0, 2)), *(np.zeros(0) for _ in range(4)))


def prints(grey: Image.Image, size: tuple[int, int]) -> list[float]:
    """24 numbers about the straight edges of a picture of ``size``, squashed in ``grey``; lengths
    as shares of its shorter side. See ``_numbers``. Zeros where there are none."""
    scale = _LONG / max(size)
    shape = (max(round(size[0] * scale), 48), max(round(size[1] * scale), 48))
    small = np.asarray(grey.resize(shape, Image.Resampling.BILINEAR)).astype(np.float32)
    found = join(segments(small))
    return _numbers(found, min(shape)) if len(found) > 1 else [0.0] * COUNT


def segments(grey: np.ndarray) -> Segments:
    """The straight edges of a grey picture (float32 H x W), the longest first."""
    width = grey.shape[1]
    at, strength, normal = _edges(grey)
    if len(at) < _SHORT:
        return _NONE
    part = _grown(at, normal, grey.shape)
    size = np.bincount(part)
    y, x = np.divmod(at, width)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.bincount(part, values) / size)

    mid_x, mid_y = mean(x), mean(y)
    xx, yy, xy = mean(x * x) - mid_x**2, mean(y * y) - mid_y**2, mean(x * y) - mid_x * mid_y
    root = np.sqrt((xx - yy) ** 2 / 4 + xy * xy)
    length = np.sqrt(12 * np.maximum((xx + yy) / 2 + root, 0)) + 1
    thickness = np.sqrt(np.maximum((xx + yy) / 2 - root, 0))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    found = Segments(np.stack([mid_x, mid_y], 1), angle, length, thickness, mean(strength))
    straight = (length > _SHORT) & (thickness < _THICK) & (size > 0.6 * length)
    kept = np.flatnonzero(straight)
    return found.take(kept[np.argsort(-length[kept], kind="stable")][:_LINES])


def _edges(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Edge pixels, thinned: their places in the flattened picture, strength, unit normals."""
    across, down = np.zeros_like(grey), np.zeros_like(grey)
    # Sobel's: plain differences do not tell the direction of a slightly turned edge.
    step = grey[:, 2:] - grey[:, :-2]
    across[1:-1, 1:-1] = (step[:-2] + step[2:]) / 4 + step[1:-1] / 2
    step = grey[2:] - grey[:-2]
    down[1:-1, 1:-1] = (step[:, :-2] + step[:, 2:]) / 4 + step[:, 1:-1] / 2
    size = np.sqrt(across * across + down * down)
    strong = size > _FAINT
    strong[:2] = strong[-2:] = strong[:, :2] = strong[:, -2:] = False
    at, flat = np.flatnonzero(strong), size.ravel()
    strength = flat[at]
    normal_x, normal_y = across.ravel()[at] / strength, down.ravel()[at] / strength
    ahead = np.round(normal_y).astype(np.int64) * grey.shape[1] + np.round(normal_x).astype(
        np.int64
    )
    kept = (strength >= flat[at + ahead]) & (strength > flat[at - ahead])
    if kept.sum() > _MOST:
        kept &= strength >= np.partition(strength[kept], -_MOST)[-_MOST]
    return at[kept], strength[kept], (normal_x[kept], normal_y[kept])


def _grown(
    at: np.ndarray, normal: tuple[np.ndarray, np.ndarray], shape: tuple[int, ...]
) -> np.ndarray:
    """The number of the segment of each edge pixel: within two pixels along the edge, alike in
    direction."""
    count, (x, y) = len(at), normal
    number = np.full(shape[0] * shape[1] + 2 * shape[1] + 3, -1, np.int32)
    number[at] = np.arange(count)
    pairs = []
    for dy, dx in ((0, 1), (0, 2), *((dy, dx) for dy in (1, 2) for dx in (-2, -1, 0, 1, 2))):
        other = number[at + dy * shape[1] + dx]
        one = np.flatnonzero((other >= 0) & (np.abs(dx * x + dy * y) < 1.05))
        two = other[one]
        alike = np.abs(x[one] * y[two] - y[one] * x[two]) < _TURN
        pairs.append(np.stack([one[alike], two[alike]]))
    one, two = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(len(one), bool), (one, two)), (count, count))
    return np.asarray(connected_components(graph, directed=False)[1])


def _apart(found: Segments) -> tuple[np.ndarray, np.ndarray]:
    """N x N: how far the middle of one lies off the line of another, and how far along it."""
    dx, dy = (found.middle[None, :, k] - found.middle[:, None, k] for k in (0, 1))
    cos, sin = np.cos(found.angle)[:, None], np.sin(found.angle)[:, None]
    return np.abs(dy * cos - dx * sin), np.abs(dx * cos + dy * sin)


def join(found: Segments) -> Segments:
    """Pieces of one line as one segment, from the first end to the last."""
    if len(found) < 2:
        return found
    off, along = _apart(found)
    both = found.length[None] + found.length[:, None]
    turn = np.abs(np.sin(found.angle[None] - found.angle[:, None]))
    near = (np.maximum(off, off.T) < 1.5) & (turn < 0.06) & (along < 0.9 * both)
    part = connected_components(near, directed=False)[1]
    ends, whole = found.ends(), []
    for k in np.flatnonzero(np.bincount(part) > 1):
        some = np.flatnonzero(part == k)
        lead = some[found.length[some].argmax()]
        points = ends[some].reshape(-1, 2)
        way = np.array([np.cos(found.angle[lead]), np.sin(found.angle[lead])])
        place = points @ way
        first, last = points[place.argmin()], points[place.argmax()]
        span = last - first
        strength = np.average(found.strength[some], weights=found.length[some])
        line = (np.arctan2(span[1], span[0]), np.hypot(*span), found.thickness[some].max())
        whole.append((*(first + last) / 2, *line, strength))
    if not whole:
        return found
    alone = found.take(np.bincount(part)[part] == 1)
    x, y, *rest = np.array(whole).T
    joined = Segments(np.stack([x, y], axis=1), *rest)
    return Segments(
        *(
            np.concatenate([getattr(some, name) for some in (alone, joined)])
            for name in ("middle", "angle", "length", "thickness", "strength")
        )
    )


def _tops(values: np.ndarray, *places: int) -> list[float]:
    """The largest, say, and the third largest of some values, 0 where there are fewer."""
    ordered = np.sort(values)[::-1]
    return [float(ordered[k - 1]) if k <= len(ordered) else 0.0 for k in places]


def _numbers(found: Segments, side: int) -> list[float]:
    """24 numbers. Turned lines: the first, fourth and eighth longest, sums of lengths and their
    squares, how many over a fifth. Right angles (by their shorter line): first, third and sum,
    among turned lines; the same where one is upright or level. Lines with a right angle at both
    ends: first and fourth, first upright one. Rims (lines close beside each other, by the length
    they share): first and sum of turned ones, sum of others. The most in any one direction and
    across it; upright and level ones; how many lines, their strength, tilt and thickness."""
    angle, length = found.angle, found.length / side
    tilt = np.abs((np.degrees(angle) + 45) % 90 - 45)
    turned = tilt > _TILT
    difference = angle[None] - angle[:, None]
    square = np.abs(np.cos(difference)) < 0.07
    ends, shorter = found.ends(), np.minimum(length[:, None], length[None])
    gap = np.sqrt(((ends[:, None, :, None] - ends[None, :, None, :]) ** 2).sum(axis=-1))
    meet = gap < np.minimum(9, 4 + 0.15 * side * shorter)[..., None, None]
    at_end = meet.any(axis=3) & square[..., None]  # N x N x (which end of the first)
    upper = np.triu(np.ones_like(square), 1)
    corner, both = at_end.any(axis=2) & upper, turned[:, None] & turned[None]
    closed = np.minimum((shorter[..., None] * at_end).max(axis=1).min(axis=1), length)
    off, along = _apart(found)
    shared = np.minimum((length[None] + length[:, None]) / 2 - along / side, shorter)
    rim = (np.abs(np.sin(difference)) < 0.04) & (off > 2) & (off < 0.08 * side)
    rim &= (shared > 0.08) & upper
    family = (np.abs(np.sin(2 * difference)) < 0.07) & both
    free, angles, upright = length[turned], shorter[corner & both], shorter[corner & ~both]
    return [
        *_tops(free, 1, 4, 8),
        *(float(v) for v in (free.sum(), (free**2).sum(), (free > 0.2).sum())),
        *(*_tops(angles, 1, 3), float(angles.sum())),
        *(*_tops(upright, 1, 3), float(upright.sum())),
        *(*_tops(closed[turned], 1, 4), *_tops(closed[~turned], 1)),
        *(*_tops(shared[rim & both], 1), float(shared[rim & both].sum())),
        float(shared[rim & ~both].sum()),
        float((family * length[None]).sum(axis=1).max()),
        float(length[~turned].sum()),
        float(len(found)),
        float((found.strength * length).sum() / length.sum()),
        float(np.median(tilt)),
        float(found.thickness.mean()),
    ]
