"""All pairs of 64-bit codes that differ in at most d bits, exactly.

Three ways give the same pairs. The flat scan compares everything with everything: nothing beats it
on small sets. The block join (Manku, Jain, Das Sarma 2007, "Detecting near-duplicates for web
crawling") cuts the 64 bits into m blocks: codes within d agree wholly on at least m - d of them, so
sorting by each choice of m - d blocks brings every pair side by side in at least one order. The
block tables with probes (Norouzi, Punjani, Fleet 2012, "Fast search in Hamming space with
multi-index hashing") suit many queries on fewer codes: with m blocks and radii r that add up to
d - m + 1, some block differs in at most its r bits, so a table of each block is asked for every key
that near. Time grows with N log N for codes that are spread, memory with N. The costs are estimated
and the cheapest way is taken.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]

# Nanoseconds on one core, measured: a comparison of the flat scan, a comparison of a candidate
# fetched through an index, and a code in a sort (per doubling of N).
_SCAN, _CANDIDATE, _SORT = 1.0, 30.0, 3.5
_PROBE = 4.0  # a key looked up in a table
_CHUNK = 1 << 18  # comparisons at once: what the processor keeps near
_WIDEST = 22  # bits of a key with a table of its own


def within(codes: np.ndarray, distance: int) -> Pairs:
    """Pairs (i, j, d) with i < j and d = popcount(codes[i] ^ codes[j]) <= distance, sorted.

    Equal codes are compared once, however many carry them. The result itself can be quadratic:
    n pictures of one code are n (n - 1) / 2 pairs.
    """
    codes = np.asarray(codes, dtype=np.uint64)
    distinct, group = np.unique(codes, return_inverse=True)
    blocks = plan(len(distinct), distance)
    if blocks is None:
        a, b, d = _concatenate(_scan(distinct, distinct, distance, upper=True))
    else:
        a, b, d = _join(distinct, distance, blocks)
    return _expand(a, b, d, group, len(distinct))


def between(queries: np.ndarray, codes: np.ndarray, distance: int) -> Pairs:
    """Pairs (i, j, d) with popcount(queries[i] ^ codes[j]) <= distance, sorted."""
    queries, codes = np.asarray(queries, np.uint64), np.asarray(codes, np.uint64)
    both = len(queries) + len(codes)
    joined, probed = plan(both, distance), probe_plan(len(queries), len(codes), distance)
    costs = {
        "scan": _SCAN * len(queries) * len(codes),
        "join": math.inf if joined is None else _join_cost(both, distance, joined),
        "probe": _probe_cost(len(queries), len(codes), distance, probed),
    }
    way = min(costs, key=costs.__getitem__)
    if way == "scan":
        i, j, d = _concatenate(_scan(queries, codes, distance, upper=False))
    elif way == "probe":
        i, j, d = _probe(queries, codes, distance, probed)
    else:
        a, b, d = within(np.concatenate([queries, codes]), distance)
        across = (a < len(queries)) & (b >= len(queries))
        i, j, d = a[across], b[across] - len(queries), d[across]
    order = np.lexsort((j, i))
    return i[order], j[order], d[order]


def plan(count: int, distance: int) -> int | None:
    """The number of blocks for the cheapest join of ``count`` codes, or None for the flat scan."""
    best, cost = None, _SCAN * count * count / 2
    for blocks in range(distance + 1, min(distance + 7, 21)):
        tables = math.comb(blocks, distance)
        if tables <= 2000 and _join_cost(count, distance, blocks) < cost:
            best, cost = blocks, _join_cost(count, distance, blocks)
    return best


def _join_cost(count: int, distance: int, blocks: int) -> float:
    """Nanoseconds of a join. Real hashes fill buckets about 1.6 times as fully as random codes."""
    key_bits = 64 * (blocks - distance) / blocks
    candidates = 1.6 * count * count / 2 / 2**key_bits
    sort = _SORT * count * math.log2(max(count, 2))
    return math.comb(blocks, distance) * (sort + _CANDIDATE * candidates)


def probe_plan(queries: int, codes: int, distance: int) -> int:
    """The number of blocks, and tables, with which probing is cheapest."""
    usable = [m for m in range(1, distance + 2) if 64 / m <= _WIDEST]
    if not usable:
        return 0
    return min(usable, key=lambda m: _probe_cost(queries, codes, distance, m))


def _probe_cost(queries: int, codes: int, distance: int, blocks: int) -> float:
    if not blocks:
        return math.inf
    cost = 0.0
    for (low, high), radius in zip(_edges(blocks), _radii(distance, blocks), strict=True):
        keys = sum(math.comb(high - low, bits) for bits in range(radius + 1))
        candidates = 1.6 * codes / 2 ** (high - low)
        cost += keys * queries * (_PROBE + _CANDIDATE * candidates)
    return cost


def _edges(blocks: int) -> list[tuple[int, int]]:
    """The blocks as (first bit, bit after the last)."""
    return list(itertools.pairwise(round(64 * k / blocks) for k in range(blocks + 1)))


def _radii(distance: int, blocks: int) -> list[int]:
    """How many bits of each block may differ: were all blocks farther, the sum would exceed d."""
    whole, more = divmod(distance + 1, blocks)
    return [whole - 1 + (k < more) for k in range(blocks)]


def _probe(queries: np.ndarray, codes: np.ndarray, distance: int, blocks: int) -> Pairs:
    """Pairs through a table for each block; one close in several blocks is found several times."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for (low, high), radius in zip(_edges(blocks), _radii(distance, blocks), strict=True):
        mask = np.uint64((1 << (high - low)) - 1)
        asked = ((queries >> np.uint64(low)) & mask).astype(np.int32)
        keys = ((codes >> np.uint64(low)) & mask).astype(np.int32)
        # In the order of their keys, those asked for one after another lie near each other.
        by, order = np.argsort(asked, kind="stable"), np.argsort(keys, kind="stable")
        asked, some, sought = asked[by], queries[by], codes[order]
        starts = np.zeros(int(mask) + 2, np.int32)
        np.cumsum(np.bincount(keys, minlength=int(mask) + 1), out=starts[1:])
        for bits in range(radius + 1):
            for flipped in itertools.combinations(range(high - low), bits):
                at = asked ^ sum(1 << bit for bit in flipped)
                pairs = _bucket_pairs(some, sought, starts[at], starts[at + 1], distance)
                found += [(by[query], order[code]) for query, code in pairs]
    i, j = _joined(found)
    packed = np.unique(i * max(len(codes), 1) + j)
    i, j = packed // max(len(codes), 1), packed % max(len(codes), 1)
    return i, j, np.bitwise_count(queries[i] ^ codes[j]).astype(np.int64)


