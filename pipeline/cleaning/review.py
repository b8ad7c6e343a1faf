"""data/clean/review.html: every decision with its evidence, to look at and to overrule, offline."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.cleaning.decide import Cleaned
from pipeline.cleaning.duplicates import ALIGNED
from pipeline.cleaning.measure import unpack_seams
from pipeline.cleaning.verdicts import REASONS, counts
from pipeline.workspace import write_text

# Pairs of unrelated photos within d bits of pHash, as a share of all pairs: counted over 5e9 pairs
# of 100,000 photos. Plain backgrounds make it up to a hundred times more.
_FALSE_RATE = {0: 4e-10, 2: 4e-10, 4: 6e-10, 6: 4e-9, 8: 4.4e-8, 10: 4e-7, 12: 3.6e-6}
# The same for 10 bits and a correlation of at least 0.85.
_FALSE_RATE_LOOSE = 2.2e-9

_NEARLY = 24  # kept pictures nearest to being called a collage that are shown

TITLES = {
    "near_duplicate": "Near-duplicates",
    "exact_duplicate": "Exact duplicates",
    "collage": "Collages",
    "too_small": "Too small or too long",
    "corrupt": "Not a whole picture",
    "override": "Decided by a person",
}


@dataclass(frozen=True)
class Entry:
    """What the page shows of one file. ``lines``: seams in per cent of the picture."""

    path: str
    keep: bool
    reason: str
    detail: str
    size: str
    thumb: str | None
    line: str
    lines: list[dict[str, Any]] = field(default_factory=list)
    conflict: bool = False


def write_review(cleaned: Cleaned, path: Path) -> None:
    """Write the page: self-contained, the same bytes for the same decisions."""
    write_text(path, render(cleaned))


def render(cleaned: Cleaned) -> str:
    """The page as HTML text."""
    table = cleaned.table
    entries = _Entries(cleaned)
    environment = Environment(
        loader=PackageLoader("pipeline.cleaning", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    numbers = counts(table)
    nearly = table[table["keep"] & (table["collage"] > 0.25)]
    nearly = nearly.sort_values(["collage", "path"], ascending=[False, True]).head(_NEARLY)
    return environment.get_template("review.html").render(
        numbers=numbers,
        reasons=[(name, numbers[f"reason_{name}"]) for name in REASONS],
        titles=TITLES,
        breeds=_by_breed(table),
        clusters=list(_clusters(table, entries)),
        groups={
            name: [entries.of(k) for k in table.index[table["reason"] == name]]
            for name in ("collage", "too_small", "corrupt", "override")
        },
        nearly=[entries.of(k) for k in nearly.index],
        thresholds=_thresholds(cleaned),
        idle=[f"line {o.line}: {o.item}" for o in cleaned.idle],
    )


class _Entries:
    """Makes entries from rows of the decisions."""

    def __init__(self, cleaned: Cleaned) -> None:
        self._rows = cleaned.table.to_dict("index")
        measured = cleaned.measured
        self._thumbs = dict(zip(measured.index, measured["thumb"], strict=True))
        self._seams = dict(zip(measured.index, measured["seams"], strict=True))

    def of(self, key: Any) -> Entry:
        row = self._rows[key]
        sha = row["sha256"]
        thumb = self._thumbs.get(sha) or b""
        size = "" if pd.isna(row["width"]) else f"{row['width']}×{row['height']} {row['format']}"
        return Entry(
            path=row["path"],
            keep=row["keep"],
            reason=row["reason"],
            detail=row["detail"] if isinstance(row["detail"], str) else "",
            size=size,
            thumb=base64.b64encode(thumb).decode() if thumb else None,
            line=override_line(row["path"], not row["keep"]),
            lines=_lines(self._seams.get(sha) or b"", row),
            conflict=row["conflict"],
        )


def override_line(path: str, keep: bool) -> str:
    """The line for overrides.csv that turns a decision around."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([path, "keep" if keep else "drop", "seen"])
    return out.getvalue()


def _lines(seams: bytes, row: dict[Any, Any]) -> list[dict[str, Any]]:
    if not (row["reason"] == "collage" or (row["keep"] and (row["collage"] or 0) > 0.25)):
        return []
    return [
        {"vertical": seam.vertical, "at": round(100 * seam.position, 2)}
        for seam in unpack_seams(seams)
    ]


def _clusters(table: pd.DataFrame, entries: _Entries) -> Iterator[list[Entry]]:
    """Files of one cluster, what stays first; clusters of unlike labels first of all."""
    some = table[table["cluster"] >= 0]
    order = some.sort_values(
        ["conflict", "cluster", "keep", "distance", "path"],
        ascending=[False, True, False, True, True],
    )
    for _, part in order.groupby("cluster", sort=False):
        yield [entries.of(key) for key in part.index]


def _by_breed(table: pd.DataFrame) -> list[tuple[str, int, int]]:
    """(breed, kept, files) of each breed."""
    grouped = table.groupby("breed")["keep"].agg(["sum", "size"])
    return [(str(name), int(row["sum"]), int(row["size"])) for name, row in grouped.iterrows()]


def expected_false_pairs(distance: int, count: int) -> float:
    """How many pairs of unlike pictures to expect within ``distance`` bits among ``count``."""
    known = sorted(_FALSE_RATE)
    rate = np.exp(np.interp(distance, known, np.log([_FALSE_RATE[d] for d in known])))
    return float(rate) * count * (count - 1) / 2


def _thresholds(cleaned: Cleaned) -> list[tuple[str, str, str]]:
    """(name in params.yaml, value, what it means at this number of pictures)."""
    params, count, judged = cleaned.params, len(cleaned.measured), cleaned.collages
    collage = "share of single pictures that may be called collages"
    if judged.recall is not None and judged.alarms is not None:
        collage += (
            f": of collages made from these pictures {judged.recall:.1%} of those with joins from "
            f"edge to edge are found and {judged.loose or 0:.1%} of scattered prints and insets; "
            f"{judged.alarms:.1%} of edited single ones are called so"
        )
    near = expected_false_pairs(params.near_distance, count)
    loose = expected_false_pairs(params.loose_distance, count)
    sure = _FALSE_RATE_LOOSE * count * (count - 1) / 2
    return [
        ("dedupe.near_distance", str(params.near_distance), f"{near:.2g} false pairs expected"),
        (
            "dedupe.loose_distance",
            str(params.loose_distance),
            f"{loose:.2g} false pairs expected, about {sure:.2g} after the look at the pixels",
        ),
        (
            "dedupe.correlation",
            str(params.correlation),
            f"least likeness of 32×32 thumbnails; of mirrored, trimmed and cropped ones {ALIGNED}",
        ),
        (
            "dedupe.collage_alarms",
            str(params.collage_alarms),
            collage,
        ),
        ("dedupe.min_side", str(params.min_side), "pixels of the shorter side"),
    ]
