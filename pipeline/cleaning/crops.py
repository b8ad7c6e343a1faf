"""Cells of a collage, cut out: the rectangles between straight joins, each a picture of its own.

A collage is cut along its strongest lines (``seams``), and what lies between them is looked at
again: layouts such as one large picture beside two small ones have joins that run across a part
of the sheet only. A line is found on a picture squashed to 384 pixels; where exactly it lies is
looked for in the full decode, and what is left of gutters and frames is trimmed off there.

Where no line runs from edge to edge (scattered prints, insets, pinwheels) nothing is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline import pool
from pipeline.cleaning import measure, seams
from pipeline.cleaning.files import read_files
from pipeline.cleaning.rulings import Sheet
from pipeline.cleaning.verdicts import Cell
from pipeline.errors import PipelineError
from pipeline.images import PictureError, open_picture
from pipeline.params import DedupeParams
from pipeline.workspace import atomic_write

FOLDER = "cells"
LEAST = 96  # pixels of the shorter side below which a cell is no picture to learn from

_DEPTH = 3  # how often what lies between lines is looked at again
_SURE = 0.55  # score of a line that is cut along though no gutter shows: the sheet has joins
_DOUBT = 0.45  # a cell with such a line, without gutters, may be two pictures and is left out
_DOUBT_IN_GUTTERS = 0.75  # the same on a sheet with gutters, where a join should have shown one
_SHARE = 0.04  # of the sheet that a cell must cover, as one of five by five does
_WIDEST = 0.08  # of the sheet's side: gutters and margins are narrower
_NEAR = 20  # grey levels between pixels of one colour after JPEG
_TINGE = 80  # the same in the channel that strays most
_LUMA = np.array([0.299, 0.587, 0.114])
_ALIKE = 12.0  # grey levels between two gutters of one sheet

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


@dataclass(frozen=True)
class Task:
    """A collage to cut: where it lies, the stored lines, the files that its cells are written to
    (each of ``stems`` followed by -<number>.png), and the pixels their shorter side must have."""

    path: str
    max_pixels: int
    lines: bytes
    stems: tuple[str, ...]
    least: int


@dataclass(frozen=True)
class Part:
    """A cell that was written: its number on the sheet, and where it lies there: left, top, right
    and bottom as shares of the width and height."""

    number: int
    box: tuple[float, float, float, float]


def cut_sheets(
    sheets: list[Sheet], lines: dict[str, bytes], root: Path, params: DedupeParams
) -> list[Cell]:
    """Cut collages in processes: cells as <root>/cells/<breed>/<sha16 of the collage>-<k>.png.

    Args:
        lines: by sha256, the stored seams.

    Raises:
        PipelineError: a cell cannot be written.
    """
    tasks = [
        Task(
            str(next(iter(sheet.files.values())).path),
            params.max_pixels,
            lines[sheet.sha256],
            tuple(str(root / _stem(sheet.sha256, breed)) for breed in sheet.files),
            max(params.min_side, LEAST),
        )
        for sheet in sheets
    ]
    made: list[tuple[str, Path, str, str, Part]] = []
    for index, parts in pool.each(
        cut, tasks, workers=params.workers, what="cut collages", unit="collages", chunk=1
    ):
        if isinstance(parts, str):
            raise PipelineError(f"{root / FOLDER}: cells cannot be written ({parts})")
        sheet = sheets[index]
        for breed, file in sheet.files.items():
            for part in parts or ():
                name = f"{_stem(sheet.sha256, breed)}-{part.number}.png"
                made.append((name, root / name, file.name, breed, part))
    made.sort(key=lambda item: item[0])
    files = read_files([(name, path) for name, path, *_ in made], workers=params.workers)
    return [
        Cell(file, of, breed, part.box)
        for file, (_, _, of, breed, part) in zip(files, made, strict=True)
    ]


def _stem(sha256: str, breed: str) -> str:
    return "/".join([FOLDER, *([breed] if breed else []), sha256[:16]])


def tidy(root: Path, names: set[str]) -> None:
    """Remove what an earlier run left in <root>/cells, all but ``names`` (relative to root)."""
    place = root / FOLDER
    for path in sorted(place.rglob("*"), reverse=True) if place.is_dir() else []:
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(root).as_posix() not in names:
            path.unlink()
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()


def cut(task: Task) -> list[Part] | str:
    """Write the cells of a collage as PNG files; none if it cannot be opened; why, if the disk
    refuses one.

    Numbers count all rectangles between lines, also those too small to be written: another least
    size renames nothing.
    """
    try:
        image = open_picture(Path(task.path), max_pixels=task.max_pixels)
    except PictureError:  # measured a moment ago: it is gone, and the next stage will say so
        return []
    found = []
    for number, box in enumerate(boxes(image, measure.unpack_seams(task.lines))):
        width, height = box[2] - box[0], box[3] - box[1]
        if min(width, height) < task.least or width * height < _SHARE * image.width * image.height:
            continue
        for stem in task.stems:
            try:
                with atomic_write(Path(f"{stem}-{number}.png")) as file:
                    image.crop(box).save(file, "PNG")
            except OSError as error:
                return error.strerror or str(error)
        sides = (image.width, image.height) * 2
        left, top, right, bottom = (at / side for at, side in zip(box, sides, strict=True))
        found.append(Part(number, (left, top, right, bottom)))
    return found


def boxes(image: Image.Image, lines: list[seams.Seam]) -> list[Box]:
    """The rectangles between the joins of an RGB collage, row by row of the first cut; none without
    a join.

    Args:
        lines: its seams as ``measure`` stored them.
    """
    sheet = _Sheet(image)
    whole = (0, 0, image.width, image.height)
    ground, parts = sheet.first(whole, lines)
    if len(parts) == 1:
        return []
    leaves = [leaf for part in parts for leaf in sheet.leaves(part, ground, _DEPTH - 1)]
    if ground is not None:
        leaves = [sheet.trimmed(leaf, ground) for leaf in leaves]
    return leaves


@dataclass(frozen=True)
class _Join:
    """Where a picture ends and the next begins, in pixels; the gutter's colour, if there is one."""

    vertical: bool
    end: int
    start: int
    score: float
    ground: np.ndarray | None