def _bucket_pairs(
    queries: np.ndarray, codes: np.ndarray, start: np.ndarray, stop: np.ndarray, distance: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Compare each query with the codes ``codes[start:stop]`` of its bucket."""
    found = []
    query = np.flatnonzero(stop > start)
    start, stop = start[query], stop[query]
    while len(query):
        near = np.flatnonzero(np.bitwise_count(queries[query] ^ codes[start]) <= distance)
        if len(near):
            found.append((query[near], start[near]))
        start = start + 1
        more = np.flatnonzero(start < stop)
        query, start, stop = query[more], start[more], stop[more]
    return found


def _joined(found: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    nothing = np.empty(0, np.int64)
    i, j = zip((nothing, nothing), *found, strict=True)
    return np.concatenate(i), np.concatenate(j)


def _scan(queries: np.ndarray, codes: np.ndarray, distance: int, upper: bool) -> Iterator[Pairs]:
    rows = max(1, _CHUNK // max(len(codes), 1))
    for start in range(0, len(queries), rows):
        first = start if upper else 0
        part = queries[start : start + rows, None] ^ codes[None, first:]
        d = np.bitwise_count(part)
        # Of a flat view: several times as fast as of two axes, and nearly all are far.
        i, j = np.divmod(np.flatnonzero(d <= distance), d.shape[1])
        d, i, j = d[i, j].astype(np.int64), i + start, j + first
        keep = i < j if upper else slice(None)
        yield i[keep], j[keep], d[keep]


def _join(codes: np.ndarray, distance: int, blocks: int) -> Pairs:
    """Every pair of distinct codes within ``distance``, through block tables."""
    bits = max(len(codes) - 1, 1).bit_length()
    found = []
    for chosen in itertools.combinations(_edges(blocks), blocks - distance):
        rows = _in_order(codes, chosen, bits)
        together = (rows[1:] ^ rows[:-1]) >> np.uint64(bits) == 0
        rows &= np.uint64((1 << bits) - 1)
        found += _neighbours_in_runs(codes, rows.astype(np.int64), together, distance)
    a, b = _joined(found)
    # A close pair agrees on several choices of blocks, so it is found several times.
    packed = np.sort(a * len(codes) + b)
    packed = packed[np.diff(packed, prepend=-1) != 0]
    a, b = packed // len(codes), packed % len(codes)
    return a, b, np.bitwise_count(codes[a] ^ codes[b]).astype(np.int64)


def _in_order(codes: np.ndarray, chosen: tuple[tuple[int, int], ...], bits: int) -> np.ndarray:
    """The chosen blocks of each code above the ``bits`` of its index, in ascending order.

    Sorting such numbers is half as long as sorting an index by its keys. What of the key finds no
    room is left out: a shorter key brings more codes together, never fewer.
    """
    rows = np.zeros_like(codes)
    for low, high in chosen:
        rows <<= np.uint64(high - low)
        rows |= (codes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
    rows <<= np.uint64(bits)
    rows |= np.arange(len(codes), dtype=np.uint64)
    rows.sort()
    return rows


def _neighbours_in_runs(
    codes: np.ndarray, order: np.ndarray, together: np.ndarray, distance: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Compare each position with the 1st, 2nd, 3rd ... after it, while all between share a key.

    ``together``: whether the code at a position and the next one do.
    """
    found = []
    position = np.flatnonzero(together)
    step = 1
    while len(position):
        a, b = order[position], order[position + step]
        near = np.flatnonzero(np.bitwise_count(codes[a] ^ codes[b]) <= distance)
        if len(near):
            a, b = a[near], b[near]
            found.append((np.minimum(a, b), np.maximum(a, b)))
        position = position[position + step < len(together)]
        position = position[together[position + step]]
        step += 1
    return found


def _concatenate(parts: Iterator[Pairs]) -> Pairs:
    columns = list(zip(*parts, strict=True))
    if not columns:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64)
    i, j, d = (np.concatenate(column).astype(np.int64) for column in columns)
    return i, j, d


def _expand(a: np.ndarray, b: np.ndarray, d: np.ndarray, group: np.ndarray, groups: int) -> Pairs:
    """Pairs of codes to pairs of their owners, and the owners of one code to each other."""
    size = np.bincount(group, minlength=groups)
    start = np.cumsum(size) - size
    member = np.argsort(group, kind="stable")
    shared = np.flatnonzero(size > 1)
    a, b = np.concatenate([a, shared]), np.concatenate([b, shared])
    d = np.concatenate([d, np.zeros(len(shared), np.int64)])
    # Each of the size[a] owners of one code with each of the size[b] owners of the other.
    count = size[a] * size[b]
    pair = np.repeat(np.arange(len(a)), count)
    one, other = np.divmod(
        np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count), size[b[pair]]
    )
    once = np.flatnonzero((a != b)[pair] | (one < other))
    pair, one, other = pair[once], one[once], other[once]
    i, j = member[start[a[pair]] + one], member[start[b[pair]] + other]
    low, high = np.minimum(i, j), np.maximum(i, j)
    order = np.lexsort((high, low))
    return low[order], high[order], d[pair][order]
