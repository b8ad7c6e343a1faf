"""Which pictures show the same photo, and which copy stays.

A pair is proposed by perceptual hashes and decided by a second look:

- *certain*: the hashes of the two whole pictures differ in at most ``near`` bits;
- *loose*: these hashes differ in at most ``loose`` bits, and the pictures shrunk to 32x32 correlate
  at least ``correlation``;
- *changed*: one of the two is seen mirrored or without its frame; hashes as before, and what is
  then seen correlates at least ``aligned``: each further way to see a picture is a
  further chance for an unlike one to look the same;
- *crop*: the hash of a part of one picture (``hashing.WINDOWS``, mirrored too) and that of another
  differ in at most ``loose`` bits, and correlate at least ``aligned`` once the window is shifted
  and stretched to fit.

Pictures are then walked from the best to the worst: one that has not been dropped stays, and drops
the direct neighbours it has below it (a star). So whatever is dropped is itself like the picture
that stays. Closing pairs transitively instead chains unlike pictures together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.cleaning import hashing, neighbours
from pipeline.cleaning.alignment import aligned, correlate, correlate_at
from pipeline.cleaning.measure import Looks

FLAT = 5.0  # grey levels: below this standard deviation a hash is made of noise

# A certain pair must at least not look unlike: pale dogs on a plain ground share outlines.
_LEAST_ALIKE = 0.75

# Photos of 3,000 dogs: copies cropped by 4 or 10 % and the part they fit best correlate 0.98, the
# likest two of unlike ones 0.88.
ALIGNED = 0.93

_PROMISING = 0.5  # a window that correlates less as it lies cannot be made to fit


@dataclass(frozen=True)
class Rules:
    """Thresholds: bits, bits, correlation in [0, 1], whether mirrored copies count, and the
    correlation that a mirrored, trimmed or cropped one must reach."""

    near: int
    loose: int
    correlation: float
    mirrored: bool
    aligned: float = ALIGNED


@dataclass(frozen=True)
class Pairs:
    """Verified pairs i < j with the smallest distance in bits, the largest correlation among the
    matching variants, and the name of the variant ("whole" when none was needed)."""

    i: np.ndarray
    j: np.ndarray
    distance: np.ndarray
    correlation: np.ndarray
    variant: np.ndarray

    def __len__(self) -> int:
        return len(self.i)

    def among(self, chosen: np.ndarray) -> Pairs:
        """The pairs whose two pictures are both in ``chosen`` (sorted), counted as it counts."""
        place = np.full(1 + max(self.i.max(initial=-1), self.j.max(initial=-1), -1), -1)
        inside = chosen[chosen < len(place)]
        place[inside] = np.arange(len(inside))
        i, j = place[self.i], place[self.j]
        both = (i >= 0) & (j >= 0)
        return Pairs(
            i[both], j[both], self.distance[both], self.correlation[both], self.variant[both]
        )


@dataclass(frozen=True)
class Stars:
    """For each picture: the one that stays in its place (itself, if it stays) and the pair that
    says so (-1: none)."""

    kept: np.ndarray
    pair: np.ndarray


@dataclass(frozen=True)
class _Targets:
    """What a part of a picture is looked for in: all whole pictures, and framed ones trimmed."""

    owner: np.ndarray
    thumbs: np.ndarray
    codes: np.ndarray


def find_pairs(looks: Looks, rules: Rules) -> Pairs:
    """All verified pairs among N pictures; flat ones pair with nothing."""
    lively = np.flatnonzero(looks.whole.std(axis=(1, 2)) >= FLAT)
    looks = looks.take(lively)
    low = hashing.coefficients(looks.whole)
    everything = np.arange(len(looks))
    whole = _Targets(everything, looks.whole, hashing.codes(low))
    framed = np.flatnonzero((looks.trim != looks.whole).any(axis=(1, 2)))
    trimmed = hashing.coefficients(looks.trim[framed])
    found = [_plain(whole, rules)]
    if rules.mirrored:
        found.append(_variant(everything, looks.whole, low, whole, "whole", True, rules))
        found.append(_variant(framed, looks.trim[framed], trimmed, whole, "trim", True, rules))
    found.append(_variant(framed, looks.trim[framed], trimmed, whole, "trim", False, rules))
    targets = _Targets(
        np.concatenate([everything, framed]),
        np.concatenate([looks.whole, looks.trim[framed]]),
        np.concatenate([whole.codes, hashing.codes(trimmed)]),
    )
    found.append(_parts(looks, targets, _keys(found, len(looks)), rules))
    return _best_of(found, lively)


def _plain(whole: _Targets, rules: Rules) -> Pairs:
    i, j, distance = neighbours.within(whole.codes, rules.loose)
    alike = correlate_at(whole.thumbs, i, whole.thumbs, j)
    least = np.where(distance <= rules.near, _LEAST_ALIKE, rules.correlation)
    ok = alike >= least
    return Pairs(i[ok], j[ok], distance[ok], alike[ok], np.full(int(ok.sum()), "whole", object))


def _variant(
    own: np.ndarray,
    thumbs: np.ndarray,
    low: np.ndarray,
    whole: _Targets,
    name: str,
    mirror: bool,
    rules: Rules,
) -> Pairs:
    """Pairs of the pictures ``own``, seen as ``thumbs``, and the whole of another."""
    queries = hashing.codes(hashing.mirrored(low) if mirror else low)
    a, b, distance = neighbours.between(queries, whole.codes, rules.loose)
    other = own[a] != b
    a, b, distance = a[other], b[other], distance[other]
    alike = correlate_at(thumbs[:, :, ::-1] if mirror else thumbs, a, whole.thumbs, b)
    ok = alike >= rules.aligned
    a, b = own[a[ok]], b[ok]
    variant = np.full(len(a), _label(name, mirror), object)
    return Pairs(np.minimum(a, b), np.maximum(a, b), distance[ok], alike[ok], variant)


def _label(name: str, mirror: bool) -> str:
    return "+".join(part for part in ("mirror" * mirror, name * (name != "whole")) if part)


def _keys(found: list[Pairs], count: int) -> np.ndarray:
    return np.unique(np.concatenate([pairs.i * count + pairs.j for pairs in found]))


def _parts(looks: Looks, targets: _Targets, known: np.ndarray, rules: Rules) -> Pairs:
    """Pairs of a part of one picture and another, ``known`` ones left out: proposed by the hash of
    one of ``hashing.WINDOWS``, decided by how well the window can be made to fit."""
    proposed = [
        _candidates(looks, targets, known, kind, mirror, rules.loose)
        for kind in range(len(hashing.WINDOWS))
        for mirror in (False, True)[: 1 + rules.mirrored]
    ]
    part, target, distance, alike, kind, mirror = map(np.concatenate, zip(*proposed, strict=True))
    i = np.minimum(part, targets.owner[target])
    j = np.maximum(part, targets.owner[target])
    # Of the ways to see a pair the most promising one; the rest of the order settles ties.
    order = np.lexsort((target, part, mirror, kind, -alike, j, i))
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(i[order]) != 0) | (np.diff(j[order]) != 0)
    best = order[first]
    windows = [(w.left, w.top, w.side, w.side) for w in hashing.WINDOWS]
    boxes = np.array(windows, np.float64)[kind[best]]
    alike = aligned(looks.middle, part[best], boxes, targets.thumbs, target[best], mirror[best])
    ok = alike >= rules.aligned
    best = best[ok]
    names = [
        _label(hashing.WINDOWS[k].name, bool(m))
        for k, m in zip(kind[best], mirror[best], strict=True)
    ]
    return Pairs(i[best], j[best], distance[best], alike[ok], np.array(names, object))


def _candidates(
    looks: Looks, targets: _Targets, known: np.ndarray, kind: int, mirror: bool, loose: int
) -> tuple[np.ndarray, ...]:
    """(part of, target, bits, correlation as the window lies, kind, mirror) of pairs that one kind
    of window proposes. Flat parts propose nothing: their hash is made of noise."""
    window = hashing.WINDOWS[kind]
    low = hashing.part_coefficients(looks.middle, window)
    a, t, distance = neighbours.between(
        hashing.codes(hashing.mirrored(low) if mirror else low), targets.codes, loose
    )
    b = targets.owner[t]
    new = (a != b) & ~np.isin(np.minimum(a, b) * len(looks) + np.maximum(a, b), known)
    a, t, distance = a[new], t[new], distance[new]
    alike = np.empty(len(a))
    for start in range(0, len(a), 4096):
        some = slice(start, start + 4096)
        seen = hashing.part(looks.middle[a[some]], window)
        thumbs = targets.thumbs[t[some]]
        alike[some] = correlate(seen, thumbs[:, :, ::-1] if mirror else thumbs)
        alike[some][seen.std(axis=(1, 2)) < FLAT] = -1
    ok = alike >= _PROMISING
    count = int(ok.sum())
    return a[ok], t[ok], distance[ok], alike[ok], np.full(count, kind), np.full(count, mirror)


def _best_of(found: list[Pairs], owner: np.ndarray) -> Pairs:
    """One row per pair: the way that agreed best. Indices become those of ``owner``."""
    i = np.concatenate([pairs.i for pairs in found])
    j = np.concatenate([pairs.j for pairs in found])
    distance = np.concatenate([pairs.distance for pairs in found])
    alike = np.concatenate([pairs.correlation for pairs in found])
    variant = np.concatenate([pairs.variant for pairs in found])
    rank = np.concatenate([np.full(len(pairs), k) for k, pairs in enumerate(found)])
    order = np.lexsort((rank, distance, j, i))
    i, j = i[order], j[order]
    first = np.ones(len(i), bool)
    first[1:] = (i[1:] != i[:-1]) | (j[1:] != j[:-1])
    order = order[first]
    return Pairs(owner[i[first]], owner[j[first]], distance[order], alike[order], variant[order])


def components(count: int, pairs: Pairs) -> np.ndarray:
    """A number for each of ``count`` pictures, equal for those that pairs link, however far.

    Too coarse to drop by, and just right where leaking must be ruled out.
    """
    links = coo_array((np.ones(len(pairs)), (pairs.i, pairs.j)), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1])


def stars(
    count: int, pairs: Pairs, order: np.ndarray, forced: Sequence[bool] | None = None
) -> Stars:
    """Choose who stays among ``count`` pictures.

    Args:
        order: all indices, best first; the result depends on it and ``forced`` alone. A picture
            that is given up joins the closest of the kept ones that are like it.
        forced: which ones stay whatever they are like; they come first in ``order``. One that
            joins another still drops those that are like it. None: none.
    """
    forced = forced or [False] * count
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    neighbours_of: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for index, (i, j) in enumerate(zip(pairs.i.tolist(), pairs.j.tolist(), strict=True)):
        better, worse = (i, j) if rank[i] < rank[j] else (j, i)
        neighbours_of[worse].append((better, index))
    kept = np.arange(count)
    through = np.full(count, -1)
    for picture in order.tolist():
        staying = [
            (other, index)
            for other, index in neighbours_of[picture]
            if through[other] < 0 or forced[other]
        ]
        if staying:
            closest = min(
                staying,
                key=lambda item: (
                    pairs.distance[item[1]],
                    -pairs.correlation[item[1]],
                    rank[item[0]],
                ),
            )
            kept[picture], through[picture] = closest
    return Stars(kept, through)
