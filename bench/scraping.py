"""How fast pictures are found and fetched, beside other scrapers, on one machine without network.

    python bench/scraping.py [--quick]

Local servers in processes of their own stand in for the web (bench/scraping_parts/). Every client
gets the same files at the same number of connections, and each file's sha256 is verified. Peers
(icrawler, gallery-dl) take part where they are installed. Prints a report and adds it, dated, to
bench/results/.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from reporting.parts import Part, processor, report, show, versions
from scraping_parts.clients import NEEDS
from scraping_parts.site import TILES, digest

from pipeline.scraping.browser import Browser
from pipeline.scraping.page import visit
from pipeline.scraping.sources import load_source

ROOT = Path(__file__).resolve().parent.parent
PARTS = Path(__file__).resolve().parent / "scraping_parts"
GALLERY_TILES = 400
# The first scraper (notes): a click and a sleep of 1 s for each tile, and a Chrome started and
# ended for each picture (0.68 s median), before a byte is fetched.
CLICK, CHROME = 1.0, 0.68


@dataclass(frozen=True)
class Job:
    """One list of files and how it may be fetched."""

    count: int
    kilobytes: int
    connections: int
    delay: float  # seconds the server waits before each answer


@dataclass(frozen=True)
class Bench:
    """How thoroughly: files are divided by ``shrink``, the median of ``rounds`` is kept."""

    shrink: int
    rounds: int


@dataclass(frozen=True)
class Measured:
    seconds: float  # from the first request to the last answer, as the server sees it
    whole: float  # of the process, start and end included
    cpu: float
    server_cpu: float
    peak: float  # MB of memory of the client
    most_at_once: int
    note: str
    rate: float  # pictures a second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the files, to try it out")
    options = parser.parse_args()
    bench = Bench(10, 1) if options.quick else Bench(1, 3)
    busy = os.getloadavg()[0]
    with server("site.py") as site, server("gallery.py", str(GALLERY_TILES)) as gallery:
        parts = [
            discovery(site, gallery),
            peers(site, bench),
            first_manner(site, bench),
            latency(site, bench),
            memory(site, bench),
        ]
    show(report("Scraping", setting(busy), parts), "scraping", keep=not options.quick)


@contextlib.contextmanager
def server(script: str, *arguments: str) -> Iterator[str]:
    """The address of a server of scraping_parts, running while the context lasts."""
    process = subprocess.Popen(
        [sys.executable, str(PARTS / script), *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def ask(url: str) -> bytes:
    with urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


# --------------------------------------------------------------------------- discovery


def discovery(site: str, gallery: str) -> Part:
    """Tiles a second of one visit, page load and scrolling included, best of three."""
    rows, rates = [], []
    with tempfile.TemporaryDirectory() as folder, Browser(Path(folder) / "records") as browser:
        for name, base, wanted in (
            ("static", site, TILES),
            ("gallery", gallery, GALLERY_TILES),
        ):
            source = load_source(name, PARTS)
            search = source.searches("beagle", ["beagle dog"], base)[0]
            times = []
            for _ in range(3):
                started = time.perf_counter()
                found = visit(browser.driver, source, search, wanted, Path(folder) / "evidence")
                times.append(time.perf_counter() - started)
                complete = len({each.image_url for each in found.candidates})
                assert complete == wanted, f"{name}: {found.outcome}: {complete}: {found.detail}"
            rates.append(wanted / min(times))
            rows.append(f"| {name} | {wanted} | {min(times):.2f} | {rates[-1]:.0f} |")
    lines = [
        "## Discovery",
        "",
        "One visit in one headless Chromium, from the address to the list of candidates. `static`: "
        "a page that grows by 40 tiles as one scrolls. `gallery`: the embedded site (24 at a time, "
        'a "show more" button, and a page of details fetched for each tile).',
        "",
        "| site | tiles | seconds (best of 3) | tiles a second |",
        "|---|---|---|---|",
        *rows,
        "",
    ]
    found = " and ".join(f"{rate:.0f}" for rate in rates)
    return Part(lines, [("discovery: 80 tiles a second with scrolling", found, min(rates) >= 80)])


# --------------------------------------------------------------------------- downloads


def measure(kind: str, site: str, job: Job) -> Measured | None:
    """One client fetching one job; None if it is not installed. Every file is verified."""
    if kind in NEEDS and importlib.util.find_spec(NEEDS[kind]) is None:
        return None
    urls = [f"{site}/file/{job.kilobytes}/{number}.jpg" for number in range(job.count)]
    ask(f"{site}/reset?delay={job.delay}")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, str(PARTS / "clients.py"), kind, str(job.connections), folder],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write("\n".join(urls))
        process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        whole = time.perf_counter() - started
        assert process.returncode == 0, f"{kind} failed"
        stats = json.loads(ask(f"{site}/stats"))
        note = verify(Path(folder), job)
    return Measured(
        stats["seconds"],
        whole,
        usage.ru_utime + usage.ru_stime,
        stats["cpu"],
        usage.ru_maxrss / 1024,
        stats["most_at_once"],
        note,
        0.0 if note else job.count / stats["seconds"],
    )


def verify(folder: Path, job: Job) -> str:
    """What is not as it should be with the files, or nothing."""
    found = {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.jpg")
        if path.is_file()
    }
    missing = {digest(job.kilobytes, number) for number in range(job.count)} - found
    return f"**{len(missing)} files missing or damaged**" if missing else ""


def side_by_side(
    site: str, job: Job, kinds: list[str], rounds: int
) -> tuple[list[str], dict[str, float]]:
    """A row for each of ``kinds``, which take turns, and their pictures a second (medians)."""
    every = [{kind: measure(kind, site, job) for kind in kinds} for _ in range(rounds)]
    rows, rates = [], {}
    for kind in kinds:
        label = f"| {kind} | {job.connections} | {job.delay * 1000:.0f} "
        tries = sorted((got for each in every if (got := each[kind])), key=lambda got: got.rate)
        if not tries:
            rows.append(f"{label}| not installed | | | | | |")
            continue
        got = tries[len(tries) // 2]
        rates[kind] = got.rate
        rows.append(
            f"{label}| **{got.rate:.0f}** | {got.whole:.1f} | {got.cpu:.1f} | "
            f"{got.server_cpu:.1f} of {got.seconds:.1f} | "
            f"{got.most_at_once if job.delay else ''} | {got.note} |"
        )
        print(rows[-1], flush=True)
    return rows, rates


HEAD = [
    "| client | connections | latency, ms | pictures a second | process, s | its CPU, s | "
    "server's CPU, s | most at once | |",
    "|---|---|---|---|---|---|---|---|---|",
]


def peers(site: str, bench: Bench) -> Part:
    """The same files at the same politeness, one connection a host and four."""
    rows: list[str] = []
    ratios: dict[str, list[float]] = {}
    for connections, delay, count in ((1, 0, 600), (4, 0, 1200), (1, 0.05, 200), (4, 0.05, 600)):
        job = Job(count // bench.shrink, 170, connections, delay)
        kinds = ["ours", "icrawler", "gallery-dl", *([] if delay else ["icrawler, checked"])]
        more, rates = side_by_side(site, job, kinds, bench.rounds)
        rows += more
        for kind, rate in rates.items():
            if kind != "ours" and rate:
                case = "at 50 ms latency" if delay else "where only CPU time counts (no latency)"
                ratios.setdefault(f"{kind} {case}", []).append(rates["ours"] / rate)
    lines = [
        "## Downloads beside peers",
        "",
        "Pictures of 170 kB, all sha256 verified. A second counts from the first request to the "
        "last answer, as the server sees them, so neither the start of a process nor icrawler's "
        "five idle seconds at its end are held against anybody. Ours decodes and hashes each "
        "picture meanwhile; icrawler and gallery-dl do neither, so `icrawler, checked` gets the "
        "same checks. gallery-dl has one connection: four are four processes.",
        "",
        *HEAD,
        *rows,
        "",
    ]
    # Where latency decides, equal clients differ by a percent or two.
    return Part(
        lines,
        [
            (f"downloads: at least equal to {peer}", f"{min(each):.2f} times", min(each) >= 0.98)
            for peer, each in ratios.items()
        ],
    )


def latency(site: str, bench: Bench) -> Part:
    job = Job(3000 // bench.shrink, 170, 64, 0.15)
    rows, rates = side_by_side(site, job, ["ours", "plain aiohttp", "icrawler"], bench.rounds)
    lines = [
        "## 64 connections, 150 ms latency",
        "",
        f"{job.count} pictures of 170 kB; at most {64 / 0.15:.0f} a second are possible. Plain "
        "aiohttp only writes what comes, and is the ceiling of whoever uses it.",
        "",
        *HEAD,
        *rows,
        "",
    ]
    demand = "64 connections, 150 ms latency: 300 pictures a second"
    return Part(lines, [(demand, f"{rates['ours']:.0f}", rates["ours"] >= 300)])


def first_manner(site: str, bench: Bench) -> Part:
    """A Chrome for each picture, measured on a few, and by the arithmetic of the notes."""
    few = max(2, 8 // bench.shrink)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        for number in range(few):
            with Browser(Path(folder) / "records", pictures=True) as browser:
                browser.driver.get(f"{site}/file/170/{number}.jpg")
            ask(f"{site}/file/170/{number}.jpg")
        mine = (time.perf_counter() - started) / few
    job = Job(600 // bench.shrink, 170, 4, 0.05)
    ours = measure("ours", site, job)
    assert ours is not None
    each = ours.seconds / job.count
    times = (CLICK + CHROME) / each
    lines = [
        "## The manner of the first scraper",
        "",
        f"Seconds a picture at four connections and 50 ms latency: ours {each:.4f}. One run.",
        "",
        "| a Chrome for each picture | seconds a picture | ours is quicker |",
        "|---|---|---|",
        f"| measured here on {few}: start, load, end, fetch | {mine:.2f} | "
        f"{mine / each:.0f} times |",
        f"| the same after a click's sleep of {CLICK:.0f} s | {mine + CLICK:.2f} | "
        f"{(mine + CLICK) / each:.0f} times |",
        f"| arithmetic: {CLICK} s + {CHROME} s, nothing fetched | {CLICK + CHROME:.2f} | "
        f"{times:.0f} times |",
        "",
    ]
    demand = "downloads: 4 times the first scraper's manner, by arithmetic"
    return Part(lines, [(demand, f"{times:.0f} times", times >= 4)])


def memory(site: str, bench: Bench) -> Part:
    rows, peaks = [], []
    for count in (1_000, 5_000, 20_000):
        job = Job(count // bench.shrink, 20, 16, 0)
        got = measure("ours", site, job)
        assert got is not None
        peaks.append(got.peak)
        rows.append(f"| {job.count:,} | {got.peak:.0f} | {got.rate:.0f} | {got.note} |")
        print(rows[-1], flush=True)
    lines = [
        "## Memory",
        "",
        "Peak of the downloading process (Python and its packages included); pictures of 20 kB, "
        "all addresses handed over at once. One run each.",
        "",
        "| pictures | peak, MB | pictures a second | |",
        "|---|---|---|---|",
        *rows,
        "",
    ]
    grown = peaks[-1] / peaks[0] - 1
    demand = "memory: flat from 1,000 to 20,000 pictures"
    return Part(lines, [(demand, f"{grown:+.0%}", grown < 0.1)])


# --------------------------------------------------------------------------- report


def setting(busy: float) -> str:
    packages = versions(("selenium", "aiohttp", "icrawler", "gallery-dl"))
    return (
        f"{processor()}, {os.cpu_count()} cores, {packages}. Clients and servers share the "
        "cores. Server: a bare asyncio protocol in a process of its own "
        "(bench/scraping_parts/site.py). "
        f"Load average before: {busy:.1f}. Medians of three unless said otherwise."
    )


if __name__ == "__main__":
    main()
