"""How well a folder is cleaned: duplicates, collages and hostile files of known truth.

    python bench/cleaning.py [PHOTOS] [--half test] [--work DIR]

The truth is composed from any folder of photos (without one: the embedded gallery's drawn dogs),
which are split into a tuning and a test half by the hash of their names before anything is made of
them. Prints the figures and adds a dated report and a sheet of the worst misses to bench/results/.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd
import PIL
from cleaning_truth import collages, edits
from cleaning_truth.compose import batches, copies
from cleaning_truth.hostile import TWIN, Case, make_hostile
from cleaning_truth.photos import Photo, draw_dogs, find_photos, halves
from cleaning_truth.score import (
    area,
    empty_clusters,
    judge_copies,
    lost_photos,
    plain_phash,
    share,
    threshold_at,
)
from cleaning_truth.sheet import Strip, write_sheet

from pipeline.cleaning.collage_model import LINE
from pipeline.cleaning.decide import clean, decide_folder
from pipeline.params import DedupeParams

ROOT = Path(__file__).resolve().parent.parent
ALARMS = 0.01
PARTS = ("copies", "collages", "hostile")


@dataclass(frozen=True)
class Run:
    """What is the same for every folder of one measurement."""

    photos: dict[str, list[Photo]]
    work: Path
    params: DedupeParams
    seed: int

    def clean(self, folder: Path) -> pd.DataFrame:
        return clean(folder, self.params, cache=self.work / "cache").table


def main() -> None:
    options = arguments()
    work = options.work or Path(tempfile.mkdtemp(prefix="cleaning-"))
    source = options.photos or draw_dogs(work / "drawn dogs")
    left_out = set(options.leave_out)
    photos = halves([photo for photo in find_photos(source) if photo.path.stem not in left_out])
    run = Run(photos, work, DedupeParams(workers=options.workers), options.seed)
    name = "gallery" if options.photos is None else source.resolve().name
    started = time.perf_counter()
    try:
        lines, strips = measure(run, options.half, options.only)
        seconds = time.perf_counter() - started
        report(name, options.half, options.only, run, lines, strips, seconds)
    finally:
        if options.work is None:
            shutil.rmtree(work)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", type=Path, nargs="?", help="a folder of single photos")
    parser.add_argument("--half", choices=("tuning", "test"), default="test")
    parser.add_argument("--only", choices=PARTS, help="one part of the report")
    parser.add_argument("--work", type=Path, help="keep the composed folders and the cache here")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument(
        "--leave-out", nargs="+", default=[], help="photos (by stem) that are themselves collages"
    )
    return parser.parse_args()


def measure(run: Run, half: str, only: str | None) -> tuple[list[str], list[Strip]]:
    """The tables of the report and the strips of the sheet."""
    makers = dict(zip(PARTS, (measure_copies, measure_collages, measure_hostile), strict=True))
    parts = [make(run, half) for name, make in makers.items() if only in (None, name)]
    return [line for part in parts for line in part[0]], [s for part in parts for s in part[1]]


def fresh(run: Run, half: str, what: str) -> Path:
    folder = run.work / half / what
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def measure_copies(run: Run, half: str) -> tuple[list[str], list[Strip]]:
    folder = fresh(run, half, "copies")
    truth = copies(run.photos[half], folder, edits.ALL, run.seed)
    judged = judge_copies(truth, run.clean(folder))
    judged["plain"], confused = plain_phash(truth, folder)
    judged.to_csv(run.work / half / "copies.csv", index=False)
    lost = lost_photos(judged)
    of_issue = judged[judged["kind"].isin(edits.KINDS)]
    whole = judged["verdict"].isin(["found", "missed", "foreign"])

    def row(name: str, files: pd.DataFrame) -> str:
        seen = files[whole[files.index]]
        ours = share(seen["verdict"] == "found", seen["photo"])
        plain = share(files["plain"], files["photo"])
        count = files["verdict"].value_counts().get
        others = " | ".join(
            str(count(word, 0)) for word in ("missed", "foreign", "collage", "other")
        )
        return f"| {name} | {plain} | **{ours}** | {others} |"

    lines = [
        f"## Near-duplicates: {len(run.photos[half])} photos, {len(truth)} files",
        "",
        "Found: dropped for another picture of the same photo (or the one that stays). Shares in %",
        "of the files not dropped as collages, 95 % bootstrap intervals over photos.",
        "",
        f"| kind | plain pHash, distance {8} | found | missed | foreign | called collage | other |",
        "|---|---|---|---|---|---|---|",
        *(row(kind, judged[judged["kind"] == kind]) for kind in edits.KINDS),
        row("all of these", of_issue),
        *(row(kind, judged[judged["kind"] == kind]) for kind in [*edits.BESIDE, edits.TWO]),
        row("originals", judged[judged["kind"] == "original"]),
        "",
        f"- photos lost as duplicates of another: {share(lost, lost.index.to_series())} % "
        f"({int(lost.sum())}); plain pHash: {confused} originals within 8 bits of another's",
        f"- clusters left without a kept picture: {empty_clusters(judged)}",
        f"- which picture of a photo stays: {kept_kinds(judged)}",
        "",
    ]
    return lines, missed_copies(judged, folder)


def kept_kinds(judged: pd.DataFrame) -> str:
    """How often the best picture of a photo is the original, and which copies are preferred."""
    stays = judged[judged["keep"] & (judged["verdict"] == "found")]
    return ", ".join(f"{kind} {count}" for kind, count in stays["kind"].value_counts().items())


def missed_copies(judged: pd.DataFrame, folder: Path) -> list[Strip]:
    """Pairs (the photo, the copy that was not found), for the kinds with most misses."""
    original = judged[judged["kind"] == "original"].set_index("photo")["path"]
    bad = judged[judged["verdict"].isin(["missed", "foreign"]) & (judged["kind"] != "original")]
    strips = []
    for kind, count in bad["kind"].value_counts().head(6).items():
        some = bad[bad["kind"] == kind].sort_values("path").head(5)
        pictures = []
        for item in some.itertuples():
            pictures += [(folder / original[item.photo], ""), (folder / item.path, item.verdict)]
        strips.append(Strip(f"{kind}: {count} not found", pictures))
    return strips


def collage_scores(run: Run, half: str) -> pd.DataFrame:
    """Every file of every batch with its truth and the evidence against it."""
    tables = []
    for folder, truth in batches(run.photos[half], fresh(run, half, "collages"), run.seed):
        table = truth.merge(run.clean(folder), on="path", validate="one_to_one")
        table["path"] = [str(folder / name) for name in table["path"]]
        tables.append(table)
    scores = pd.concat(tables, ignore_index=True)
    scores.to_csv(run.work / half / "collages.csv", index=False)
    return scores


def measure_collages(run: Run, half: str) -> tuple[list[str], list[Strip]]:
    scores = collage_scores(run, half)
    tuned = scores if half == "tuning" else collage_scores(run, "tuning")
    strict = threshold_at(tuned.loc[tuned["kind"] == "single", "collage"], ALARMS)
    usual = LINE
    singles, again = (scores[scores["kind"] == kind] for kind in ("single", "again"))
    made = scores[scores["kind"].isin(collages.ALL)].copy()
    made["layout"] = made["kind"].str.partition(", ")[0]

    def row(name: str, some: pd.DataFrame, group: str = "path") -> str:
        at = [str(share(some["collage"] >= limit, some[group])) for limit in (usual, strict)]
        return f"| {name} | {len(some)} | {' | '.join(at)} |"

    straight = made[~made["layout"].isin(collages.LOOSE)]
    loose = made[made["layout"].isin(collages.LOOSE)]
    gaps = straight["kind"].str.contains("gutter")
    lines = [
        f"## Collages: {len(made)} in {collages_batches(scores)} folders, about one file in ten",
        "",
        f"Found in %, at the line each folder draws for itself ({usual:g}, dedupe.collage_alarms "
        f"{run.params.collage_alarms:g}) and at the one that 1 % of the",
        f"tuning half's single photos reach ({strict:.4f}). Area under the curve: straight joins "
        f"{area(singles['collage'], straight['collage']):.4f}, scattered and inset "
        f"{area(singles['collage'], loose['collage']):.4f}.",
        "",
        f"| layout | files | at {usual:g} | at 1 % false alarms |",
        "|---|---|---|---|",
        *(row(kind, made[made["layout"] == kind]) for kind in [*collages.STRAIGHT, "captioned"]),
        row("**straight joins, all**", straight),
        row("of these without a gutter", straight[~gaps]),
        row("of these with a gutter", straight[gaps]),
        *(row(kind, made[made["layout"] == kind]) for kind in collages.LOOSE),
        row("**scattered and inset**", loose),
        row("*false alarms:* single photos", singles, "photo"),
        row("*false alarms:* saved again", again, "photo"),
        "",
    ]
    return lines, wrong_collages(made, singles, strict)


def collages_batches(scores: pd.DataFrame) -> int:
    return scores["path"].map(lambda path: str(Path(path).parent)).nunique()


def wrong_collages(made: pd.DataFrame, singles: pd.DataFrame, limit: float) -> list[Strip]:
    """The least suspected collages of the weakest layouts, the most suspected single photos."""
    missed = made[made["collage"] < limit].sort_values("collage")
    strips = []
    for layout, count in missed["layout"].value_counts().head(5).items():
        some = missed[missed["layout"] == layout].head(10)
        pictures = [(Path(r.path), f"{r.collage:.3f}") for r in some.itertuples()]
        strips.append(Strip(f"{layout}: {count} not found", pictures))
    worst = singles.sort_values("collage", ascending=False).drop_duplicates("photo").head(10)
    alarms = [(Path(r.path), f"{r.collage:.3f}") for r in worst.itertuples()]
    return [*strips, Strip("single photos with the highest evidence", alarms)]


def measure_hostile(run: Run, half: str) -> tuple[list[str], list[Strip]]:
    folder = fresh(run, half, "hostile")
    cases = make_hostile(run.photos[half], folder, each=3)
    # The command's own function: it must end, and count every file.
    numbers = decide_folder(folder, run.work / half / "hostile.csv", run.params)
    # Whether a file is read rightly does not hang on what is made of its picture.
    only = dataclasses.replace(run, params=dataclasses.replace(run.params, collage=False))
    table = only.clean(folder).set_index("path")
    assert numbers["files"] == len(table) == len(list(folder.iterdir()))
    right = pd.Series([named(case, table) for case in cases])
    kind = pd.Series([case.kind for case in cases])
    twin = pd.Series([case.expect == TWIN for case in cases])
    wrong = [case for case, ok in zip(cases, right, strict=True) if not ok]
    lines = [
        f"## Hostile and odd files: {len(cases)} of {kind.nunique()} kinds",
        "",
        f"- broken or hostile, named as such: {share(right[~twin], kind[~twin])} % "
        f"of {int((~twin).sum())}",
        f"- odd but whole (CMYK, 16 bit, palette, EXIF, animated, …), read as the picture they "
        f"show: {share(right[twin], kind[twin])} % of {int(twin.sum())}",
        *(f"- wrong: {c.path}: {describe(table.loc[c.path])}" for c in wrong),
        "",
    ]
    return lines, []


def named(case: Case, table: pd.DataFrame) -> bool:
    """Whether a file got the verdict it deserves, and in words that say why."""
    row = table.loc[case.path]
    if case.expect == TWIN:
        return bool(row["cluster"] >= 0 and row["cluster"] == table.loc[case.twin, "cluster"])
    said = any(words in row["detail"].lower() for words in case.words.split("|"))
    return bool(row["reason"] == case.expect and said)


def describe(row: pd.Series) -> str:
    return f"{row['reason']} ({row['detail']})" if row["detail"] else str(row["reason"])


def report(
    name: str,
    half: str,
    only: str | None,
    run: Run,
    lines: list[str],
    strips: list[Strip],
    seconds: float,
) -> None:
    out = ROOT / "bench" / "results"
    stem = f"{date.today()}-cleaning-{name}" + ("" if half == "test" else f"-{half}")
    stem += "" if only is None else f"-{only}"
    out.mkdir(exist_ok=True)
    write_sheet(strips, out / f"{stem}.png")
    sizes = {key: len(part) for key, part in run.photos.items()}
    head = [
        f"# Cleaning, {name}, {half} half, {date.today()}",
        "",
        f"`python bench/cleaning.py {folder_named(sys.argv[1:])}`",
        "",
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, Pillow {PIL.__version__}; {seconds:.0f} s with the "
        f"composing. {sizes['tuning']} photos to tune, {sizes['test']} to test. {run.params}",
        "",
    ]
    text = "\n".join([*head, *lines, f"![the worst misses]({stem}.png)", ""])
    print(text)
    (out / f"{stem}.md").write_text(text)


def folder_named(arguments: list[str]) -> str:
    """The arguments as given, folders by their last name alone: where they lie is nobody's news."""
    return " ".join(Path(text).name if "/" in text else text for text in arguments)


if __name__ == "__main__":
    main()
