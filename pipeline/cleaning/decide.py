"""Clean a folder: find its files, measure them, decide. Nothing in the folder is changed."""

from __future__ import annotations

import csv
import dataclasses
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.cleaning import collages, crops, rulings
from pipeline.cleaning.duplicates import Pairs, Rules, components, find_pairs
from pipeline.cleaning.files import File, read_files
from pipeline.cleaning.measure import unpack_greys
from pipeline.cleaning.overrides import Override, Wishes, match
from pipeline.cleaning.parts import COLUMNS
from pipeline.cleaning.verdicts import Cell, counts
from pipeline.cleaning.work import measurements
from pipeline.errors import PipelineError, refused
from pipeline.params import DedupeParams
from pipeline.workspace import atomic_write

_COLUMNS = [name for name in COLUMNS if name != "square"]  # resize reads those where they lie
CSV_COLUMNS = ["path", "keep", "reason", "cluster", "nearest", "distance"]


@dataclass(frozen=True)
class Cleaned:
    """The decisions, what they rest on (a row per content), and overrides that named no file.

    ``pairs``: the verified pairs, as row numbers of ``measured``; without those that a person
    called distinct.
    """

    table: pd.DataFrame
    measured: pd.DataFrame
    idle: list[Override]
    params: DedupeParams
    collages: collages.Judged
    pairs: Pairs


@dataclass(frozen=True)
class _Known:
    """What is measured and compared: a row per content, its collage evidence, and pairs of rows."""

    measured: pd.DataFrame
    judged: collages.Judged
    pairs: Pairs


def clean(
    folder: Path,
    params: DedupeParams,
    *,
    cache: Path | None = None,
    overrides: list[Override] | None = None,
    skip: tuple[str, ...] = (),
    links: bool = False,
    cells: Path | None = None,
) -> Cleaned:
    """One decision per file below ``folder``, with the measurements the review page needs.

    Hidden files and folders (a leading dot) are passed over. Links are listed as not followed,
    unless ``links``. Names that are no UTF-8 text are shown with their odd bytes as \\xNN.

    Args:
        cache: where measurements are remembered; None: nowhere.
        skip: paths, relative to the folder, that are no pictures and get no row.
        cells: the folder that cells of collages are written to where ``params.collage`` is split,
            in a folder ``cells`` of their own; None: nothing is written, and collages are dropped.

    Raises:
        PipelineError: the folder is missing, unreadable or empty.
    """
    found = list(find_files(folder, skip=skip, links=links))
    if not found:
        raise PipelineError(f"{folder}: no files in it, nothing to clean")
    regular = [(name, path) for name, path, fault in found if fault is None]
    files = read_files(regular, workers=params.workers)
    files += [File(name, path, None, 0, fault) for name, path, fault in found if fault]
    wishes = _wishes(overrides, files)  # a mistake in them is said before hours of decoding
    measured = measurements(files, params, cache=cache, columns=_COLUMNS)
    pairs = _pairs(measured, params, wishes)
    known = _Known(measured, _judge_collages(measured, pairs, files, params, cache), pairs)
    cut = None
    if cells is not None and params.collage == "split":
        cut = _cut(files, known, wishes, params, cells)
    if cells is not None:
        crops.tidy(cells, {cell.file.name for cell in cut or ()})
    if cut:
        files += [cell.file for cell in cut]
        wishes = _wishes(overrides, files)
        known = _with_cells(known, cut, wishes, params, cache)
    table = rulings.decide(
        files, known.measured, known.judged.scores, known.pairs, wishes, params, cut
    )
    return Cleaned(table, known.measured, wishes.idle, params, known.judged, known.pairs)


def _wishes(overrides: list[Override] | None, files: list[File]) -> Wishes:
    return match(overrides or [], [file.name for file in files], [file.sha256 for file in files])


def _cut(
    files: list[File], known: _Known, wishes: Wishes, params: DedupeParams, root: Path
) -> list[Cell]:
    """The cells of all collages that are dropped as such, written below ``root``."""
    measured = known.measured
    sheets = rulings.sheets(files, measured, known.judged.scores, wishes, params)
    return crops.cut_sheets(sheets, dict(measured["seams"]), root, params)


def _with_cells(
    known: _Known, cut: list[Cell], wishes: Wishes, params: DedupeParams, cache: Path | None
) -> _Known:
    """The same with cells of collages, which are no collages again, behind the other rows."""
    more = measurements([cell.file for cell in cut], params, cache=cache, columns=_COLUMNS)
    more = more[~more.index.isin(known.measured.index)]
    measured = pd.concat([known.measured, more])
    scores = np.concatenate([known.judged.scores, np.zeros(len(more))])
    judged = dataclasses.replace(known.judged, scores=scores)
    return _Known(measured, judged, _pairs(measured, params, wishes))


