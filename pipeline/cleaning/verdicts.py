"""One row per file: keep or drop, for one reason, with the numbers behind it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from pipeline.cleaning import hashing, measure, policy
from pipeline.cleaning.collage_model import LINE
from pipeline.cleaning.duplicates import FLAT, Pairs, Stars, components, stars
from pipeline.cleaning.overrides import Override, match
from pipeline.cleaning.work import File
from pipeline.params import DedupeParams

REASONS = (
    "kept",
    "corrupt",
    "too_small",
    "exact_duplicate",
    "near_duplicate",
    "collage",
    "override",
)
_DTYPES = {
    "path": "str",
    "breed": "str",
    "sha256": "str",
    "keep": "bool",
    "reason": "str",
    "cluster": "int64",
    "nearest": "str",
    "distance": "Int64",
    "width": "Int64",
    "height": "Int64",
    "format": "str",
    "phash": "str",
    "detail": "str",
    "conflict": "bool",
    "std": "float64",
    "sharpness": "float64",
    "seam": "float64",
    "collage": "float64",
    "correlation": "float64",
}


@dataclass
class _Row:
    """A decision in the making, about one file."""

    file: File
    content: int  # row of the measurements; -1 for what could not be read
    keep: bool = True
    reason: str = "kept"
    detail: str = ""
    cluster: int = -1
    conflict: bool = False
    nearest: str | None = None
    distance: int | None = None
    correlation: float | None = None


@dataclass
class _Content:
    """What is known about one content (sha256) and the files that hold it."""

    rows: list[_Row] = field(default_factory=list)
    reason: str | None = None
    detail: str = ""
    forced: bool = False  # a person wants it kept
    leader: _Row | None = None  # the file that stands for it in the search


def decide(
    files: list[File],
    measured: pd.DataFrame,
    collage: np.ndarray,
    pairs: Pairs,
    overrides: list[Override],
    params: DedupeParams,
) -> tuple[pd.DataFrame, list[Override]]:
    """The decisions, sorted by path, and the overrides that name no file.

    Args:
        measured: a row per content, indexed by sha256, as ``work.measurements`` gives.
        collage: for each of those rows the evidence in [0, 1] that it is a collage.
        pairs: which of those rows show the same photo.
    """
    position = {sha: k for k, sha in enumerate(measured.index)}
    files = sorted(files, key=lambda file: file.name)
    rows = [_Row(file, position.get(file.sha256, -1)) for file in files]
    wishes, idle = match(overrides, [f.name for f in files], [f.sha256 for f in files])
    contents = [
        _judge(measured_row, score, params)
        for measured_row, score in zip(measured.itertuples(), collage.tolist(), strict=True)
    ]
    for index, row in enumerate(rows):
        _judge_file(row, contents, wishes.get(index))
    _compare(contents, measured, pairs)
    _number_clusters(rows)
    return _table(rows, measured, collage), idle


def _judge(row: object, collage: float, params: DedupeParams) -> _Content:
    """What the content alone says: broken, too small, a collage, or nothing against it."""
    fault, width, height = (getattr(row, name) for name in ("fault", "width", "height"))
    if isinstance(fault, str):
        return _Content(reason="corrupt", detail=fault)
    short, long = sorted((int(width), int(height)))
    if short < params.min_side:
        return _Content(
            reason="too_small", detail=f"shorter side {short}, min_side is {params.min_side}"
        )
    if long > params.max_aspect * short:
        return _Content(
            reason="too_small",
            detail=f"{width}x{height} is {long / short:.3g} times as long as wide, max_aspect is "
            f"{params.max_aspect:g}: its centre square shows too little of it",
        )
    if params.collage != "keep" and collage >= LINE:
        return _Content(reason="collage", detail=f"evidence of joins {collage:.2f}")
    return _Content()


def _judge_file(row: _Row, contents: list[_Content], wish: Override | None) -> None:
    """Give a file its content's verdict, or a person's."""
    if row.content < 0:
        row.keep, row.reason, row.detail = False, "corrupt", row.file.fault or "cannot be read"
        return
    content = contents[row.content]
    content.rows.append(row)
    if content.reason is not None:
        row.keep, row.reason, row.detail = False, content.reason, content.detail
    if wish is None:
        return
    if wish.keep and content.reason == "corrupt":
        row.detail += " (overrides.csv says keep, but there is no picture to keep)"
        return
    row.keep, row.reason, row.detail = wish.keep, "override", wish.why
    content.forced |= wish.keep


def _compare(contents: list[_Content], measured: pd.DataFrame, pairs: Pairs) -> None:
    """Choose among duplicates of what may stay, and mark the files."""
    for content in contents:
        content.leader = _leader(content)
    pool = [k for k, content in enumerate(contents) if content.leader is not None]
    pairs = pairs.among(np.array(pool, dtype=np.int64))
    ranking = _rank([contents[k] for k in pool], measured.iloc[pool], pairs)
    chosen = stars(len(pool), pairs, ranking.order)
    for at, k in enumerate(pool):
        _mark(contents, pool, at, contents[k], chosen, pairs, ranking)


def _rank(pool: list[_Content], measured: pd.DataFrame, pairs: Pairs) -> policy.Ranking:
    files = [content.leader.file for content in pool if content.leader is not None]
    return policy.rank(
        measured,
        measure.unpack_greys(measured["greys"]).whole,
        components(len(pool), pairs),
        [content.forced for content in pool],
        [file.bytes for file in files],
        [file.name for file in files],
    )


def _leader(content: _Content) -> _Row | None:
    """The file that stays if its content does: one a person wants, else the first by name."""
    staying = [row for row in content.rows if row.keep]
    wanted = [row for row in staying if row.reason == "override"]
    return next(iter(wanted or staying), None)


def _mark(
    contents: list[_Content],
    pool: list[int],
    at: int,
    content: _Content,
    chosen: Stars,
    pairs: Pairs,
    ranking: policy.Ranking,
) -> None:
    """Write what the search found on the files of one content."""
    leader, pair = content.leader, int(chosen.pair[at])
    assert leader is not None
    head = leader
    if pair >= 0:
        other = contents[pool[int(chosen.kept[at])]].leader
        assert other is not None
        head = other
        leader.nearest, leader.distance = head.file.name, int(pairs.distance[pair])
        leader.correlation = round(float(pairs.correlation[pair]), 4)
        if leader.reason != "override":
            leader.keep, leader.reason = False, "near_duplicate"
            variant = str(pairs.variant[pair])
            how = "" if variant == "whole" else f" ({_VARIANT_WORDS[variant]})"
            leader.detail = (
                f"{leader.distance} bits, correlation {leader.correlation:.2f}{how}; "
                f"what stays {ranking.why(int(chosen.kept[at]), at)}"
            )
    for row in content.rows:
        row.cluster = id(head)  # made small and stable in `_number_clusters`
        if row is leader or row.reason not in ("kept", "exact_duplicate"):
            continue
        row.keep, row.reason = False, "exact_duplicate"
        row.nearest, row.distance, row.correlation = head.file.name, 0, 1.0
        row.detail = f"same bytes as {leader.file.name}"
        if head is not leader:
            row.distance, row.correlation = leader.distance, leader.correlation


_VARIANT_WORDS = {
    "mirror": "mirrored",
    "crop5": "5 % cropped",
    "crop10": "10 % cropped",
    "crop15": "15 % cropped",
    "trim": "without its frame",
    "mirror+crop5": "mirrored, 5 % cropped",
    "mirror+crop10": "mirrored, 10 % cropped",
    "mirror+crop15": "mirrored, 15 % cropped",
    "mirror+trim": "mirrored, without its frame",
}


def breed_of(name: str) -> str:
    """The first folder of a path: the label its picture was found under; "" at the top."""
    first, slash, _ = name.partition("/")
    return first if slash else ""


def _number_clusters(rows: Iterable[_Row]) -> None:
    """Number clusters of two files and more from 0 in the order of their first path."""
    members: dict[int, list[_Row]] = defaultdict(list)
    for row in rows:
        if row.cluster != -1:
            members[row.cluster].append(row)
    number = 0
    for group in members.values():
        conflict = len({breed_of(row.file.name) for row in group}) > 1
        for row in group:
            row.cluster = number if len(group) > 1 else -1
            row.conflict = conflict
        number += len(group) > 1


def _table(rows: list[_Row], measured: pd.DataFrame, collage: np.ndarray) -> pd.DataFrame:
    facts = measured[["width", "height", "format", "std", "sharpness"]].to_dict("records")
    nothing = dict.fromkeys(("width", "height", "format", "std", "sharpness"))
    whole = np.flatnonzero(measured["fault"].isna())
    greys = measure.unpack_greys(measured["greys"].iloc[whole])
    codes = dict(zip(whole.tolist(), map(hashing.to_hex, hashing.phash(greys.whole)), strict=True))
    seam = [np.frombuffer(f, np.float32)[0] if f else None for f in measured["features"]]
    records = [
        (facts[row.content] if row.content >= 0 else nothing)
        | {
            "path": row.file.name,
            "breed": breed_of(row.file.name),
            "sha256": row.file.sha256,
            "keep": row.keep,
            "reason": row.reason,
            "cluster": row.cluster,
            "nearest": row.nearest,
            "distance": row.distance,
            "phash": codes.get(row.content),
            "detail": row.detail,
            "conflict": row.conflict,
            "seam": seam[row.content] if row.content >= 0 else None,
            "collage": collage[row.content] if row.content in codes else None,
            "correlation": row.correlation,
        }
        for row in rows
    ]
    table = pd.DataFrame(records, columns=list(_DTYPES))
    return table.astype(_DTYPES)


def counts(table: pd.DataFrame) -> dict[str, int]:
    """Files, kept files, files by reason (they add up), clusters and label conflicts."""
    reasons = table["reason"].value_counts()
    kept = table[table["keep"]]
    return {
        "files": len(table),
        "kept": len(kept),
        "dropped": len(table) - len(kept),
        **{f"reason_{name}": int(reasons.get(name, 0)) for name in REASONS},
        "clusters": int(table.loc[table["cluster"] >= 0, "cluster"].nunique()),
        "label_conflicts": int(table.loc[table["conflict"], "cluster"].nunique()),
        "flat": int((table["std"] < FLAT).sum()),
        "breeds": int(kept["breed"].nunique()),
    }
