"""Which pictures show the same photo, and which copy stays.

A pair is proposed by perceptual hashes and decided by a second look:

- *certain*: the hashes of the two whole pictures differ in at most ``near`` bits;
- *loose*: hashes differ in at most ``loose`` bits and 32x32 thumbnails correlate at least
  ``correlation``. Here variants are tried too: one picture as it is against the other mirrored,
  with its rim cut off, or without its frame. The thumbnails compared are those that matched.

Pictures are then walked from the best to the worst: one that has not been dropped stays, and drops
the direct neighbours it has below it (a star). So whatever is dropped is itself like the picture
that stays. Closing pairs transitively instead chains unlike pictures together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.cleaning import hashing, neighbours
from pipeline.cleaning.measure import VARIANTS

FLAT = 5.0  # grey levels: below this standard deviation a hash is made of noise

# A certain pair must at least not look unlike: pale dogs on a plain ground share outlines.
_LEAST_ALIKE = 0.75


@dataclass(frozen=True)
class Rules:
    """Thresholds: bits, bits, correlation in [0, 1], and whether mirrored copies count."""

    near: int
    loose: int
    correlation: float
    mirrored: bool


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


def find_pairs(greys: np.ndarray, rules: Rules) -> Pairs:
    """All verified pairs among N pictures; flat ones pair with nothing.

    Args:
        greys: uint8 N x 5 x 32 x 32, in the order of ``VARIANTS``.
    """
    lively = np.flatnonzero(greys[:, 0].std(axis=(1, 2)) >= FLAT)
    greys = greys[lively]
    low = {name: hashing.coefficients(greys[:, k]) for k, name in enumerate(VARIANTS)}
    whole = hashing.codes(low["whole"])
    found = [_plain(greys, whole, rules)]
    for name in VARIANTS:
        changed = np.flatnonzero((greys[:, VARIANTS.index(name)] != greys[:, 0]).any(axis=(1, 2)))
        if name != "whole":
            found.append(_variant(greys, whole, low, name, False, changed, rules))
        if rules.mirrored:
            use = np.arange(len(greys)) if name == "whole" else changed
            found.append(_variant(greys, whole, low, name, True, use, rules))
    return _best_of(found, lively)


def _plain(greys: np.ndarray, whole: np.ndarray, rules: Rules) -> Pairs:
    i, j, distance = neighbours.within(whole, rules.loose)
    alike = correlate(greys[i, 0], greys[j, 0])
    least = np.where(distance <= rules.near, _LEAST_ALIKE, rules.correlation)
    ok = alike >= least
    return Pairs(i[ok], j[ok], distance[ok], alike[ok], np.full(int(ok.sum()), "whole", object))


def _variant(
    greys: np.ndarray,
    whole: np.ndarray,
    low: dict[str, np.ndarray],
    name: str,
    mirror: bool,
    use: np.ndarray,
    rules: Rules,
) -> Pairs:
    """Pairs of a variant of the pictures ``use`` and the whole of another."""
    own = low[name][use]
    queries = hashing.codes(hashing.mirrored(own) if mirror else own)
    a, b, distance = neighbours.between(queries, whole, rules.loose)
    a = use[a]
    other = a != b
    a, b, distance = a[other], b[other], distance[other]
    thumbs = greys[a, VARIANTS.index(name)]
    alike = correlate(thumbs[:, :, ::-1] if mirror else thumbs, greys[b, 0])
    ok = alike >= rules.correlation
    a, b = a[ok], b[ok]
    label = "+".join(part for part in ("mirror" * mirror, name * (name != "whole")) if part)
    i, j = np.minimum(a, b), np.maximum(a, b)
    return Pairs(i, j, distance[ok], alike[ok], np.full(len(a), label, object))


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


def stars(count: int, pairs: Pairs, order: np.ndarray) -> Stars:
    """Choose who stays among ``count`` pictures.

    Args:
        order: all indices, best first; the result depends on it and on nothing else. A picture
            that is given up joins the closest of the kept ones that are like it.
    """
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    neighbours_of: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for index, (i, j) in enumerate(zip(pairs.i.tolist(), pairs.j.tolist(), strict=True)):
        better, worse = (i, j) if rank[i] < rank[j] else (j, i)
        neighbours_of[worse].append((better, index))
    kept = np.arange(count)
    through = np.full(count, -1)
    for picture in order.tolist():
        staying = [(other, index) for other, index in neighbours_of[picture] if through[other] < 0]
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