def _pairs(measured: pd.DataFrame, params: DedupeParams, wishes: Wishes) -> Pairs:
    """Which contents show the same photo, as row numbers of ``measured``; not those that a person
    called distinct."""
    if not params.near_duplicates:
        none = np.zeros(0, np.int64)
        return Pairs(none, none, none, none.astype(float), none.astype(object))
    whole = np.flatnonzero(measured["fault"].isna())
    rules = Rules(params.near_distance, params.loose_distance, params.correlation, params.mirrored)
    pairs = find_pairs(unpack_greys(measured["greys"].iloc[whole]), rules)
    pairs = dataclasses.replace(pairs, i=whole[pairs.i], j=whole[pairs.j])
    return rulings.without(pairs, wishes.distinct, measured.index)


def _judge_collages(
    measured: pd.DataFrame,
    pairs: Pairs,
    files: list[File],
    params: DedupeParams,
    cache: Path | None,
) -> collages.Judged:
    place = {file.sha256: str(file.path) for file in files if file.sha256 is not None}
    return collages.judge(
        collages.evidence_matrix(list(measured["features"])),
        components(len(measured), pairs),
        list(measured.index),
        [place[sha] for sha in measured.index],
        alarms=params.collage_alarms,
        max_pixels=params.max_pixels,
        workers=params.workers,
        cache=None if cache is None else cache / "cleaning",
    )


def find_files(
    folder: Path, *, skip: tuple[str, ...], links: bool
) -> Iterator[tuple[str, Path, str | None]]:
    """(name, path, fault) of each file below ``folder``; ``fault`` for what is not to be opened.

    Raises:
        PipelineError: the folder cannot be listed.
    """
    if not folder.is_dir():
        raise PipelineError(f"{folder}: no such folder")

    def refuse(error: OSError) -> None:
        raise PipelineError(f"{error.filename}: cannot be listed ({error.strerror})")

    for place, folders, names in os.walk(folder, onerror=refuse):
        # os.walk does not enter linked folders, but it lists them among the folders.
        linked = [name for name in folders if Path(place, name).is_symlink()]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted([*names, *linked]):
            path = Path(place, name)
            shown = _printable(path.relative_to(folder).as_posix())
            if not name.startswith(".") and shown not in skip:
                yield shown, path, _refusal(path, links)


def _refusal(path: Path, links: bool) -> str | None:
    try:
        mode = (path.stat() if links else path.lstat()).st_mode
    except OSError as error:
        return f"cannot be read: {(error.strerror or 'unknown').lower()}"
    if stat.S_ISLNK(mode):
        return "a symbolic link: not followed"
    return None if stat.S_ISREG(mode) else "not a regular file"


def _printable(name: str) -> str:
    """A name as valid text: no table format can hold the lone surrogates of an undecodable one."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _no_formula(path: str) -> str:
    """The same path as a spreadsheet shows it: what begins with these signs it would compute."""
    return f"./{path}" if path.startswith(("=", "+", "-", "@", "\t", "\r")) else path


def write_decisions_csv(table: pd.DataFrame, path: Path) -> None:
    """Write path, keep, reason, cluster, nearest, distance; complete or not at all.

    Raises:
        PipelineError: the file cannot be written.
    """
    try:
        with atomic_write(path, "w") as file:
            cells = table[CSV_COLUMNS].copy()
            for name in ("path", "nearest"):
                cells[name] = cells[name].map(_no_formula, na_action="ignore")
            # A return alone also ends a line for readers; the writer does not know that.
            odd = cells[["path", "nearest"]].stack().str.contains("\r", regex=False).any()
            quoting = csv.QUOTE_NONNUMERIC if odd else csv.QUOTE_MINIMAL
            cells.to_csv(file, index=False, lineterminator="\n", quoting=quoting)
    except OSError as error:
        raise PipelineError(refused(error)) from None


def decide_folder(
    folder: Path, output: Path, params: DedupeParams, *, cache: Path | None = None
) -> dict[str, int]:
    """Judge any folder and write the decisions to a CSV file; the counts, which add up.

    Raises:
        PipelineError: the folder cannot be read or the file not written.
    """
    if not os.access(next(place for place in output.resolve().parents if place.exists()), os.W_OK):
        raise PipelineError(
            f"{output}: cannot be written there (no right to)"
        )  # before all the work
    # Written into the folder it judges, the table must not be judged the next time.
    inside = output.resolve().is_relative_to(folder.resolve())
    skip = (output.resolve().relative_to(folder.resolve()).as_posix(),) if inside else ()
    table = clean(folder, params, cache=cache, skip=skip).table
    write_decisions_csv(table, output)
    return counts(table)
