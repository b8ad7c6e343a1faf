"""data/clean/review.html: every decision with its evidence, to look at and to overrule, offline.

The page holds all decisions as one block of JSON and draws only what is near the window. Thumbnails
are by far the most of it: up to ``INLINE`` bytes of them are in the page itself, which is then one
file; beyond that they lie beside it, in small scripts that it loads when they are needed (a page
opened from a file may load no other kind of text). Their names come from their content, so that
DVC stores again only those that changed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.cleaning import review_figures as figures
from pipeline.cleaning import review_rows as content
from pipeline.cleaning.decide import Cleaned
from pipeline.cleaning.false_pairs import PLAIN_GROUNDS
from pipeline.cleaning.verdicts import REASONS, counts
from pipeline.workspace import write_text

INLINE = 4_000_000  # bytes of thumbnails
FOLDER = "review"  # beside the page: their scripts

override_line = content.override_line


@dataclass(frozen=True)
class Page:
    """The page and the files it loads, by name relative to it."""

    html: str
    files: dict[str, str]


def write_review(
    cleaned: Cleaned, path: Path, *, originals: str | None = "../raw/", inline: int = INLINE
) -> None:
    """Write the page and what it loads: the same bytes for the same decisions.

    Args:
        originals: where the pictures lie, relative to the page; None: no links to them.
        inline: bytes of thumbnails that the page holds itself rather than load them.
    """
    page = make(cleaned, originals=originals, inline=inline)
    folder = path.parent / FOLDER
    for name, text in page.files.items():
        place = path.parent / name
        if not place.is_file():  # its name is its content
            place.parent.mkdir(parents=True, exist_ok=True)
            write_text(place, text)
    write_text(path, page.html)
    for old in folder.glob("*.js"):  # of an earlier run: the page no longer asks for them
        if f"{FOLDER}/{old.name}" not in page.files:
            old.unlink()


def make(cleaned: Cleaned, *, originals: str | None = "../raw/", inline: int = INLINE) -> Page:
    """The page and its files, as ``write_review`` writes them."""
    table = cleaned.table.reset_index(drop=True)
    near = figures.refused(cleaned)
    parts = content.sections(table, figures.likest(near, table, cleaned.measured))
    chunks = content.chunks(parts, table, cleaned.measured)
    order = {sha: k for k, sha in enumerate(sha for chunk in chunks for sha in chunk)}
    scripts, inside = _scripts(chunks, cleaned.measured, inline)
    joined = {k for part in parts if part.name in ("collage", "nearly") for k in part.rows()}
    data = {
        "breeds": content.breeds(table),
        "chunks": [[name, len(chunk)] for (name, _), chunk in zip(scripts, chunks, strict=True)],
        "originals": originals,
        "rows": content.rows(table, order),
        "seams": content.seams(table, cleaned.measured, joined),
        "sections": {part.name: part.items for part in parts},
    }
    html = _environment().get_template("review.html").render(
        **_texts(),
        **_overview(cleaned, table, parts),
        data=as_json(data),
        inside=[as_json(thumbs) for _, thumbs in scripts] if inside else [],
        about=content.ABOUT,
        thresholds=figures.thresholds(cleaned),
        histograms=figures.histograms(cleaned, near),
        drawing=(figures.WIDTH, figures.HEIGHT),
        contents=len(cleaned.measured),
        plain=PLAIN_GROUNDS,
        idle=[f"line {o.line}: {o.item}{o.other and f' and {o.other}'}" for o in cleaned.idle],
    )  # fmt: skip
    files = {} if inside else {name: f"thumbs({as_json(t)})\n" for name, t in scripts}
    return Page(html, files)


def as_json(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in, whatever its texts are."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _scripts(
    chunks: list[list[str]], measured: pd.DataFrame, inline: int
) -> tuple[list[tuple[str, list[str]]], bool]:
    """(name, thumbnails in base64) of each chunk, and whether they fit into the page."""
    thumbs = dict(zip(measured.index, measured["thumb"], strict=True))
    inside = sum(len(thumbs[sha]) for chunk in chunks for sha in chunk) <= inline
    found = []
    for chunk in chunks:
        texts = [base64.b64encode(thumbs[sha]).decode() for sha in chunk]
        digest = hashlib.sha256(" ".join(texts).encode()).hexdigest()
        found.append(("" if inside else f"{FOLDER}/{digest[:16]}.js", texts))
    return found, inside


def _overview(
    cleaned: Cleaned, table: pd.DataFrame, parts: list[content.Section]
) -> dict[str, Any]:
    """The numbers at the top, each with the section that shows what it counts."""
    numbers = counts(cleaned.table)
    shown = {part.name for part in parts}
    own = table[table["part_of"].isna()]
    by_hand = int((own["keep"] & (own["reason"] == "override")).sum())

    def target(reason: str) -> str | None:
        places = {"kept": ["browse"], "near_duplicate": [reason, "conflicts"]}
        places["exact_duplicate"] = [reason, "near_duplicate", "conflicts"]
        return next((name for name in places.get(reason, [reason]) if name in shown), None)

    return {
        "numbers": numbers,
        "by_hand": by_hand,
        "reasons": [(name, numbers[f"reason_{name}"], target(name)) for name in REASONS],
        "sections": parts,
    }


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("pipeline.cleaning", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _texts() -> dict[str, Any]:
    """Style and scripts of the page, with the digests by which its policy lets just them in."""
    folder = resources.files("pipeline.cleaning") / "templates"
    found: dict[str, Any] = {}
    for key, names in {"style": ["review.css"], "script": ["review_tray.js", "review.js"]}.items():
        text = "".join((folder / name).read_text(encoding="utf-8") for name in names)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        found |= {key: Markup(text), f"{key}_digest": f"sha256-{digest}"}
    return found
