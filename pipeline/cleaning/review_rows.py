"""What the review page shows, as plain data: rows, sections of them, thumbnails as they are met."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from pipeline.cleaning.measure import unpack_seams
from pipeline.cleaning.verdicts import counts
from pipeline.params import QUALITIES

Item = int | str | list[Any]
"""A row by its number; a heading; or [[rows that belong together], what to say about them]."""

NEAREST = 24  # pictures and pairs shown on either side of a threshold
_NEARLY = 0.25  # evidence of joins from which a kept picture is worth a look

ABOUT = {
    "conflicts": (
        "Label conflicts",
        "One picture under several breeds. Keep the one with the right label: it then stays in "
        "place of the other.",
    ),
    "near_duplicate": (
        "Near-duplicates",
        "Copies that were resized, cropped, mirrored or saved again. What stays comes first.",
    ),
    "exact_duplicate": ("Exact duplicates", "Files with the same bytes. What stays comes first."),
    "collage": (
        "Collages",
        "Several pictures in one. Dashed lines are the joins that were found, green frames what "
        "was cut out: it stands beside its collage.",
    ),
    "blank": ("Blank", "Pictures that show next to nothing."),
    "dark": ("Dark", "Pictures in which little can be made out."),
    "blurred": ("Blurred", "Pictures without fine detail."),
    "text": ("Text", "Text, a logo or a screenshot rather than a photo."),
    "odd_aspect": ("Odd aspect", "So long or so tall that the centre square shows little of it."),
    "too_small": ("Too small", "The shorter side has too few pixels."),
    "corrupt": ("Corrupt", "Files that hold no whole picture, and what is wrong with each."),
    "override": ("Decided by a person", "A line of overrides.csv decided about these."),
    "nearly": (
        "Kept, but nearly called a collage",
        "The kept pictures with the strongest evidence of joins, the strongest first.",
    ),
    "weakest": (
        "Taken for the same picture, but only just",
        "The dropped near-duplicates least like what stays for them, the least like first.",
    ),
    "refused": (
        "Alike, but both kept",
        "Pairs whose hashes are close and which were still not taken for the same picture, the "
        "likest first.",
    ),
    "browse": ("Everything kept, by breed", "Any of these can be dropped."),
}


@dataclass(frozen=True)
class Section:
    """One part of the page. ``summary``: its size in words; ``items``: what it lists, in order."""

    name: str
    summary: str
    items: list[Item] = field(repr=False)

    @property
    def title(self) -> str:
        return ABOUT[self.name][0]

    @property
    def about(self) -> str:
        return ABOUT[self.name][1]

    def rows(self) -> Iterator[int]:
        """Every row it shows, in order."""
        for item in self.items:
            if isinstance(item, list):
                yield from item[0]
            elif isinstance(item, int):
                yield item


def override_item(path: str, sha256: str | None) -> str:
    """The first column of a file's line in overrides.csv, quoted where it must be.

    The reader of that file strips blanks, skips lines that start with # and takes these folders off
    the front of a path: a file with such a name is named by its sha256.
    """
    if sha256 and (path != path.strip() or path.startswith(("#", "data/raw/", "data/clean/"))):
        return sha256[:16]
    out = io.StringIO()
    # Some characters end a line for the reader which csv itself does not quote.
    lines = len(path.splitlines()) > 1
    csv.writer(
        out, lineterminator="", quoting=csv.QUOTE_ALL if lines else csv.QUOTE_MINIMAL
    ).writerow([path])
    return out.getvalue()


def override_line(path: str, keep: bool, sha256: str | None = None) -> str:
    """The line for overrides.csv that keeps or drops a file."""
    return f"{override_item(path, sha256)},{'keep' if keep else 'drop'},seen"


def rows(table: pd.DataFrame, thumbs: dict[str, int]) -> list[list[Any]]:
    """For each decision: path, breed, reason, keep, size, detail, kept twin (row or -1), thumbnail
    (number or -1), flags as [quality, score], then, where there is more to say, the item for
    overrides.csv if it is not the path, the collage it was cut from (row) and its place there."""
    number = {path: k for k, path in enumerate(table["path"])}
    shas = table["sha256"].tolist()
    return [_row(row, number, shas, thumbs) for row in table.to_dict("records")]


def _row(
    row: dict[Any, Any], number: dict[str, int], shas: list[Any], thumbs: dict[str, int]
) -> list[Any]:
    sha = row["sha256"] if isinstance(row["sha256"], str) else None
    flags = [
        [name, round(float(row[f"{name}_score"]), 2)] for name in QUALITIES if row[f"is_{name}"]
    ]
    twin = number.get(row["nearest"], -1) if isinstance(row["nearest"], str) else -1
    if twin >= 0 and shas[twin] == sha:
        twin = -1  # the same bytes are the same picture, whatever anybody says
    item = override_item(row["path"], sha)
    parent = number.get(row["part_of"], -1) if isinstance(row["part_of"], str) else -1
    found = [
        row["path"],
        row["breed"],
        row["reason"],
        int(row["keep"]),
        "" if pd.isna(row["width"]) else f"{row['width']}×{row['height']} {row['format']}",
        row["detail"] if isinstance(row["detail"], str) else "",
        twin,
        thumbs.get(sha, -1) if sha else -1,
        flags,
    ]
    if item == row["path"] and parent < 0:
        return found
    box = [float(share) for share in row["box"].split()] if parent >= 0 else None
    return [*found, item if item != row["path"] else None, parent, box]


def sections(table: pd.DataFrame, refused: list[tuple[int, int, str]]) -> list[Section]:
    """The parts of the page that have something to show, in order.

    Args:
        refused: pairs of rows that were not taken for the same picture, and what to say of each.
    """
    found = [*_clusters(table), _collages(table)]
    found += [_quality(table, name) for name in QUALITIES]
    for name in ("corrupt", "override"):
        some = _numbers(table.index[table["reason"] == name])
        found.append(Section(name, _count(len(some), "file"), list(some)))
    found += [_nearly(table), _weakest(table)]
    pairs: list[Item] = [[[a, b], note] for a, b, note in refused]
    found.append(Section("refused", _count(len(pairs), "pair"), pairs))
    found.append(_browse(table))
    return [section for section in found if section.items]


def _numbers(index: Iterable[Any]) -> list[int]:
    return [int(k) for k in index]


def _count(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _clusters(table: pd.DataFrame) -> list[Section]:
    """Groups across breeds, then the other clusters: with near-duplicates, of equal files alone.
    In each cluster what stays comes first."""
    torn = set(table.loc[table["conflict"] & (table["cluster"] >= 0), "cluster"])
    across = table["conflict"] | table["cluster"].isin(torn)
    some = table[across | (table["cluster"] >= 0)]
    conflict = across.tolist()
    order = ["linked", "cluster", "keep", "distance", "path"]
    some = some.sort_values(order, ascending=[True, True, False, True, True])
    columns = (table[name].tolist() for name in ("breed", "reason", "linked", "cluster"))
    breed, reason, linked, cluster = columns
    members: dict[tuple[bool, int], list[int]] = {}
    for k in _numbers(some.index):
        key = (conflict[k], linked[k] if conflict[k] else cluster[k])
        members.setdefault(key, []).append(k)
    found: dict[str, list[Item]] = {}
    files: dict[str, int] = {}
    for (several, _), part in members.items():
        near = any(reason[k] == "near_duplicate" for k in part)
        name = "conflicts" if several else "near_duplicate" if near else "exact_duplicate"
        note = ", ".join(sorted({_breed(breed[k]) for k in part})) if several else ""
        found.setdefault(name, []).append([part, note])
        files[name] = files.get(name, 0) + len(part)
    return [
        Section(name, f"{_count(len(items), word)}, {_count(files[name], 'file')}", items)
        for name, word in (
            ("conflicts", "picture"),
            ("near_duplicate", "cluster"),
            ("exact_duplicate", "cluster"),
        )
        if (items := found.get(name))
    ]


def _breed(name: str) -> str:
    return name or "(no folder)"


def _collages(table: pd.DataFrame) -> Section:
    cells: dict[str, list[int]] = {}
    for k, parent in table["part_of"].dropna().items():
        cells.setdefault(parent, []).append(int(k))
    called = (table["reason"] == "collage") | table["path"].isin(list(cells))
    some = table[called].sort_values(["breed", "collage", "path"], ascending=[True, False, True])
    items: list[Item] = []
    for k, path in some["path"].items():
        own = cells.get(path)
        items.append([[int(k), *own], f"{_count(len(own), 'picture')} cut out"] if own else int(k))
    cut = sum(map(len, cells.values()))
    more = f", {_count(cut, 'picture')} cut out of them" if cut else ""
    return Section("collage", _count(len(items), "file") + more, items)


def _quality(table: pd.DataFrame, name: str) -> Section:
    """What was dropped for a fault, then what has it and stays; the worst first."""
    dropped = table["reason"] == name
    shown = table["keep"] & table[f"is_{name}"].astype(bool)
    # A column given to a table without rows would bring rows of its own.
    some = table.assign(stays=~dropped)[dropped | shown]
    some = some.sort_values(["stays", f"{name}_score", "path"], ascending=[True, False, True])
    counts = (("dropped", int(dropped.sum())), ("kept all the same", int(shown.sum())))
    summary = ", ".join(f"{count:,} {word}" for word, count in counts if count)
    return Section(name, summary, list(_numbers(some.index)))


def _nearly(table: pd.DataFrame) -> Section:
    some = table[table["keep"] & (table["collage"] > _NEARLY)]
    some = some.sort_values(["collage", "path"], ascending=[False, True]).head(NEAREST)
    items: list[Item] = [
        [[int(k)], f"evidence of joins {value:.2f}"] for k, value in some["collage"].items()
    ]
    return Section("nearly", _count(len(items), "file"), items)


def _weakest(table: pd.DataFrame) -> Section:
    number = {path: k for k, path in enumerate(table["path"])}
    some = table[table["reason"] == "near_duplicate"]
    some = some.sort_values(["correlation", "path"]).head(NEAREST)
    items: list[Item] = [
        [[number[row.nearest], int(row.Index)], f"correlation {row.correlation:.2f}"]
        for row in some.itertuples()
        if row.nearest in number
    ]
    return Section("weakest", _count(len(items), "pair"), items)


def breeds(table: pd.DataFrame) -> list[tuple[str, int, int]]:
    """(breed, kept, files) of each breed."""
    grouped = table[table["part_of"].isna()].groupby("breed")["keep"].agg(["sum", "size"])
    return [(str(name), int(row["sum"]), int(row["size"])) for name, row in grouped.iterrows()]


def _browse(table: pd.DataFrame) -> Section:
    sizes = {name: (kept, files) for name, kept, files in breeds(table)}
    items: list[Item] = []
    for name, part in table[table["keep"]].groupby("breed"):
        kept, files = sizes.get(str(name), (0, 0))
        items += [f"{_breed(str(name))}: {kept:,} of {_count(files, 'file')} kept"]
        items += _numbers(part.index)
    numbers = counts(table)
    cells = int(table["keep"].sum()) - numbers["kept"]
    more = f" and {_count(cells, 'picture')} cut out of collages" if cells else ""
    return Section("browse", _count(numbers["kept"], "file") + more, items)


def seams(table: pd.DataFrame, measured: pd.DataFrame, shown: set[int]) -> dict[int, list[Any]]:
    """The joins of some rows: [1 if vertical, place in per cent], strong ones first."""
    found = dict(zip(measured.index, measured["seams"], strict=True))
    lines = {
        k: [[int(seam.vertical), round(100 * seam.position, 1)] for seam in unpack_seams(data)]
        for k in sorted(shown)
        if (data := found.get(table.at[k, "sha256"]))
    }
    return {k: some for k, some in lines.items() if some}


def chunks(
    parts: list[Section], table: pd.DataFrame, measured: pd.DataFrame, size: int = 100
) -> list[list[str]]:
    """The contents (sha256) with a thumbnail, in the order in which the page first shows them, cut
    into pieces that are fetched together. Every section starts a new one, and so does a kept breed
    if the last piece is not too small: more pictures of one breed leave the others as they are."""
    has = {sha for sha, thumb in zip(measured.index, measured["thumb"], strict=True) if thumb}
    shas, labels = table["sha256"].tolist(), table["breed"].tolist()
    found: list[list[str]] = []
    for part in parts:
        piece: list[str] = []
        label, least = None, size // 4 if part.name == "browse" else size
        for k in part.rows():
            if shas[k] not in has:
                continue
            has.discard(shas[k])
            if len(piece) >= (size if labels[k] == label else least):
                found.append(piece)
                piece = []
            piece.append(shas[k])
            label = labels[k]
        found += [piece] if piece else []
    return found
