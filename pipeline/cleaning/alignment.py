"""How alike two pictures are once one is shifted and stretched to fit the other.

A hash finds a crop only roughly: the window tried lies up to a few per cent beside the true one,
and then even the same photo correlates little. So the window is refined by Gauss-Newton steps
(Lucas and Kanade 1981): to first order, moving or stretching the window changes each pixel by the
slope of brightness there, so the best small move is a least-squares fit. Brightness and contrast
are fitted along, as in "Parametric image alignment using enhanced correlation coefficient
maximization" (Evangelidis and Psarakis 2008). All pairs of a batch take their steps together.
"""

from __future__ import annotations

import numpy as np

from pipeline.cleaning import hashing

_ROUNDS = 7
_BATCH = 256
_PAIRS = 65_536  # thumbnails gathered at once: 64 MB a side
# A pair that correlates less after these rounds is given up. Of 1,085 crops of photos that were
# made to fit (0.93), by 3 to 15 %, the worst had reached 0.69, 0.84 and 0.92 by then.
_HOPELESS = {1: 0.55, 2: 0.7, 3: 0.85}
_STEP = 0.04  # longest move at once, as a share of the picture
_RIDGE = 1e-5
_TINY = 1e-9 * np.eye(5)  # for a picture of one colour, which no fit can use
# Brings brightness and its slopes (grey levels across the whole picture) to about one size.
_SCALES = np.array([1.0, 20.0, 20.0, 10.0, 10.0])
_LEAST_SIDE = 0.8  # a window that shrinks further fits anything


def correlate(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Normalised correlation of M pairs of thumbnails (M x 32 x 32), in [-1, 1]."""
    result = np.empty(len(a))
    for start in range(0, len(a), 4096):  # float copies of uint8 pictures: keep them small
        x = a[start : start + 4096].reshape(-1, hashing.SIDE**2).astype(np.float32)
        y = b[start : start + 4096].reshape(-1, hashing.SIDE**2).astype(np.float32)
        x -= x.mean(axis=1, keepdims=True)
        y -= y.mean(axis=1, keepdims=True)
        norm = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1)) + 1e-6
        result[start : start + 4096] = (x * y).sum(axis=1) / norm
    return result


def correlate_at(a: np.ndarray, i: np.ndarray, b: np.ndarray, j: np.ndarray) -> np.ndarray:
    """``correlate`` of ``a[i]`` and ``b[j]``, some at a time: M may be large."""
    result = np.empty(len(i))
    for start in range(0, len(i), _PAIRS):
        some = slice(start, start + _PAIRS)
        result[some] = correlate(a[i[some]], b[j[some]])
    return result


def aligned(
    middles: np.ndarray,
    which: np.ndarray,
    boxes: np.ndarray,
    thumbs: np.ndarray,
    sought: np.ndarray,
    mirrored: np.ndarray,
) -> np.ndarray:
    """The best correlation of each of M pairs, in [-1, 1]; so far, where one is given up.

    Args:
        middles: N x 64 x 64 pictures.
        which: for each pair the one of them that is looked into.
        boxes: M x 4, where to begin: left, top, width, height as shares of that picture.
        thumbs: K x 32 x 32 pictures.
        sought: for each pair the one of those that is looked for.
        mirrored: M, whether it is looked for mirrored.
    """
    best = np.empty(len(which))
    for start in range(0, len(which), _BATCH):
        # Gathered for a batch only: unlike pairs are many more than pictures.
        some = slice(start, start + _BATCH)
        turned = mirrored[some]
        seen = thumbs[sought[some]].astype(np.float32)
        seen[turned] = seen[turned][:, :, ::-1]
        middle = middles[which[some]].astype(np.float32)
        best[some] = _align(middle, boxes[some].astype(np.float64), seen)
    return best


def _align(middles: np.ndarray, boxes: np.ndarray, thumbs: np.ndarray) -> np.ndarray:
    best = np.full(len(boxes), -1.0)
    left = np.arange(len(boxes))
    for turn in range(_ROUNDS):
        across = hashing.weights(boxes[:, 0], boxes[:, 2])
        down = hashing.weights(boxes[:, 1], boxes[:, 3])
        views = down @ middles @ across.transpose(0, 2, 1)
        best[left] = np.maximum(best[left], correlate(views, thumbs))
        hope = best[left] >= _HOPELESS.get(turn, -1)
        if turn == _ROUNDS - 1 or not hope.any():
            break
        left, boxes, middles = left[hope], boxes[hope], middles[hope]
        views, thumbs = views[hope], thumbs[hope]
        boxes = _inside(boxes + _move(views, thumbs, boxes))
    return best


def _move(views: np.ndarray, thumbs: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Changes of left, top, width and height (M x 4) after which the views fit better."""
    side = hashing.SIDE
    slope_down, slope_across = np.gradient(views, axis=(1, 2))
    across = slope_across * (side / boxes[:, 2, None, None])
    down = slope_down * (side / boxes[:, 3, None, None])
    at = (np.arange(side) + 0.5) / side
    columns = [views, across, down, across * at, down * at[:, None]]
    system = np.stack([c.reshape(len(views), -1) for c in columns], axis=1).astype(np.float64)
    system -= system.mean(axis=2, keepdims=True)
    system /= _SCALES[:, None]
    normal = system @ system.transpose(0, 2, 1)
    # A little ridge: where a picture has no slope to hold on to, do not move.
    normal += np.eye(len(columns)) * (_RIDGE * np.trace(normal, axis1=1, axis2=2)[:, None, None])
    wanted = thumbs.reshape(len(views), -1, 1).astype(np.float64)
    fit = np.linalg.solve(normal + _TINY, system @ (wanted - wanted.mean(axis=1, keepdims=True)))
    fit = fit[:, :, 0] / _SCALES
    contrast = np.where(fit[:, 0] > 1e-3, fit[:, 0], np.inf)
    return np.clip(fit[:, 1:] / contrast[:, None], -_STEP, _STEP)


def _inside(boxes: np.ndarray) -> np.ndarray:
    size = np.clip(boxes[:, 2:], _LEAST_SIDE, 1)
    return np.concatenate([np.clip(boxes[:, :2], 0, 1 - size), size], axis=1)
