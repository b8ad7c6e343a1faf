"""One way to find all pairs within distance 4: python pairs.py WAY COUNT

The codes are random, and a tenth of them have a neighbour with up to three other bits. Prints JSON:
seconds and CPU seconds of the search, how many pairs, a digest of them, and the bytes by which the
search raised the peak of the memory.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

DISTANCE = 4
BLOCKS = 6
Found = tuple[np.ndarray, np.ndarray]


def codes(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    made = rng.integers(0, 2**64, count, dtype=np.uint64)
    tenth = count // 10
    made[:tenth] = made[tenth : 2 * tenth]
    for _ in range(3):
        made[:tenth] ^= np.uint64(1) << rng.integers(0, 64, tenth, dtype=np.uint64)
    rng.shuffle(made)
    return made


def ours(some: np.ndarray) -> Found:
    from pipeline.cleaning import neighbours

    i, j, _ = neighbours.within(some, DISTANCE)
    return i, j


def duckdb(some: np.ndarray) -> Found:
    """The same block tables as hash joins in SQL."""
    import duckdb as database
    import pandas as pd

    base = database.connect(config={"threads": 1})
    frame = pd.DataFrame({"i": np.arange(len(some)), "c": some.view(np.int64)})
    base.execute("create table codes as select * from frame")
    edges = [round(64 * k / BLOCKS) for k in range(BLOCKS + 1)]
    masks = [(1 << high) - (1 << low) for low, high in itertools.pairwise(edges)]
    joins = []
    for chosen in itertools.combinations(masks, BLOCKS - DISTANCE):
        mask = int(np.uint64(sum(chosen)).astype(np.int64))
        joins.append(
            f"select a.i i, b.i j from codes a join codes b on (a.c & {mask}) = (b.c & {mask}) "
            f"where a.i < b.i and bit_count(xor(a.c, b.c)) <= {DISTANCE}"
        )
    found = base.execute(" union ".join(joins)).fetchnumpy()
    del frame
    return found["i"], found["j"]


def faiss_flat(some: np.ndarray) -> Found:
    import faiss

    return _ranged(faiss.IndexBinaryFlat(64), some)


def faiss_multihash(some: np.ndarray) -> Found:
    import faiss

    index = faiss.IndexBinaryMultiHash(64, 4, 16)
    index.nflip = 1  # of four blocks one differs in at most one bit
    return _ranged(index, some)


def _ranged(index: object, some: np.ndarray) -> Found:
    import faiss

    faiss.omp_set_num_threads(1)
    rows = some.view(np.uint8).reshape(-1, 8)
    index.add(rows)  # type: ignore[attr-defined]
    limits, _, other = index.range_search(rows, DISTANCE + 1)  # type: ignore[attr-defined]
    i = np.repeat(np.arange(len(some)), np.diff(limits.astype(np.int64)))
    return i[i < other], other[i < other]


WAYS: dict[str, Callable[[np.ndarray], Found]] = {
    "ours": ours,
    "duckdb": duckdb,
    "faiss-flat": faiss_flat,
    "faiss-multihash": faiss_multihash,
}


def memory(kind: str) -> int:
    """Bytes of this process; VmRSS: now, VmHWM: at most so far. (``getrusage`` would tell the
    peak of the process that started this one, if that was higher.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(kind))


def main() -> None:
    way, count = WAYS[sys.argv[1]], int(sys.argv[2])
    way(codes(2000))  # imports
    some = codes(count)
    before, started, cpu = memory("VmRSS"), time.perf_counter(), time.process_time()
    i, j = way(some)
    seconds, cpu, after = time.perf_counter() - started, time.process_time() - cpu, memory("VmHWM")
    pairs = np.sort(i.astype(np.int64) * count + j.astype(np.int64))
    digest = hashlib.sha256(pairs.tobytes()).hexdigest()
    answer = {"seconds": seconds, "cpu": cpu, "pairs": len(pairs), "digest": digest}
    print(json.dumps(answer | {"bytes": after - before}))


if __name__ == "__main__":
    main()
