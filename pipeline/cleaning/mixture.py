"""A set that nobody labelled: how many of its pictures are collages, and the line.

Its scores U are a mixture (1 - p) F + p G of those of single pictures and of collages; G is known,
from collages composed of the set. Where collages abound, U is little else: p is at most the least
of U(over t) / G(over t) over all t (mixture proportion estimation: Blanchard, Lee & Scott 2010,
Scott 2015; learning from positive and unlabelled examples: Elkan & Noto 2008). What is left of U
over t when p G is taken off are single pictures: the false alarms of a line at t.
"""

from __future__ import annotations

import numpy as np

MOST = 0.5  # a set of which more are collages is none that this can judge
_CORE = 0.5  # of the composed collages must lie over t: of fewer, a ratio is only noise
_STEPS = 40  # places of t
_ERRORS = 0.25  # standard errors


def over(scores: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The share of scores that reach each place."""
    below = np.searchsorted(np.sort(scores), at, side="left")
    return np.asarray(1 - below / max(len(scores), 1))


def proportion(unknown: np.ndarray, collages: np.ndarray) -> float:
    """The share of collages among pictures of unknown kind, in [0, ``MOST``]; 0 rather than a
    guess where either kind is missing.

    Args:
        unknown: scores of the pictures, N.
        collages: scores of pictures known to be collages, by models that have not seen them.
    """
    if not len(unknown) or not len(collages):
        return 0.0
    places = np.quantile(collages, np.linspace(0.05, 1 - _CORE, _STEPS))
    some, all_of = over(unknown, places), over(collages, places)
    # The least of noisy ratios is too low: each is taken at its upper end, by one standard error.
    counted = np.maximum(some * len(unknown), 1)
    noise = np.sqrt(1 / counted + 1 / (all_of * len(collages)))
    return float(np.clip((some / all_of * (1 + _ERRORS * noise)).min(), 0, MOST))


def line_at(unknown: np.ndarray, collages: np.ndarray, alarms: float, least: float) -> float:
    """The lowest score that at most ``alarms`` of the single pictures among ``unknown`` reach,
    ``least`` at the least. Without collages among them: that at most ``alarms`` of all reach."""
    from sklearn.isotonic import isotonic_regression

    if not len(unknown):
        return least
    share = proportion(unknown, collages)
    ordered = np.sort(unknown)[::-1]
    # Pictures over each score, itself not counted: it may be the first below the line.
    reached = np.arange(len(ordered)) / max(len(ordered) - 1, 1)
    single = (reached - share * over(collages, np.nextafter(ordered, 2))) / (1 - share)
    # The lower the score the more reach it; a difference of two noisy shares must be told so.
    good = np.flatnonzero(isotonic_regression(single) <= alarms)
    return max(least, float(np.nextafter(ordered[good[-1] if len(good) else 0], 2)))
