"""Figures with their 95 % intervals: the bootstrap over what is independent, seeded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import beta

_RESAMPLES = 2000
_ENDS = (0.025, 0.975)


@dataclass(frozen=True)
class Share:
    """A share of ``count`` cases with its 95 % interval, all in [0, 1]."""

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        if not self.count:
            return "–"
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


NONE = Share(0.0, 0.0, 1.0, 0)


def share(hits: pd.Series, group: pd.Series) -> Share:
    """The share of hits; bootstrap over groups (the photos), which stand or fall together.

    Where all or none hit, resampling sees no doubt: the exact bound is given instead.
    """
    if not len(hits):
        return NONE
    by = pd.DataFrame({"hit": hits.astype(float).to_numpy(), "group": group.to_numpy()})
    sums = by.groupby("group")["hit"].agg(["sum", "count"]).to_numpy(float)
    value = float(hits.mean())
    if value in (0.0, 1.0):
        return _certain(value, len(sums), len(hits))
    rng = np.random.default_rng(0)
    drawn = sums[rng.integers(0, len(sums), (_RESAMPLES, len(sums)))].sum(axis=1)
    return _between(value, drawn[:, 0] / drawn[:, 1], len(hits))


def nested(hits: pd.Series, folder: pd.Series) -> Share:
    """The share of hits among files that each folder's own detector judged: folders are drawn, then
    files in them. (Of n files with a share p of hits, c draws of all n hit Binomial(c n, p).)"""
    if not len(hits):
        return NONE
    value = float(hits.mean())
    if value in (0.0, 1.0):
        return _certain(value, len(hits), len(hits))
    by = hits.astype(float).groupby(folder.to_numpy()).agg(["mean", "count"]).to_numpy()
    rng = np.random.default_rng(0)
    draws = _folders(rng, len(by)) * by[:, 1].astype(int)
    found = rng.binomial(draws, by[:, 0]).sum(axis=1)
    return _between(value, found / draws.sum(axis=1), len(hits))


def found_at(singles: pd.DataFrame, made: pd.DataFrame, alarms: float) -> Share:
    """The share of ``made`` that scores above the line which ``alarms`` of ``singles`` reach.

    The line is drawn anew in every resample, so its own doubt is in the interval.

    Args:
        singles: columns collage (the score) and photo, the unit that is drawn.
        made: columns collage and folder; drawn as in ``nested``.
    """
    if not len(made):
        return NONE
    value = float((made["collage"] >= threshold_at(singles["collage"], alarms)).mean())
    rng = np.random.default_rng(0)
    lines = _lines(rng, singles, alarms)
    parts = [np.sort(part.to_numpy()) for _, part in made.groupby("folder")["collage"]]
    size = np.array([len(part) for part in parts])
    above = [1 - np.searchsorted(part, lines, "left") / len(part) for part in parts]
    draws = _folders(rng, len(parts)) * size
    found = rng.binomial(draws, np.stack(above, axis=1)).sum(axis=1)
    if value in (0.0, 1.0):
        return _certain(value, len(made), len(made))
    return _between(value, found / draws.sum(axis=1), len(made))


def threshold_at(scores: pd.Series, alarms: float) -> float:
    """The lowest threshold that at most ``alarms`` of the single photos' scores reach."""
    ordered = np.sort(scores.to_numpy())[::-1]
    return float(np.nextafter(ordered[int(alarms * len(ordered))], 2))


def _lines(rng: np.random.Generator, singles: pd.DataFrame, alarms: float) -> np.ndarray:
    """``threshold_at`` of each resample of photos."""
    order = np.argsort(-singles["collage"].to_numpy(), kind="stable")
    scores = singles["collage"].to_numpy()[order]
    photo = pd.factorize(singles["photo"])[0][order]
    count = photo.max() + 1
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)[:, photo]
    passed = drawn.cumsum(axis=1)
    allowed = (alarms * passed[:, -1]).astype(int)
    return np.nextafter(scores[(passed > allowed[:, None]).argmax(axis=1)], 2)


def _folders(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)


def _between(value: float, drawn: np.ndarray, count: int) -> Share:
    """The interval of a share from its resamples.

    Few failures are few to draw from, and the bootstrap then is too sure. So it is widened to the
    exact binomial limits (Clopper, Pearson) of as many independent cases as have the variance of
    the resamples, as Korn and Graubard (1998) do for surveys.
    """
    low, high = np.quantile(drawn, _ENDS)
    cases = min(float(count), value * (1 - value) / max(float(drawn.var()), 1e-12))
    hits, misses = cases * value, cases * (1 - value)
    exact = beta.ppf(_ENDS, [hits, hits + 1], [misses + 1, misses])
    return Share(value, min(float(low), exact[0]), max(float(high), exact[1]), count)


def _certain(value: float, units: int, count: int) -> Share:
    """All or none of so many independent units: the exact binomial limit on the other side."""
    doubt = 1 - _ENDS[0] ** (1 / units)
    return Share(value, max(0.0, value - doubt), min(1.0, value + doubt), count)
