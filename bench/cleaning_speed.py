"""How fast a folder is cleaned, beside imagehash, imagededup, CleanVision, faiss and DuckDB.

    python bench/cleaning_speed.py [PHOTOS] [--quick]

PHOTOS is any folder of photos (without one: the embedded gallery's drawn dogs); what is timed is
composed from them (bench/speed_parts/pictures.py). Peers take part where they are installed
(imagededup, cleanvision, faiss-cpu, duckdb). Takes less than ten minutes. Prints a report and adds
it, dated, to bench/results/; a quick one is only printed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

from cleaning_truth.photos import draw_dogs, find_photos
from reporting.parts import Part, processor, report, show, versions
from speed_parts import pictures

from pipeline.cleaning import neighbours

ROOT = Path(__file__).resolve().parent.parent
PARTS = Path(__file__).resolve().parent / "speed_parts"
PACKAGES = ("numpy", "pillow", "scipy", "imagehash")
PEERS = ("imagededup", "cleanvision", "faiss-cpu", "duckdb")


@dataclass(frozen=True)
class Bench:
    """How much is timed. ``pairs``: how many codes; ``peers``: how many where a peer takes part;
    ``scanned``: the same for the ways whose time grows with the square."""

    large: int
    small: int
    rounds: int
    pairs: tuple[int, ...]
    peers: int
    scanned: int
    files: int


FULL = Bench(40, 80, 3, (1_000_000, 3_000_000, 10_000_000), 1_000_000, 100_000, 14_000)
QUICK = Bench(10, 20, 1, (100_000, 300_000), 100_000, 20_000, 300)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true", help="little of everything, to try it out")
    parser.add_argument("--only", nargs="+", choices=("rates", "pairs", "folder"), default=None)
    options = parser.parse_args()
    bench = QUICK if options.quick else FULL
    only = options.only or ["rates", "pairs", "folder"]
    busy, started = os.getloadavg()[0], time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="cleaning-speed-") as name:
        work = Path(name)
        folder = options.photos or draw_dogs(work / "drawn dogs")
        photos = [photo.path for photo in find_photos(folder)]
        parts = [rates(photos, work, bench)] if "rates" in only else []
        parts += [all_pairs(bench)] if "pairs" in only else []
        parts += [whole_folder(photos, work, bench)] if "folder" in only else []
    source = "the gallery's drawn dogs" if options.photos is None else folder.resolve().name
    setting = (
        f"{processor()}, {len(os.sched_getaffinity(0))} cores; {versions((*PACKAGES, *PEERS))}. "
        f"From {len(photos)} photos ({source}). Load average before: {busy:.1f}. "
        f"Took {time.perf_counter() - started:.0f} s."
    )
    whole = not options.quick and options.only is None
    show(report("Speed of cleaning", setting, parts), "cleaning-speed", keep=whole)


def child(script: str, *arguments: object) -> Any:
    """What a script of speed_parts prints, run with one thread of everything."""
    threads = ("OMP", "OPENBLAS", "MKL", "NUMEXPR")
    environment = os.environ | {f"{name}_NUM_THREADS": "1" for name in threads}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, str(PARTS / script), *map(str, arguments)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


# --------------------------------------------------------------------------- pictures a second


def rates(photos: list[Path], work: Path, bench: Bench) -> Part:
    """Pictures a second of one core, and how many times as fast as imagehash."""
    lines = [
        "## Pictures a second of one core",
        "",
        "CPU time of one process and one thread, in which the ways take turns on blocks of twenty "
        f"pictures; medians of {bench.rounds} rounds, ratios within a round. `ours`: one decode, "
        "32 hashes (whole and 15 windows, mirrored too) and the 64x64. Evidence of joins is "
        "measured where a first look does not clear the picture. `floor`: the whole decode, grey "
        "and 32x32 that any hash equal to imagehash's needs from Pillow; of the large JPEGs we "
        "decode a quarter of the sides. `imagehash` alone makes one hash and no 64x64.",
        "",
    ]
    demands = []
    for make, size, count, target in (
        (pictures.large, "1600x1200", bench.large, 2.5),
        (pictures.small, "500x375", bench.small, 1.2),
    ):
        make(photos, work / size, count)
        kilobytes = 1000 * pictures.megabytes(work / size) / count
        spent = child("rates.py", work / size, bench.rounds)
        lines += [
            f"{count} JPEGs of {size}, {kilobytes:.0f} kB each",
            "",
            "| way | ms a picture | pictures a second | times as fast as imagehash |",
            "|---|---|---|---|",
            *(
                f"| {name} | {statistics.median(each):.2f} | {1000 / statistics.median(each):.0f} "
                f"| {ratio(spent['imagehash'], each):.2f} |"
                for name, each in spent.items()
            ),
            "",
        ]
        speed = ratio(spent["imagehash"], spent["ours"])
        more = ratio(spent["ours with evidence"], spent["ours"])
        demands += [
            (f"{size}: {target} times imagehash", f"{speed:.2f} times", speed >= target),
            (f"{size}: with evidence of joins at most twice the time", f"{more:.2f}", more <= 2),
        ]
    return Part(lines, demands)


def ratio(over: list[float], under: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


# --------------------------------------------------------------------------- pairs


def all_pairs(bench: Bench) -> Part:
    rows, found = [], {}
    for count in bench.pairs:
        found[count] = got = child("pairs.py", "ours", count)
        rows.append(
            f"| {count:,} | {neighbours.plan(count, 4)} | {got['seconds']:.2f} | {got['cpu']:.2f} "
            f"| {got['pairs']:,} | {got['bytes'] / 1e6:.0f} | {got['bytes'] / count:.0f} |"
        )
        print(rows[-1], flush=True)
    lines = [
        "## All pairs within distance 4",
        "",
        "64-bit codes, random, a tenth with a planted neighbour; one process, one thread. Memory: "
        "by how much the search raises the peak of its process over that with the codes in it.",
        "",
        "| codes | blocks | seconds | CPU seconds | pairs | MB | bytes a code |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        *beside(bench),
        *paper(max(bench.pairs), found[max(bench.pairs)]),
    ]
    first = bench.pairs[0]
    each = [found[count]["bytes"] / count for count in bench.pairs]
    grown = max(each) / min(each)
    return Part(
        lines,
        [
            (
                f"all pairs within distance 4 of {first:,} codes in 3 seconds",
                f"{found[first]['seconds']:.2f} s ({found[first]['cpu']:.2f} s of CPU)",
                found[first]["seconds"] < 3,
            ),
            (
                "memory linear in their number",
                f"{min(each):.0f} to {max(each):.0f} bytes a code",
                grown < 1.5,
            ),
        ],
    )


def beside(bench: Bench) -> list[str]:
    """The same search by peers, who must find the same pairs."""
    rows = []
    jobs = [("ours", bench.scanned), ("faiss-flat", bench.scanned)]
    jobs += [("faiss-multihash", bench.scanned), ("duckdb", bench.scanned)]
    jobs += [("ours", bench.peers), ("duckdb", bench.peers)]
    best: dict[int, tuple[float, str]] = {}
    truth: dict[int, str] = {}
    for way, count in jobs:
        if way != "ours" and not util.find_spec(way.split("-")[0]):
            rows.append(f"| {way} | {count:,} | not installed | | |")
            continue
        got = child("pairs.py", way, count)
        truth.setdefault(count, got["digest"])
        same = "yes" if got["digest"] == truth[count] else "**no**"
        best[count] = min(best.get(count, (math.inf, "")), (got["cpu"], way))
        rows.append(
            f"| {way} | {count:,} | {got['seconds']:.2f} | {got['cpu']:.2f} "
            f"| {got['bytes'] / 1e6:.0f} | {same} |"
        )
        print(rows[-1], flush=True)
    winners = ", ".join(f"{way} at {count:,} codes" for count, (_, way) in best.items())
    return [
        f"Beside peers, one thread each. Least CPU time: {winners}. The time of faiss's two "
        "indexes grows with the square of the number, of the second from the point on where its "
        "65,536 buckets fill, so they are asked for fewer.",
        "",
        "| way | codes | seconds | CPU seconds | MB | the same pairs |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def paper(count: int, got: dict[str, float]) -> list[str]:
    """100 million and a billion codes, by the formula that chooses the number of blocks, scaled to
    what it was off by at the largest number measured."""
    blocks = neighbours.plan(count, 4) or 6
    off = got["cpu"] / (neighbours._join_cost(count, 4, blocks) / 1e9)
    rows = []
    for more in (100_000_000, 1_000_000_000):
        m = neighbours.plan(more, 4) or 0
        tables, bits = math.comb(m, 4), 64 * (m - 4) / m
        sort = neighbours._SORT * more * math.log2(more) / 1e9
        candidates = 1.6 * more**2 / 2 / 2**bits
        look = neighbours._CANDIDATE * candidates / 1e9
        rows.append(
            f"| {more:,} | {m} | {tables} x ({sort:.0f} s sorting + {candidates:.1e} candidates x "
            f"{neighbours._CANDIDATE:.0f} ns = {look:.0f} s) x {off:.2f} "
            f"| {off * tables * (sort + look) / 3600:.1f} "
            f"| {more * got['bytes'] / count / 1e9:.0f} |"
        )
    return [
        "More, on paper: of m blocks 4 may differ, so C(m, 4) tables; each is one sort "
        f"({neighbours._SORT} ns x N log2 N) and 1.6 x N^2 / 2 / 2^(64 (m - 4) / m) candidates to "
        f"compare. The whole is scaled by {off:.2f}, which is by how much the formula was off at "
        f"{count:,}. Memory by the bytes a code there.",
        "",
        "| codes | m | arithmetic | core hours | GB |",
        "|---|---|---|---|---|",
        *rows,
        "",
        "The tables need nothing of each other, so they can be spread over cores and machines, "
        "each with a copy of the codes (8 bytes each); only the pairs are brought together. A "
        "billion 64-bit codes have more near pairs by chance (5e17 pairs x 680,000 codes within "
        f"4 bits / 2^64 = {5e17 * 679_121 / 2**64:.0e}) than copies worth finding: at that size a "
        "longer hash is wanted before a quicker search.",
        "",
    ]


# --------------------------------------------------------------------------- a folder


def whole_folder(photos: list[Path], work: Path, bench: Bench) -> Part:
    """From files to the review page on two cores, nothing cached."""
    folder, cores = work / "many", sorted(os.sched_getaffinity(0))[:2]
    pictures.many(photos, folder, bench.files, len(cores))
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        got = child("folder.py", folder, len(cores))
    finally:
        os.sched_setaffinity(0, before)
    seconds, cpu = got["whole"]
    counts = ", ".join(f"{name} {value:,}" for name, value in got["counts"].items())
    lines = [
        f"## {bench.files:,} photos of 500 px, end to end",
        "",
        f"{pictures.megabytes(folder):.0f} MB of JPEGs of 500x375, each two parts of two photos "
        "shone through each other; one in a hundred is a copy saved again, one in a thousand is "
        f"cut short. {len(cores)} worker processes on {len(cores)} cores, nothing cached but the "
        "files themselves by the system.",
        "",
        "| step | seconds | CPU seconds |",
        "|---|---|---|",
        *(f"| {name} | {wall:.1f} | {used:.1f} |" for name, (wall, used) in got["steps"].items()),
        f"| the whole | **{seconds:.1f}** | {cpu:.1f} |",
        "",
        f"Judged: {counts}.",
        "",
    ]
    demand = f"{bench.files:,} photos of 500 px within 90 seconds on two cores"
    value = f"{seconds:.0f} s ({cpu / len(cores):.0f} s of CPU a core)"
    return Part(lines, [(demand, value, seconds <= 90 and len(cores) <= 2)])


if __name__ == "__main__":
    main()
