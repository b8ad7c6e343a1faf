"""How many pairs of unlike pictures the thresholds of duplicates let through, for the page.

The number of pairs grows with the square of the number of pictures, so a threshold that is safe for
a thousand of them may not be for a million. Where the rates come from:

- pHash of whole pictures within 4 to 12 bits: counted over 5e9 pairs of 100,000 unlike photos at
  64x64, true copies taken out. Within 4 bits one to three pairs were left; 6e-10 is the upper end
  and stands for all smaller distances. Farther ones: ``bench/false_pairs.py``, which counts the
  1e7 pairs of 4,500 real pictures (dogs, goldfish, cars, 500 other things).
- Each window and the mirror is a further chance to look alike. Counted by the bench too, within 14
  bits; closer, where 1e7 pairs show too few, the same factor is taken (within 10 bits it was less:
  254 pairs for 6).
- The look at the pixels: of whole pictures within 10 bits 11 of 1,978 correlate at least 0.85 (the
  5e9 pairs); how that share falls with the least correlation is the bench's count within 14 bits.
  Of mirrored, trimmed and cropped ones no unlike pair was left at all. The rate given is carried on
  from how fast they thin out below (within 14 bits 70 pairs correlate at least 0.80 and 8 at least
  0.85, so 0.25 at least 0.93; within 10 bits an eighth of these); what is sure is the limit that
  none in 1e7 pairs sets (rule of three).

All this holds for varied photos. Pictures that share a plain ground are proposed ``PLAIN_GROUNDS``
times as often: counted for white and for black edges, within 10 bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.params import DedupeParams

PLAIN_GROUNDS = (65, 330)  # white, black edges: how many times as many pairs are proposed

# Share of all pairs of unlike pictures whose whole hashes lie within so many bits. Distances are
# even: as many bits are set in every hash.
WHOLE = {
    0: 6e-10, 2: 6e-10, 4: 6e-10, 6: 4e-9, 8: 4.4e-8, 10: 4.0e-7, 12: 3.6e-6,
    14: 3.4e-5, 16: 2.3e-4, 18: 1.3e-3, 20: 5.6e-3,
}  # fmt: skip

# Pairs proposed in any of the ways to see them for one by the whole hash; without and with mirror.
TIMES = {False: 26.0, True: 53.0}

# Share of the pairs proposed by whole hashes that correlate at least so much.
ALIKE = {0.0: 1.0, 0.5: 0.2, 0.6: 0.085, 0.7: 0.024, 0.75: 0.012, 0.85: 0.0056, 1.0: 0.0018}

# Share of all pairs that are left of those proposed in the other ways, within so many bits.
CHANGED = {0: 5e-11, 6: 5e-11, 8: 4e-10, 10: 3e-9, 12: 7e-9, 14: 2.5e-8, 20: 1.6e-6}
CHANGED_AT_MOST = 3e-7  # none in 1e7 pairs, within up to 14 bits

_LEAST_ALIKE = 0.75  # of certain pairs, see duplicates
_COUNTED_AT_MOST = 1.8  # 11 seen: the upper 95 % limit of the count is 19.7


@dataclass(frozen=True)
class FalsePairs:
    """Pairs of unlike pictures to expect at one threshold, the other ones as they are.

    ``name`` is the parameter's below ``dedupe``, ``value`` what it is set to. ``candidates`` are
    proposed by the hashes, ``after`` are left once the pixels have been looked at, and ``at_most``
    is the upper limit (95 %) of what was counted for ``after``. Numbers of pairs, not shares.
    """

    name: str
    value: float
    candidates: float
    after: float
    at_most: float


def expected(params: DedupeParams, count: int) -> list[FalsePairs]:
    """For near_distance, loose_distance and correlation, among ``count`` different contents.

    The rows are not to be added up: loose_distance counts all that the rules let through,
    near_distance the certain pairs among them and correlation those of whole pictures.
    """
    pairs = count * (count - 1) / 2
    near = min(params.near_distance, params.loose_distance)
    certain = _whole(near) * _alike(_LEAST_ALIKE)
    probable = (_whole(params.loose_distance) - _whole(near)) * _alike(params.correlation)
    times = TIMES[params.mirrored]
    changed = _logarithmic(CHANGED, _even(params.loose_distance)) * times / TIMES[True]
    most = _COUNTED_AT_MOST * (certain + probable)
    return [
        FalsePairs(
            "near_distance",
            params.near_distance,
            pairs * _whole(near),
            pairs * certain,
            pairs * _whole(near),
        ),
        FalsePairs(
            "loose_distance",
            params.loose_distance,
            pairs * _whole(params.loose_distance) * times,
            pairs * (certain + probable + changed),
            pairs * (most + max(CHANGED_AT_MOST, changed)),
        ),
        FalsePairs(
            "correlation",
            params.correlation,
            pairs * _whole(params.loose_distance),
            pairs * (certain + probable),
            pairs * most,
        ),
    ]


def _even(bits: int) -> int:
    return bits - bits % 2


def _whole(bits: int) -> float:
    return WHOLE[_even(bits)]


def _alike(correlation: float) -> float:
    return _logarithmic(ALIKE, correlation)


def _logarithmic(known: dict, at: float) -> float:
    """Between known rates the logarithm is taken to be straight."""
    return float(np.exp(np.interp(at, list(known), np.log(list(known.values())))))
