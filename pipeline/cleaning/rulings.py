"""What becomes of each file: a person's word, else its faults, else what it is a copy of."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.cleaning import measure, policy, quality
from pipeline.cleaning.collage_model import LINE
from pipeline.cleaning.duplicates import Pairs, Stars, components, stars
from pipeline.cleaning.files import File
from pipeline.cleaning.overrides import Override, Wishes
from pipeline.cleaning.verdicts import FAULTS, Cell, Row, breed_of, tabulate
from pipeline.params import DedupeParams


@dataclass
class _Content:
    """What is known about one content (sha256) and the files that hold it."""

    rows: list[Row] = field(default_factory=list)
    reason: str | None = None
    detail: str = ""
    forced: bool = False  # a person wants it kept
    leader: Row | None = None  # the file that stands for it in the search


@dataclass(frozen=True)
class Sheet:
    """A collage whose cells are to become pictures: a file of it for each breed it lies under."""

    sha256: str
    files: dict[str, File]


def decide(
    files: list[File],
    measured: pd.DataFrame,
    collage: np.ndarray,
    pairs: Pairs,
    wishes: Wishes,
    params: DedupeParams,
    cells: list[Cell] | None = None,
) -> pd.DataFrame:
    """The decisions, sorted by path.

    Args:
        files: what was found, and behind it the files of ``cells``, as ``wishes`` counts them.
        measured: a row per content, indexed by sha256, as ``work.measurements`` gives.
        collage: for each of those rows the evidence in [0, 1] that it is a collage.
        pairs: which of those rows show the same photo.
        cells: what was cut from collages; None if nothing was to be cut.
    """
    findings = quality.judge(measured, params)
    rows, contents = _rule(files, measured, findings, collage, wishes, params, cells or [])
    if cells is not None:
        _count_cells(rows, cells)
    among = _compare(contents, measured, pairs)
    _number_clusters(rows)
    _mark_links(contents, among)
    _number_groups(rows, contents, pairs)
    return tabulate(rows, measured, findings, collage)


def sheets(
    files: list[File],
    measured: pd.DataFrame,
    collage: np.ndarray,
    wishes: Wishes,
    params: DedupeParams,
) -> list[Sheet]:
    """The collages that are dropped as such: not one that a person keeps, nor a file of one that a
    person drops."""
    findings = quality.judge(measured, params)
    _, contents = _rule(files, measured, findings, collage, wishes, params, [])
    found = []
    for sha, content in zip(measured.index, contents, strict=True):
        places: dict[str, File] = {}
        for row in content.rows:
            if row.reason == "collage":
                places.setdefault(row.breed, row.file)
        if places and not content.forced:
            found.append(Sheet(sha, places))
    return found


def without(pairs: Pairs, distinct: set[tuple[str, str]], shas: Iterable[str]) -> Pairs:
    """The pairs without those that a person called distinct. ``shas``: of the rows they count."""
    place = {sha: k for k, sha in enumerate(shas)}
    known = [(place[a], place[b]) for a, b in distinct if a in place and b in place]
    gone = {(min(i, j), max(i, j)) for i, j in known}
    stay = np.array(
        [pair not in gone for pair in zip(pairs.i.tolist(), pairs.j.tolist(), strict=True)], bool
    )
    return Pairs(*(getattr(pairs, column.name)[stay] for column in dataclasses.fields(Pairs)))


def _rule(
    files: list[File],
    measured: pd.DataFrame,
    findings: pd.DataFrame,
    collage: np.ndarray,
    wishes: Wishes,
    params: DedupeParams,
    cells: list[Cell],
) -> tuple[list[Row], list[_Content]]:
    """Rows, sorted by path, and contents by what they are and what a person says of them."""
    position = {sha: k for k, sha in enumerate(measured.index)}
    cut = {cell.file.name: cell for cell in cells}
    facts = zip(measured.itertuples(), findings.to_dict("records"), collage.tolist(), strict=True)
    contents = [_judge(row, found, score, params) for row, found, score in facts]
    rows = []
    for index, file in sorted(enumerate(files), key=lambda item: item[1].name):
        cell = cut.get(file.name)
        breed = breed_of(file.name) if cell is None else cell.breed
        row = Row(file, position.get(file.sha256 or "", -1), breed, cell)
        _judge_file(row, contents, wishes.files.get(index))
        rows.append(row)
    return rows, contents


def _judge(row: Any, found: dict[Any, Any], collage: float, params: DedupeParams) -> _Content:
    """What the content alone says: broken, faulty, a collage, or nothing against it."""
    if isinstance(row.fault, str):
        return _Content(reason="corrupt", detail=row.fault)
    for fault in FAULTS:
        if found[f"is_{fault}"] and fault in params.drop:
            score = float(found[f"{fault}_score"])
            return _Content(reason=fault, detail=_why(fault, row.width, row.height, score, params))
    if params.collage != "keep" and collage >= LINE:
        return _Content(reason="collage", detail=f"evidence of joins {collage:.2f}")
    return _Content()


def _why(fault: str, width: int, height: int, score: float, params: DedupeParams) -> str:
    short, long = sorted((int(width), int(height)))
    if fault == "too_small":
        return f"shorter side {short}, min_side is {params.min_side}"
    if fault == "odd_aspect":
        return (
            f"{width}x{height} is {long / short:.3g} times as long as wide, max_aspect is "
            f"{params.max_aspect:g}: its centre square shows too little of it"
        )
    return f"score {score:.2f}, quality.{fault} is {getattr(params.quality, fault):g}"


def _judge_file(row: Row, contents: list[_Content], wish: Override | None) -> None:
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
    row.keep, row.reason, row.detail = bool(wish.keep), "override", wish.why
    content.forced |= row.keep


def _count_cells(rows: list[Row], cells: list[Cell]) -> None:
    """Say of each collage how many cells came of it."""
    whole = {row.file.name: row.file.sha256 for row in rows}
    # Under two breeds the same cells are cut twice.
    cut = Counter(sha for sha, _ in {(whole[cell.part_of], cell.box) for cell in cells})
    for row in rows:
        if row.reason == "collage":
            count = cut[row.file.sha256]
            said = (
                f"{count} cell{'s' * (count > 1)} cut out of it" if count else "nothing to cut out"
            )
            row.detail += f"; {said}"


def _compare(contents: list[_Content], measured: pd.DataFrame, pairs: Pairs) -> Pairs:
    """Choose among duplicates of what may stay, and mark the files. The pairs among them."""
    for content in contents:
        content.leader = _leader(content)
    chosen = [k for k, content in enumerate(contents) if content.leader is not None]
    pool = [contents[k] for k in chosen]
    among = pairs.among(np.array(chosen, dtype=np.int64))
    ranking = _rank(pool, measured.iloc[chosen], among)
    found = stars(len(pool), among, ranking.order, [content.forced for content in pool])
    for at in ranking.order.tolist():  # a cluster is passed on from what stays
        _mark(pool, at, found, among, ranking)
    return dataclasses.replace(
        among, i=np.array(chosen, np.int64)[among.i], j=np.array(chosen, np.int64)[among.j]
    )


def _rank(pool: list[_Content], measured: pd.DataFrame, pairs: Pairs) -> policy.Ranking:
    leaders = [content.leader for content in pool if content.leader is not None]
    return policy.rank(
        measured,
        measure.unpack_greys(measured["greys"]).whole,
        components(len(pool), pairs),
        [content.forced for content in pool],
        [row.file.bytes for row in leaders],
        [row.file.name for row in leaders],
        [row.cell is not None for row in leaders],
    )


def _leader(content: _Content) -> Row | None:
    """The file that stays if its content does: one a person wants, else one that is no cell, else
    the first by name."""
    staying = [row for row in content.rows if row.keep]
    return min(
        staying, key=lambda row: (row.reason != "override", row.cell is not None), default=None
    )


def _mark(pool: list[_Content], at: int, chosen: Stars, pairs: Pairs, rank: policy.Ranking) -> None:
    """Write what the search found on the files of one content."""
    content = pool[at]
    leader, pair = content.leader, int(chosen.pair[at])
    assert leader is not None
    head, cluster = leader, id(leader)  # made small and stable in `_number_clusters`
    if pair >= 0:
        other = pool[int(chosen.kept[at])].leader
        assert other is not None
        head, cluster = other, other.cluster
        leader.nearest, leader.distance = head.file.name, int(pairs.distance[pair])
        leader.correlation = round(float(pairs.correlation[pair]), 4)
        if leader.reason != "override":
            leader.keep, leader.reason = False, "near_duplicate"
            variant = str(pairs.variant[pair])
            how = "" if variant == "whole" else f" ({_VARIANT_WORDS[variant]})"
            leader.detail = (
                f"{leader.distance} bits, correlation {leader.correlation:.2f}{how}; "
                f"what stays {rank.why(int(chosen.kept[at]), at)}"
            )
    for row in content.rows:
        row.cluster = cluster
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


def _number_clusters(rows: Iterable[Row]) -> None:
    """Number clusters of two files and more from 0 in the order of their first path."""
    members: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if row.cluster != -1:
            members[row.cluster].append(row)
    number = 0
    for group in members.values():
        conflict = len({row.breed for row in group}) > 1
        for row in group:
            row.cluster = number if len(group) > 1 else -1
            row.conflict = conflict
        number += len(group) > 1


def _mark_links(contents: list[_Content], pairs: Pairs) -> None:
    """Label conflicts between clusters: of two pictures that are like each other, each may have
    been given up for another one."""
    for i, j in zip(pairs.i.tolist(), pairs.j.tolist(), strict=True):
        linked = contents[i].rows + contents[j].rows
        if len({row.breed for row in linked}) > 1:
            for row in linked:
                row.conflict = True


def _number_groups(rows: list[Row], contents: list[_Content], pairs: Pairs) -> None:
    """Number what links of likeness connect, however far and through whatever was dropped
    (``linked``), and the same with the cells of a sheet linked too, as they often show one dog
    (``group``)."""
    for row, number in zip(rows, _linked(rows, len(contents), pairs.i, pairs.j), strict=True):
        row.linked = number
    at = {row.file.name: row.content for row in rows}
    cells = [row for row in rows if row.cell is not None and row.content >= 0]
    sheet = [(row.content, at[row.cell.part_of]) for row in cells if row.cell is not None]
    i = np.array([*pairs.i, *(a for a, _ in sheet)], np.int64)
    j = np.array([*pairs.j, *(b for _, b in sheet)], np.int64)
    for row, number in zip(rows, _linked(rows, len(contents), i, j), strict=True):
        row.group = number


def _linked(rows: list[Row], size: int, i: np.ndarray, j: np.ndarray) -> list[int]:
    """For each row the number of what links between contents connect it with, from 0 in the order
    of first paths; -1 where it is alone."""
    links = coo_array((np.ones(len(i)), (i, j)), shape=(size, size))
    component = connected_components(links, directed=False)[1]
    members: dict[int, list[int]] = defaultdict(list)
    for k, row in enumerate(rows):
        if row.content >= 0:
            members[int(component[row.content])].append(k)
    numbers = [-1] * len(rows)
    several = [group for group in members.values() if len(group) > 1]
    for number, group in enumerate(several):
        for k in group:
            numbers[k] = number
    return numbers
