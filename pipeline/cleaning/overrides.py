"""overrides.csv: what a person decided. It wins over every automatic decision.

Columns ``item,decision,why`` and, for pairs, ``other``. An item is a path (as in the decisions) or
a sha256, or at least its first 8 digits; the decision is keep, drop, or distinct: the item and
``other`` do not show the same photo, however alike they look.
"""

from __future__ import annotations

import csv
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.workspace import read_bounded

_MOST_BYTES = 64 << 20  # a line for each of half a million pictures
HEADER = ["item", "decision", "why", "other"]
_DIGEST = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True)
class Override:
    """One line: the wish (``keep`` is None for a pair that is distinct), its reason, the line's
    number for messages, and the other one of a pair."""

    item: str
    keep: bool | None
    why: str
    line: int
    other: str = ""


@dataclass(frozen=True)
class Wishes:
    """What the lines mean for the files at hand.

    ``files``: by index of a file the line that decides about it. ``distinct``: pairs of sha256,
    the smaller first, that do not show the same photo. ``idle``: lines that name no file.
    """

    files: dict[int, Override] = field(default_factory=dict)
    distinct: set[tuple[str, str]] = field(default_factory=set)
    idle: list[Override] = field(default_factory=list)


def read_overrides(path: Path) -> list[Override]:
    """The lines of the file; none if there is no file.

    Raises:
        PipelineError: naming the line that cannot be understood.
    """
    if not path.exists():
        return []
    try:
        text = read_bounded(path, _MOST_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PipelineError(f"{path.name}: cannot be read as UTF-8 text ({reason})") from None
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    found = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if reader.line_num == 1 and cells in (HEADER, HEADER[:3]):
                continue
            found.append(_parse(cells, f"{path.name}, line {reader.line_num}", reader.line_num))
    except csv.Error as error:
        raise PipelineError(f"{path.name}, line {reader.line_num}: {error}") from None
    return found


def _parse(cells: list[str], where: str, line: int) -> Override:
    if not 2 <= len(cells) <= 4:
        raise PipelineError(
            f"{where}: got {len(cells)} columns, expected item,decision,why or "
            "item,decision,why,other (quote a text that has a comma)"
        )
    item, decision, why, other = (*cells, "", "")[:4]
    for folder in ("./", "data/raw/", "data/clean/"):
        item, other = item.removeprefix(folder), other.removeprefix(folder)
    if decision not in ("keep", "drop", "distinct"):
        raise PipelineError(f"{where}: decision is {decision!r}, expected keep, drop or distinct")
    if not item:
        raise PipelineError(f"{where}: item is empty, expected a path or a sha256")
    if decision != "distinct":
        if other:
            raise PipelineError(
                f"{where}: a fourth column belongs to distinct alone "
                "(quote a text that has a comma)"
            )
        return Override(item, decision == "keep", why, line)
    if not other:
        raise PipelineError(
            f"{where}: distinct needs the other picture, as {item},distinct,why,other"
        )
    if other == item:
        raise PipelineError(f"{where}: {item} cannot be distinct from itself")
    return Override(item, None, why, line, other)


def match(overrides: list[Override], names: Sequence[str], shas: Sequence[str | None]) -> Wishes:
    """Which files each override means, and the overrides that mean none.

    A line that names a path is about that file; one that names a sha256 is about every file with
    that content. Two lines that contradict each other: the later one wins, a path over a sha256.
    A pair is about contents, so it holds for every file that has them.

    Raises:
        PipelineError: a pair names two files that hold the same bytes.
    """
    by_name = {name: index for index, name in enumerate(names)}
    by_sha = sorted((sha, index) for index, sha in enumerate(shas) if sha is not None)
    wishes = Wishes()
    exact: dict[int, Override] = {}
    for override in overrides:
        hits = _files(override.item, by_name, by_sha)
        others = _files(override.other, by_name, by_sha) if override.keep is None else hits
        if not hits or not others:
            wishes.idle.append(override)
        elif override.keep is None:
            wishes.distinct.update(_pairs(override, hits, others, shas))
        else:
            chosen = exact if override.item in by_name else wishes.files
            chosen.update(dict.fromkeys(hits, override))
    wishes.files.update(exact)
    return wishes


def _files(item: str, by_name: dict[str, int], by_sha: list[tuple[str, int]]) -> list[int]:
    """The files that an item means, by name or by ``by_sha``, which is sorted."""
    if item in by_name:
        return [by_name[item]]
    digest = item.lower()
    if not _DIGEST.fullmatch(digest):
        return []
    # What starts with the digits stands together; "g" comes after every digit.
    some = by_sha[bisect_left(by_sha, (digest, -1)) : bisect_left(by_sha, (f"{digest}g", -1))]
    return sorted(index for _, index in some)


def _pairs(
    override: Override, hits: list[int], others: list[int], shas: Sequence[str | None]
) -> set[tuple[str, str]]:
    pairs = set()
    for one in {shas[k] for k in hits}:
        for two in {shas[k] for k in others}:
            if one is None or two is None:
                continue  # cannot be read, so nothing links it
            if one == two:
                raise PipelineError(
                    f"overrides.csv, line {override.line}: {override.item} and {override.other} "
                    "hold the same bytes and cannot be distinct; use keep to have both"
                )
            pairs.add((min(one, two), max(one, two)))
    return pairs
