"""Which of several copies of a photo stays.

In this order, each compared within a cluster with the best that it holds:

1. what a person wants kept;
2. twice the detail: how many pixels across the picture really shows. The spectrum tells: enlarging
   a picture adds pixels and no detail, so nothing is gained by it, and a blurred one counts less;
3. colour, where another copy has lost it;
4. a picture of its own before a cell cut out of a collage;
5. likeness to the typical copy (the median of the cluster, pixel by pixel): a watermark, a caption,
   a frame, a crop, a mirrored, brightened or clipped copy is unlike the others. It comes before the
   smaller differences in detail because letters across a soft picture look like detail;
6. no frame around it: of two copies neither is typical;
7. detail, more finely;
8. pixels that show something: of two with the same detail the enlarged one goes;
9. sharpness against contrast;
10. the format that loses least, the larger file, the first name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

# Formats that lose nothing first.
_FORMAT_RANK = {"png": 0, "bmp": 1, "webp": 2, "jpg": 3, "gif": 4}

# What counts as equal to the best of the cluster: so much of its detail (the spectrum says no more,
# and a copy that lost a few rows is not worth less), of its colour and sharpness; grey levels.
_TWICE, _DETAIL, _COLOUR, _SHARP, _TYPICAL = 0.5, 0.75, 0.3, 0.6, 1.0

REASONS = (
    "is wanted by a person",
    "shows twice the detail",
    "has its colours",
    "is no cell of a collage",
    "is more like the other copies",
    "has no frame",
    "shows more detail",
    "is not enlarged",
    "is sharper",
    "is of a better format",
    "is the larger file",
    "comes first by name",
)


@dataclass(frozen=True)
class Ranking:
    """``order``: indices, best first. ``keys``: for each picture what it was sorted by."""

    order: np.ndarray
    keys: list[tuple]

    def why(self, better: int, worse: int) -> str:
        """The first thing in which one picture beats another: one of ``REASONS``."""
        pairs = zip(self.keys[better], self.keys[worse], strict=True)
        return REASONS[next(k for k, (a, b) in enumerate(pairs) if a != b)]


def rank(
    measured: pd.DataFrame,
    thumbs: np.ndarray,
    cluster: np.ndarray,
    forced: list[bool],
    sizes: list[int],
    names: list[str],
    cells: list[bool] | None = None,
) -> Ranking:
    """Sort N pictures from the best to keep to the worst.

    Args:
        measured: their rows, as ``measure`` gives them.
        thumbs: N x 32 x 32, grey.
        cluster: a number for each, equal for those that links of likeness connect.
        forced: whether a person wants it kept.
        sizes: bytes of the files.
        cells: whether it was cut out of a collage; None: none was.
    """
    column = {name: measured[name].to_numpy(float) for name in ("detail", "colour", "sharpness")}
    area = measured["width"].to_numpy(float) * measured["height"].to_numpy(float)
    content = np.maximum(measured["content"].to_numpy(float), 1)
    framed = content < 0.999 * area
    odd = oddity(thumbs, cluster)
    groups = cluster, len(cluster)
    tiers = [
        _times_below(column["detail"], *groups, _TWICE),
        _times_below(column["colour"] + 2, *groups, _COLOUR) > 0,
        np.array(cells or [False] * len(odd)),
        np.floor((odd + _best(-odd, *groups)) / _TYPICAL),
        framed,
        _times_below(column["detail"], *groups, _DETAIL),
        _times_below(column["detail"] / np.sqrt(content), *groups, _DETAIL),
        _times_below(column["sharpness"] + 0.01, *groups, _SHARP),
    ]
    keys = [
        (not forced[k], *(int(tier[k]) for tier in tiers), _FORMAT_RANK.get(kind, 9), -sizes[k], n)
        for k, (kind, n) in enumerate(zip(measured["format"], names, strict=True))
    ]
    return Ranking(np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64), keys)


def oddity(thumbs: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """How far each picture is from the median of its cluster, in grey levels; 0 for one or two."""
    result = np.zeros(len(thumbs))
    order = np.argsort(cluster, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(cluster[order])) + 1):
        if len(members) > 2:  # two are equally far from their middle
            pixels = thumbs[members].astype(np.float64)
            result[members] = np.abs(pixels - np.median(pixels, axis=0)).mean(axis=(1, 2))
    return result


def _best(values: np.ndarray, cluster: np.ndarray, count: int) -> np.ndarray:
    top = np.full(count, -np.inf)
    np.maximum.at(top, cluster, values)
    return top[cluster]


def _times_below(values: np.ndarray, cluster: np.ndarray, count: int, equal: float) -> np.ndarray:
    """0 for what reaches ``equal`` times the best of its cluster, 1 for that of that, ..."""
    ratio = np.maximum(values / _best(values, cluster, count), 1e-9)
    return np.floor(np.log(ratio) / np.log(equal) + 1e-9)