class _Sheet:
    """A collage being cut."""

    def __init__(self, image: Image.Image) -> None:
        self._image = image
        self._pixels = np.asarray(image)

    def first(self, box: Box, lines: list[seams.Seam]) -> tuple[np.ndarray | None, list[Box]]:
        """The first cut, and the colour of the gutters: then all joins have such a gutter."""
        joins = self._joins(box, lines)
        ground = next((join.ground for join in joins if join.ground is not None), None)
        return ground, _between(box, _chosen(joins, ground))

    def leaves(self, box: Box, ground: np.ndarray | None, depth: int) -> list[Box]:
        """What further lines make of a rectangle."""
        if depth == 0 or min(box[2] - box[0], box[3] - box[1]) < LEAST // 2:
            return [box]
        found = seams.evidence(_enlarged(self._image.crop(box)))[0]
        parts = _between(box, _chosen(self._joins(box, found.seams), ground))
        if len(parts) == 1:
            doubt = _DOUBT if ground is None else _DOUBT_IN_GUTTERS
            return [box] if found.score < doubt else []
        return [leaf for part in parts for leaf in self.leaves(part, ground, depth - 1)]

    def trimmed(self, box: Box, ground: np.ndarray) -> Box:
        """A rectangle without margins of the gutter's colour."""
        left, top, right, bottom = box
        part = self._pixels[top:bottom, left:right]
        sides = []
        for some, whole in ((part, self._image.width), (part.swapaxes(0, 1), self._image.height)):
            most = int(_WIDEST * whole) + 3
            ends = (some[:, :most], some[:, ::-1][:, :most])
            sides += [_rim(_foreign(end, ground)) for end in ends]
        return left + sides[0], top + sides[2], right - sides[1], bottom - sides[3]

    def _joins(self, box: Box, lines: list[seams.Seam]) -> list[_Join]:
        """The lines where they lie in pixels of the sheet, the best first."""
        left, top, right, bottom = box
        part = self._pixels[top:bottom, left:right]
        joins = []
        for line in sorted(lines, key=lambda line: -line.score):
            some, before = (part, left) if line.vertical else (part.swapaxes(0, 1), top)
            whole = self._image.width if line.vertical else self._image.height
            end, start, ground = _join(some, line.position, int(_WIDEST * whole) + 3)
            joins.append(_Join(line.vertical, before + end, before + start, line.score, ground))
        return joins


