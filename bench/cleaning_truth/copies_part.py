"""Near-duplicates: every photo beside its edited copies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cleaning_truth import edits, peers
from cleaning_truth.compose import copies
from cleaning_truth.intervals import share
from cleaning_truth.parts import Goal, Part, Run
from cleaning_truth.score import empty_clusters, judge_copies, lost_photos
from cleaning_truth.sheet import Strip

_LEAST, _LEAST_KIND, _MOST_LOST = 0.98, 0.93, 0.002


def measure_copies(run: Run) -> Part:
    folder = run.fresh("copies")
    truth = copies(run.photos, folder, edits.ALL, run.seed)
    table = run.clean(folder)
    judged = judge_copies(truth, table)
    codes = peers.plain_codes(folder / name for name in truth["path"])
    judged["bits"] = bits_from_original(truth, codes)
    judged.to_csv(run.work / "copies.csv", index=False)
    lines = [
        f"## Near-duplicates: {len(run.photos)} photos, {len(truth)} files",
        "",
        "Found: dropped for another picture of the same photo (or the one that stays). Shares in %",
        "of the files not dropped as collages or for a fault; bootstrap over photos.",
        "",
        f"| kind | plain pHash, distance {peers.PLAIN} | found | missed | foreign | called collage "
        "| other |",
        "|---|---|---|---|---|---|---|",
        *(kind_row(kind, judged[judged["kind"] == kind]) for kind in edits.KINDS),
        kind_row("all of these", judged[judged["kind"].isin(edits.KINDS)]),
        *(kind_row(kind, judged[judged["kind"] == kind]) for kind in [*edits.BESIDE, edits.TWO]),
        kind_row("originals", judged[judged["kind"] == "original"]),
        "",
        f"Which picture of a photo stays: {kept_kinds(judged)}.",
        "",
        *side_by_side(run, judged, codes, folder),
    ]
    fails, strips = failures(judged, folder)
    return Part(goals(judged, truth, codes), lines, fails, strips)


def bits_from_original(truth: pd.DataFrame, codes: np.ndarray) -> np.ndarray:
    """Plain pHash's distance between each file and its photo's original."""
    first = truth["kind"] == "original"
    of = dict(zip(truth.loc[first, "photo"], codes[first.to_numpy()], strict=True))
    return np.bitwise_count(codes ^ np.array([of[photo] for photo in truth["photo"]], np.uint64))


def seen(judged: pd.DataFrame) -> pd.DataFrame:
    """The files about which the decision says something on duplicates."""
    return judged[judged["verdict"].isin(["found", "missed", "foreign"])]


def kind_row(name: str, files: pd.DataFrame) -> str:
    some = seen(files)
    ours = share(some["verdict"] == "found", some["photo"])
    plain = share(files["bits"] <= peers.PLAIN, files["photo"])
    count = files["verdict"].value_counts().get
    others = [str(count(word, 0)) for word in ("missed", "foreign", "collage", "other")]
    return f"| {name} | {plain} | **{ours}** | {' | '.join(others)} |"


def goals(judged: pd.DataFrame, truth: pd.DataFrame, codes: np.ndarray) -> list[Goal]:
    made = judged[judged["kind"].isin(edits.KINDS)]
    some = seen(made)
    right = some["verdict"] == "found"
    by_kind = right.groupby(some["kind"]).mean()
    weakest = some["kind"] == str(by_kind.idxmin())
    near = made["bits"] <= peers.PLAIN
    plain_by = near.groupby(made["kind"]).mean()
    lost = lost_photos(judged)
    first = (truth["kind"] == "original").to_numpy()
    apart = np.bitwise_count(codes[first][:, None] ^ codes[first][None])
    np.fill_diagonal(apart, 64)
    confused = (apart <= peers.PLAIN).any(axis=1).mean()
    return [
        Goal(
            "near-duplicates removed, %",
            str(share(near, made["photo"])),
            share(right, some["photo"]),
            least=_LEAST,
        ),
        Goal(
            f"the weakest kind ({by_kind.idxmin()}), %",
            f"{100 * plain_by.min():.1f} ({plain_by.idxmin()})",
            share(right[weakest], some.loc[weakest, "photo"]),
            least=_LEAST_KIND,
        ),
        Goal(
            "single photos lost as duplicates, %",
            f"{100 * confused:.1f}",
            share(lost, lost.index.to_series()),
            most=_MOST_LOST,
        ),
        Goal("clusters left with no kept picture", "0", empty_clusters(judged), most=0),
    ]


def kept_kinds(judged: pd.DataFrame) -> str:
    """How often the best picture of a photo is the original, and which copies are preferred."""
    stays = judged[judged["keep"] & (judged["verdict"] == "found")]
    return ", ".join(f"{kind} {count}" for kind, count in stays["kind"].value_counts().items())


def side_by_side(run: Run, judged: pd.DataFrame, codes: np.ndarray, folder: Path) -> list[str]:
    """The same files given to other tools."""
    plain = peers.plain_pairs(judged["path"].tolist(), codes)
    others, missing = peers.peer_pairs(folder, run.params.workers or 2)
    named = {f"imagehash in a loop, distance {peers.PLAIN}": plain} | others
    rows = [(title, judged, pairs) for title, pairs in named.items()]
    rows.append(("**ours**", seen(judged), peers.cluster_pairs(seen(judged))))
    lines = [
        "### Side by side, each at its defaults",
        "",
        "Linked: the copy is named a duplicate of its original (ours: in one cluster; of the files",
        "not dropped as collages or for a fault). Right: of all pairs named, those of one photo.",
        "",
        "| tool | copies linked, % | weakest kind | pairs named | right, % |",
        "|---|---|---|---|---|",
    ]
    for title, files, pairs in rows:
        linked, weakest, right = peers.compare(files, pairs, edits.KINDS)
        lines.append(f"| {title} | {linked} | {weakest} | {len(pairs):,} | {right} |")
    if missing:
        lines += ["", f"Not installed, so not compared: {', '.join(missing)}."]
    return [*lines, ""]


def failures(judged: pd.DataFrame, folder: Path) -> tuple[list[str], list[Strip]]:
    """The copies not found, by kind, and pairs (the photo, the copy) for the picture."""
    original = judged[judged["kind"] == "original"].set_index("photo")["path"]
    wrong = judged[judged["verdict"].isin(["missed", "foreign"])].sort_values("photo")
    lines, strips = [], []
    for kind, count in wrong["kind"].value_counts().items():
        some = wrong[wrong["kind"] == kind].head(5)
        told = [f"{row.photo} ({row.verdict}, {row.bits} bits)" for row in some.itertuples()]
        lines.append(f"- {kind}: {count} not found: {', '.join(told)}")
        pictures = []
        for row in some.itertuples():
            pictures += [(folder / original[row.photo], ""), (folder / row.path, row.verdict)]
        strips.append(Strip(f"{kind}: {count} not found", pictures))
    lost = lost_photos(judged)
    lines += [f"- lost as a duplicate of another: {photo}" for photo in lost.index[lost]]
    return lines or ["- near-duplicates: none missed, none lost"], strips[:6]
