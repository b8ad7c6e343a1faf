"""What helps to choose the thresholds: the pairs of this set beside them, and what each costs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.cleaning import false_pairs, hashing, neighbours
from pipeline.cleaning.alignment import correlate_at
from pipeline.cleaning.decide import Cleaned
from pipeline.cleaning.duplicates import ALIGNED, FLAT
from pipeline.cleaning.measure import unpack_greys
from pipeline.cleaning.review_rows import NEAREST

_BEYOND = 2  # bits past the loose threshold that are looked at as well: what a looser one would add
_MANY = 100_000  # pictures beyond which pairs that were refused are not searched for


@dataclass(frozen=True)
class Near:
    """Pairs with close hashes of the whole pictures, as row numbers of the measurements, with their
    bits and correlation, that were *not* taken for the same picture."""

    i: np.ndarray
    j: np.ndarray
    distance: np.ndarray
    correlation: np.ndarray


NONE = Near(*(np.zeros(0, kind) for kind in (np.int64, np.int64, np.int64, np.float64)))


def refused(cleaned: Cleaned) -> Near:
    """The pairs that the hashes propose, up to two bits beyond the threshold, and that were not
    taken for the same picture."""
    measured = cleaned.measured
    whole = np.flatnonzero(measured["fault"].isna())
    if not 2 <= len(whole) <= _MANY:
        return NONE
    thumbs = unpack_greys(measured["greys"].iloc[whole]).whole
    lively = np.flatnonzero(thumbs.std(axis=(1, 2)) >= FLAT)
    whole, thumbs = whole[lively], thumbs[lively]
    a, b, distance = neighbours.within(
        hashing.phash(thumbs), cleaned.params.loose_distance + _BEYOND
    )
    i, j = whole[a], whole[b]
    count = len(measured)
    new = ~np.isin(i * count + j, cleaned.pairs.i * count + cleaned.pairs.j)
    a, b = a[new], b[new]
    return Near(i[new], j[new], distance[new], correlate_at(thumbs, a, thumbs, b))


def likest(near: Near, table: pd.DataFrame, measured: pd.DataFrame) -> list[tuple[int, int, str]]:
    """Of the refused pairs of pictures that are both kept the likest: two rows of the decisions and
    the numbers in words."""
    kept = table[table["keep"] & table["part_of"].isna()].drop_duplicates("sha256")
    row = dict(zip(kept["sha256"], kept.index, strict=True))
    shas = list(measured.index)
    found: list[tuple[int, int, str]] = []
    for k in np.lexsort((near.j, near.i, near.distance, -near.correlation)):
        a, b = row.get(shas[near.i[k]]), row.get(shas[near.j[k]])
        if a is not None and b is not None:
            note = f"{near.distance[k]} bits, correlation {near.correlation[k]:.2f}"
            found.append((int(a), int(b), note))
        if len(found) == NEAREST:
            break
    return found


@dataclass(frozen=True)
class Threshold:
    """A row of the table: its name in params.yaml, its value, what it means, and the pairs of
    unlike pictures to expect at this number: proposed, and left after the look at the pixels."""

    name: str
    value: str
    meaning: str
    candidates: str = ""
    after: str = ""


def thresholds(cleaned: Cleaned) -> list[Threshold]:
    """Every knob of ``dedupe`` with what it costs at this number of pictures."""
    expected = {e.name: e for e in false_pairs.expected(cleaned.params, len(cleaned.measured))}
    found = []
    for name, value, meaning in _knobs(cleaned.params, "dedupe."):
        key = name.removeprefix("dedupe.")
        if key == "collage_alarms":
            meaning += _collage_figures(cleaned)
        if key == "correlation":
            meaning += f"; mirrored, trimmed and cropped ones need {ALIGNED:g}"
        cost = expected.get(key)
        numbers = ("", "")
        if cost:
            left = f"{_short(cost.after)}, at most {_short(cost.at_most)}"
            numbers = (_short(cost.candidates), left)
        found.append(Threshold(name, value, meaning, *numbers))
    return found


def _knobs(params: Any, prefix: str) -> Iterator[tuple[str, str, str]]:
    for knob in dataclasses.fields(params):
        value = getattr(params, knob.name)
        if dataclasses.is_dataclass(value):
            yield from _knobs(value, f"{prefix}{knob.name}.")
        elif knob.name not in ("executor", "scheduler", "workers"):  # they decide nothing
            yield prefix + knob.name, _shown(value), str(knob.metadata["help"])


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _collage_figures(cleaned: Cleaned) -> str:
    judged = cleaned.collages
    if judged.recall is None or judged.alarms is None:
        return ""
    return (
        f". Tried on collages made from these pictures: {judged.recall:.1%} of those with joins "
        f"from edge to edge are found, {judged.loose or 0:.1%} of scattered prints and insets; "
        f"{judged.alarms:.1%} of edited copies of the pictures here are called so"
    )


def _short(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return "under 0.001" if 0 < value < 0.001 else f"{value:.2g}"


@dataclass(frozen=True)
class Bar:
    """One bar: its place and width along the axis, the heights of its two parts (all in units of
    the drawing) and what it counts, in words."""

    x: float
    width: float
    taken: float
    refused: float
    words: str


@dataclass(frozen=True)
class Histogram:
    """Bars, ticks as (x, text) and thresholds as (x, text), in a drawing 600 wide and 180 high."""

    title: str
    bars: list[Bar]
    ticks: list[tuple[float, str]]
    lines: list[tuple[float, str]]


WIDTH, HEIGHT = 600, 180


def histograms(cleaned: Cleaned, near: Near) -> list[Histogram]:
    """Bits and correlations of all pairs found; none where there are no pairs."""
    pairs, params = cleaned.pairs, cleaned.params
    if not len(pairs.i) and not len(near.i):
        return []
    most = max(int(pairs.distance.max(initial=0)), params.loose_distance + _BEYOND)
    bits = _histogram(
        "Bits in which the hashes of two pictures differ",
        np.arange(-0.5, most + 1),
        pairs.distance,
        near.distance,
        [(k, str(k)) for k in range(0, most + 1, 2)],
        _joined(
            [
                (value + 0.5, f"{name} {value}")
                for name, value in (
                    ("near", params.near_distance),
                    ("loose", params.loose_distance),
                )
            ]
        ),
        lambda low, high: f"{low + 0.5:g} bits",
    )
    lines = [(params.correlation, f"correlation {params.correlation:g}")]
    alike = _histogram(
        "Correlation of two pictures",
        np.round(np.arange(0.5, 1.001, 0.02), 2),
        pairs.correlation.clip(0.5, 1),
        near.correlation.clip(0.5, 1),
        [(0.5, "≤ 0.5"), *((k / 10, f"0.{k}") for k in range(6, 10)), (1, "1")],
        _joined([*lines, (ALIGNED, f"changed {ALIGNED:g}")]),
        lambda low, high: f"correlation {low:g} to {high:g}",
    )
    return [bits, alike]


def _joined(lines: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Thresholds at the same place share a line."""
    places = dict.fromkeys(x for x, _ in lines)
    return [(x, ", ".join(text for at, text in lines if at == x)) for x in places]


def _histogram(
    title: str,
    edges: np.ndarray,
    taken: np.ndarray,
    refused: np.ndarray,
    ticks: Iterable[tuple[float, str]],
    lines: Iterable[tuple[float, str]],
    words: Any,
) -> Histogram:
    """Heights by the logarithm: a few pairs near a threshold matter, among thousands of copies."""
    counts = [np.histogram(values, edges)[0] for values in (taken, refused)]
    total = counts[0] + counts[1]
    unit = HEIGHT / math.log1p(max(1, int(total.max())))
    first, span = float(edges[0]), float(edges[-1] - edges[0])

    def place(value: float) -> float:
        return round(WIDTH * (value - first) / span, 1)

    bars = []
    for low, high, a, b in zip(edges[:-1], edges[1:], *counts, strict=True):
        if not a + b:
            continue
        top, share, left = unit * math.log1p(a + b), a / (a + b), place(low)
        heights = round(top * share, 1), round(top * (1 - share), 1)
        text = f"{words(low, high)}: {a:,} taken for the same, {b:,} not"
        bars.append(Bar(left, round(place(high) - left, 1), *heights, text))
    return Histogram(
        title, bars, [(place(x), t) for x, t in ticks], [(place(x), t) for x, t in lines]
    )
