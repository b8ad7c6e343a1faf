"""How well a folder is cleaned: duplicates, collages and hostile files of known truth.

    python bench/cleaning.py [PHOTOS] [--half test] [--work DIR] [--out DIR]

The truth is composed from any folder of photos (without one: the embedded gallery's drawn dogs),
which are split into a tuning and a test half by the hash of their names before anything is made of
them. Prints the figures with 95 % bootstrap intervals beside what they are to reach, and adds a
dated report to bench/results/. The picture of the worst misses goes there only when its dogs are
drawn; that of real photos goes to --out (or --work). The report of one part (--only) goes to --out.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import PIL
from cleaning_truth.collages_part import measure_collages
from cleaning_truth.copies_part import measure_copies
from cleaning_truth.hostile_part import measure_hostile
from cleaning_truth.parts import Part, Run
from cleaning_truth.photos import draw_dogs, find_photos, halves
from cleaning_truth.sheet import write_sheet

from pipeline.params import DedupeParams

RESULTS = Path(__file__).resolve().parent / "results"
PARTS = {"copies": measure_copies, "collages": measure_collages, "hostile": measure_hostile}


def main() -> None:
    options = arguments()
    work = options.work or Path(tempfile.mkdtemp(prefix="cleaning-"))
    try:
        source = options.photos or draw_dogs(work / "drawn dogs")
        left_out = set(options.leave_out)
        photos = halves([photo for photo in find_photos(source) if photo.path.stem not in left_out])
        params = DedupeParams(workers=options.workers)
        run = Run(photos[options.half], work / options.half, params, options.seed)
        started = time.perf_counter()
        parts = [make(run) for name, make in PARTS.items() if options.only in (None, name)]
        report(options, run, parts, time.perf_counter() - started)
    finally:
        if options.work is None:
            shutil.rmtree(work)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", type=Path, nargs="?", help="a folder of single photos")
    parser.add_argument("--half", choices=("tuning", "test"), default="test")
    parser.add_argument("--only", choices=tuple(PARTS), help="one part of the report")
    parser.add_argument("--work", type=Path, help="keep the composed folders and the cache here")
    parser.add_argument("--out", type=Path, help="where the picture of real photos goes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument(
        "--leave-out", nargs="+", default=[], help="photos (by stem) that are themselves collages"
    )
    return parser.parse_args()


def report(options: argparse.Namespace, run: Run, parts: list[Part], seconds: float) -> None:
    """Print the report; write it and its picture where each belongs."""
    drawn = options.photos is None
    name = "gallery" if drawn else options.photos.resolve().name
    stem = f"{date.today()}-cleaning-{name}" + ("" if options.half == "test" else "-tuning")
    shown = drawn and options.only is None
    lines = [*head(name, options.half, run, seconds), *tables(parts)]
    if shown:
        lines.append(f"![the worst misses]({stem}.png)\n")
    text = "\n".join(lines)
    print(text)
    strips = [strip for part in parts for strip in part.strips]
    place = RESULTS if shown else options.out or options.work
    if place is not None:
        place.mkdir(parents=True, exist_ok=True)
        write_sheet(strips, place / f"{stem}.png")
    if options.only is None:
        (RESULTS / f"{stem}.md").write_text(text)
    elif options.out is not None:
        (options.out / f"{stem}-{options.only}.md").write_text(text)


def head(name: str, half: str, run: Run, seconds: float) -> list[str]:
    return [
        f"# Cleaning, {name}, {half} half, {date.today()}",
        "",
        f"`python bench/cleaning.py {' '.join(folder_named(sys.argv[1:]))}`",
        "",
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, Pillow {PIL.__version__}; {seconds:.0f} s with the "
        f"composing and the other tools. {len(run.photos)} photos. {run.params}",
        "",
    ]


def folder_named(arguments: list[str]) -> list[str]:
    """The arguments as given, folders by their last name alone: where they lie is nobody's news."""
    return [Path(text).name if "/" in text else text for text in arguments]


def tables(parts: list[Part]) -> list[str]:
    """The goals, each part's own tables, and where it fails."""
    lines = [
        "| figure | plain pHash, distance 8 | ours [95 %] | to reach | met? |",
        "|---|---|---|---|---|",
        *(goal.row() for part in parts for goal in part.goals),
        "",
        *(line for part in parts for line in part.lines),
        "## Where it fails",
        "",
        *(line for part in parts for line in part.fails),
        "",
    ]
    return lines


if __name__ == "__main__":
    main()