def _enlarged(image: Image.Image) -> Image.Image:
    """Large enough for seams to be looked for."""
    times = -(-seams.MIN_SIDE // min(image.size))
    return image.resize((times * image.width, times * image.height)) if times > 1 else image


def _chosen(joins: list[_Join], ground: np.ndarray | None) -> list[_Join]:
    """The lines to cut along. Of a sheet with gutters: those with a gutter of its colour."""
    if ground is None:
        return [join for join in joins if join.score >= _SURE]
    return [
        join
        for join in joins
        if join.ground is not None and np.abs(join.ground - ground).max() <= _ALIKE
    ]


def _between(box: Box, joins: list[_Join]) -> list[Box]:
    """The grid of rectangles that joins across the whole of ``box`` make of it, row by row."""
    columns = _spans(box[0], box[2], [join for join in joins if join.vertical])
    rows = _spans(box[1], box[3], [join for join in joins if not join.vertical])
    return [(a, c, b, d) for c, d in rows for a, b in columns]


def _spans(low: int, high: int, joins: list[_Join]) -> list[tuple[int, int]]:
    """What joins leave of a side; both edges of one gutter are one join."""
    spans = []
    for join in sorted(joins, key=lambda join: join.end):
        if join.end > low:
            spans.append((low, join.end))
        low = max(low, join.start)
    return [*spans, (low, high)] if high > low else spans


def _join(part: np.ndarray, position: float, widest: int) -> tuple[int, int, np.ndarray | None]:
    """(end, start, colour) of a vertical join near ``position`` in H x W x 3 pixels.

    The largest step near the position; where it is the edge of a strip of one colour that ends as
    sharply on its other side, that is a gutter.
    """
    width = part.shape[1]
    reach = int(np.ceil(1.5 * width / seams.SIDE)) + 1
    low = max(1, round(position * width) - reach)
    high = min(width - 1, round(position * width) + reach)
    some = part[:, low - 1 : high + 1].astype(np.int16)
    at = low + int(np.argmax(np.abs(np.diff(some, axis=1)).max(axis=2).mean(axis=0)))
    right = part[:, at : at + widest]
    left = part[:, :at][:, ::-1][:, :widest]
    for strip, side in ((right, 1), (left, -1)):
        if strip.shape[1] < 3:
            continue
        # The first columns are spread: the colour is taken a little inside.
        ground = np.median(strip[:, 1:3].astype(np.int16), axis=(0, 1))
        run = _rim(_foreign(strip, ground))
        # The step itself must be the strip's near edge.
        beyond = (left if side > 0 else right)[:, :3]
        if run and beyond.size and _foreign(beyond, ground).max() >= 0.5:
            return (at - 1, at + run, ground) if side > 0 else (at - run, at + 1, ground)
    return at, at, None


def _foreign(part: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """For each column the share of its pixels that are not of a colour."""
    apart = part[:: max(1, len(part) // 300)].astype(np.int16) - ground
    # JPEG keeps brightness finer than colour, which bleeds into narrow gutters.
    other = (np.abs(apart @ _LUMA) > _NEAR) | (np.abs(apart).max(axis=2) > _TINGE)
    return np.asarray(other.mean(axis=0))


def _rim(foreign: np.ndarray) -> int:
    """Columns of a strip of one colour that ends sharply, and one more, over which its end is
    spread; 0 where it does not end so: that is ground of a picture."""
    if len(foreign) < 3 or foreign[1] > 0.1 or (foreign[2] > 0.1 and foreign[0] > 0.1):
        return 0
    busy = np.flatnonzero(foreign[1:] > 0.1)
    if not len(busy):
        return 0
    end = 1 + int(busy[0])
    return end + 1 if foreign[end : end + 3].max() >= 0.5 else 0
