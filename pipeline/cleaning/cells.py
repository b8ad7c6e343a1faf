"""What lines say together: joins that end on another join, even spacing, sides that do not go on.

A line across the whole picture is the plainest join (``seams``). Uneven layouts have joins that run
over a part of the picture only, from an edge to another join (T junctions; in a pinwheel all are
so). Grids have joins at halves, thirds or quarters. And where pictures meet, what crosses the line
does not go on at the other side, also where light and colour happen to agree.

All is measured on what ``seams`` has at hand: ``bands``, float32 12 x W, the share of rows with a
step for each of twelve bands of rows and each column.
"""

from __future__ import annotations

import numpy as np

PARTS = (4, 6, 8)  # bands that a partial join covers, of twelve
_WINDOW = 0.03  # of the width: how far a join may lie from its place in a regular grid
_GRIDS = ((1 / 2,), (1 / 3, 2 / 3), (1 / 4, 1 / 2, 3 / 4))
_AWAY = 3  # pixels between the two columns that are compared across a line
_STRIP = 20  # pixels beside a line whose grain is compared
_BESIDE = (3, 5, 8, 12)  # columns to either side that a step is ranked among
_GRAIN = 16.0  # root mean square of steps down a column that count as something going on
LINE = 9  # numbers of `across` about one line
LINE_MONOTONE = (1, 1, 1, 1, 0, -1, -1, -1, -1)


def span_score(bands: np.ndarray) -> np.ndarray:
    """The score of a line over some bands (M x W): half their mean, half the second weakest (the
    weakest of three or fewer)."""
    weak = 1 if len(bands) > 3 else 0
    ordered = np.partition(bands, weak, axis=0)
    return np.asarray(0.5 * bands.mean(axis=0) + 0.5 * ordered[weak])


def partial(bands: np.ndarray) -> list[float]:
    """Six numbers: the best line from one edge over 4, 6 and 8 bands, and the best from the other
    edge, the better first."""
    inner = central(bands)
    values = []
    for count in PARTS:
        ends = [float(span_score(part).max()) for part in (inner[:count], inner[-count:])]
        values += sorted(ends, reverse=True)
    return values


def split(bands: np.ndarray, place: float) -> list[float]:
    """Two numbers: the best lines on either side of a join that runs across these ones at
    ``place`` in [0, 1], the better first: what a second cut of one side leaves."""
    at = min(max(round(place * len(bands)), 2), len(bands) - 2)
    inner = central(bands)
    return sorted(
        (float(span_score(part).max()) for part in (inner[:at], inner[at:])), reverse=True
    )


def central(bands: np.ndarray) -> np.ndarray:
    """The columns that joins are looked for in."""
    width = bands.shape[1]
    return bands[:, int(0.1 * width) : int(0.9 * width) + 1]


def spacing(score: np.ndarray) -> list[float]:
    """Three numbers: how well lines (their scores by column) fit two, three and four equal cells:
    the weakest of the joins that these need."""
    width = len(score)
    reach = max(1, round(_WINDOW * width))

    def near(place: float) -> float:
        at = round(place * width)
        return float(score[max(0, at - reach) : at + reach + 1].max())

    return [min(near(place) for place in grid) for grid in _GRIDS]


def torn(grey: np.ndarray, places: list[int]) -> list[float]:
    """For each column (a join lies right of it) three numbers: the likeness of what crosses it, in
    [-1, 1]; by how much it is less than usual in this picture; and how unlike the grain beside it
    is on the two sides. ``grey``: float32 H x W."""
    pair = grey[:, :-1] + grey[:, 1:]  # two columns each: less grain
    apart = _AWAY + 2
    last = pair.shape[1] - apart

    def likeness_at(columns: np.ndarray) -> np.ndarray:
        one, two = (np.diff(pair[:, columns + away], axis=0) for away in (0, apart))
        size = np.sqrt((one * one).sum(axis=0)) * np.sqrt((two * two).sum(axis=0))
        return np.asarray((one * two).sum(axis=0) / (size + 1e-3))

    usual = float(np.median(likeness_at(np.arange(0, last, 4))))
    values = []
    for x in places:
        middle = x - (apart - 1) // 2  # the left one of the two columns about the join
        some = likeness_at(np.arange(max(0, middle - 1), min(middle + 2, last)))
        likeness = float(some.min()) if len(some) else usual
        left = _grain(grey[:, max(0, x - _STRIP - 1) : max(1, x - 1)])
        right = _grain(grey[:, min(x + 3, grey.shape[1] - 1) : x + 3 + _STRIP])
        values += [likeness, usual - likeness, abs(float(np.log((left + 1) / (right + 1))))]
    return values


def _grain(grey: np.ndarray) -> float:
    return float(np.abs(np.diff(grey, axis=0)).mean())


def ranks(wide: np.ndarray) -> np.ndarray:
    """The share of the columns around each pixel whose step is smaller, ties counting half:
    float32 in [0, 1], H x W like the steps ``wide`` (uint8). One half is usual, also in plain
    areas, where a join leaves no step; how large a step is does not matter, so a faint join counts
    too."""
    far = _BESIDE[-1]
    padded = np.pad(wide, ((0, 0), (far, far)), mode="reflect")
    width = wide.shape[1]
    more = np.zeros(wide.shape, np.int8)
    for away in _BESIDE:
        for start in (far - away, far + away):
            other = padded[:, start : start + width]
            more += (wide > other).view(np.int8)
            more -= (wide < other).view(np.int8)
    return more / np.float32(4 * len(_BESIDE)) + np.float32(0.5)


def across(pixels: np.ndarray, rank: np.ndarray, x: int) -> list[float]:
    """Nine numbers about the line right of column x: its mean rank, that of its weakest, second
    and fourth weakest band, by how much it exceeds the columns beside it; and the likeness of what
    crosses it, in [-1, 1]: of the three bands where it goes on most (first, second, fourth) and on
    average. Something that goes on in a single place makes a wall of what looked like a join.

    Args:
        pixels: uint8 3 x H x W.
        rank: float32 12 x (W-1), the mean of ``ranks`` in bands of rows.
    """
    mean, ordered = rank.mean(axis=0), np.sort(rank[:, x])
    beside = np.concatenate([mean[max(0, x - 14) : max(0, x - 3)], mean[x + 4 : x + 15]])
    like = np.sort(goes_on(pixels, x, len(rank)))[::-1]
    return [
        float(mean[x]),
        *(float(ordered[k]) for k in (0, 1, 3)),
        float(mean[x] - beside.max()),
        *(float(like[k]) for k in (0, 1, 3)),
        float(like.mean()),
    ]


def goes_on(pixels: np.ndarray, x: int, bands: int) -> np.ndarray:
    """The likeness of the steps down the columns left and right of a line, in each band of rows.
    Near 0 also where there is hardly anything that could go on."""

    def down(left: int) -> np.ndarray:
        left = min(max(left, 0), pixels.shape[2] - 2)
        pair = pixels[:, :, left].astype(np.float32) + pixels[:, :, left + 1]  # less grain
        return np.diff(pair, axis=1)

    one, two = down(x - 2), down(x + 2)
    edges = np.linspace(0, one.shape[1], bands + 1).round().astype(np.int64)
    products = np.stack([(a * b).sum(axis=0) for a, b in ((one, two), (one, one), (two, two))])
    both, left, right = np.add.reduceat(products, edges[:-1], axis=1)
    floor = 3 * np.diff(edges) * _GRAIN**2
    return np.asarray(both / np.sqrt(left * right + floor**2))
