"""How many pairs of unlike pictures to expect at a threshold and a number of pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.params import DedupeParams

# Pairs of unrelated photos within d bits of pHash, as a share of all pairs: counted over 5e9 pairs
# of 100,000 photos. Plain backgrounds make it up to a hundred times more.
_RATE = {0: 4e-10, 2: 4e-10, 4: 6e-10, 6: 4e-9, 8: 4.4e-8, 10: 4e-7, 12: 3.6e-6}
# The same for 10 bits and a correlation of at least 0.85.
_RATE_LOOSE = 2.2e-9


@dataclass(frozen=True)
class FalsePairs:
    """Of one threshold: pairs of unlike pictures it proposes, and those left after the look at the
    pixels."""

    name: str
    value: float
    candidates: float
    after: float


def expected(params: DedupeParams, count: int) -> list[FalsePairs]:
    """For each threshold the false pairs to expect among ``count`` pictures."""
    pairs = count * (count - 1) / 2
    near = _rate(params.near_distance) * pairs
    loose = _rate(params.loose_distance) * pairs
    after = min(_RATE_LOOSE * pairs, loose)
    return [
        FalsePairs("near_distance", params.near_distance, near, near),
        FalsePairs("loose_distance", params.loose_distance, loose, after),
        FalsePairs("correlation", params.correlation, loose, after),
    ]


def _rate(distance: int) -> float:
    known = sorted(_RATE)
    return float(np.exp(np.interp(distance, known, np.log([_RATE[d] for d in known]))))
