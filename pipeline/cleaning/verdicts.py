"""The decisions: one row per file, keep or drop for one reason, with the numbers behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.cleaning import hashing, measure
from pipeline.cleaning.duplicates import FLAT
from pipeline.cleaning.files import File
from pipeline.params import QUALITIES

FAULTS = ("too_small", "odd_aspect", "blank", "dark", "blurred", "text")  # the first one counts
assert sorted(FAULTS) == sorted(QUALITIES)

REASONS = (
    "kept",
    "corrupt",
    *FAULTS,
    "exact_duplicate",
    "near_duplicate",
    "collage",
    "override",
)

_QUALITY = [name for fault in QUALITIES for name in (f"{fault}_score", f"is_{fault}")]
_DTYPES = {
    "path": "str",
    "breed": "str",
    "sha256": "str",
    "keep": "bool",
    "reason": "str",
    "cluster": "int64",
    "linked": "int64",
    "group": "int64",
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
    **{name: "bool" if name.startswith("is_") else "float64" for name in _QUALITY},
    "part_of": "str",
    "box": "str",
}


@dataclass(frozen=True)
class Cell:
    """A picture that was cut out of a collage: its file, the collage's path and breed, and where it
    lies there: left, top, right and bottom in [0, 1] of the width and height."""

    file: File
    part_of: str
    breed: str
    box: tuple[float, float, float, float]


@dataclass
class Row:
    """A decision in the making, about one file. ``cluster``, ``linked`` and ``group`` are
    -1 where it is alone."""

    file: File
    content: int  # row of the measurements; -1 for what could not be read
    breed: str
    cell: Cell | None = None
    keep: bool = True
    reason: str = "kept"
    detail: str = ""
    cluster: int = -1
    linked: int = -1
    group: int = -1
    conflict: bool = False
    nearest: str | None = None
    distance: int | None = None
    correlation: float | None = None


def breed_of(name: str) -> str:
    """The first folder of a path: the label its picture was found under; "" at the top."""
    first, slash, _ = name.partition("/")
    return first if slash else ""


def tabulate(
    rows: list[Row], measured: pd.DataFrame, quality: pd.DataFrame, collage: np.ndarray
) -> pd.DataFrame:
    """The table of the decisions.

    A row for each file: ``part_of`` and ``box`` say of a cell which collage it was cut from, and
    where; ``cluster`` numbers files that show one photo, what stays among them; ``linked``,
    coarser, all that links of likeness connect; ``group`` all that these and a common sheet
    connect, so that nothing of a group may lie on both sides of a split.

    Args:
        measured: a row per content, as ``work.measurements`` gives.
        quality: for each of them scores and findings, as ``quality.judge`` gives.
        collage: for each of them the evidence in [0, 1] that it is a collage.
    """
    known = ["width", "height", "format", "std", "sharpness"]
    facts = pd.concat([measured[known], quality[_QUALITY]], axis=1).to_dict("records")
    nothing = {name: False if name.startswith("is_") else None for name in [*known, *_QUALITY]}
    whole = np.flatnonzero(measured["fault"].isna())
    greys = measure.unpack_greys(measured["greys"].iloc[whole])
    codes = dict(zip(whole.tolist(), map(hashing.to_hex, hashing.phash(greys.whole)), strict=True))
    seam = [np.frombuffer(f, np.float32)[0] if f else None for f in measured["features"]]
    records = [
        (facts[row.content] if row.content >= 0 else nothing)
        | {
            "path": row.file.name,
            "breed": row.breed,
            "sha256": row.file.sha256,
            "keep": row.keep,
            "reason": row.reason,
            "cluster": row.cluster,
            "linked": row.linked,
            "group": row.group,
            "nearest": row.nearest,
            "distance": row.distance,
            "phash": codes.get(row.content),
            "detail": row.detail,
            "conflict": row.conflict,
            "seam": seam[row.content] if row.content >= 0 else None,
            "collage": collage[row.content] if row.content in codes and not row.cell else None,
            "correlation": row.correlation,
            "part_of": row.cell and row.cell.part_of,
            "box": row.cell and " ".join(f"{share:.4f}" for share in row.cell.box),
        }
        for row in rows
    ]
    return pd.DataFrame(records, columns=list(_DTYPES)).astype(_DTYPES)


def counts(table: pd.DataFrame) -> dict[str, int]:
    """Files, kept files, files by reason (they add up), files with each fault whether dropped for
    it or not, clusters, label conflicts; beside them the cells cut from collages."""
    files, cells = table[table["part_of"].isna()], table[table["part_of"].notna()]
    reasons = files["reason"].value_counts()
    kept = int(files["keep"].sum())
    return {
        "files": len(files),
        "kept": kept,
        "dropped": len(files) - kept,
        **{f"reason_{name}": int(reasons.get(name, 0)) for name in REASONS},
        **{f"found_{name}": int(files[f"is_{name}"].sum()) for name in FAULTS},
        "cells": len(cells),
        "cells_kept": int(cells["keep"].sum()),
        "clusters": int(table.loc[table["cluster"] >= 0, "cluster"].nunique()),
        "label_conflicts": int(table.loc[table["conflict"], "linked"].nunique()),
        "flat": int((files["std"] < FLAT).sum()),
        "breeds": int(table.loc[table["keep"], "breed"].nunique()),
    }
