"""reports/index.html from what the stages left in reports/: a page that is one file.

Pictures are data URIs, curves inline SVG, styles inline; a content policy in the page forbids every
request. Everything that came from outside (breed names, params, messages) is escaped by the
template engine. Equal inputs give equal bytes.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from PIL import Image

from pipeline.evaluation.montage import spoken
from pipeline.params import Params
from pipeline.report import again, origins
from pipeline.report.curves import draw_bars, draw_curves, read_curves
from pipeline.report.figures import Table, metric_rows, number, other_figures, tables
from pipeline.report.origins import REVIEW, Origins
from pipeline.report.templating import fill
from pipeline.workspace import read_json, write_text

PICTURES = ("samples", "sweep", "denoising", "interpolation", "nearest", "confusion", "seen")
FILM = "denoising.webp"
_CHARTED = 40  # bars at most: a longer chart says less than the table below it


@dataclass(frozen=True)
class Picture:
    """A picture as the page holds it."""

    uri: Markup
    width: int
    height: int


def write_page(
    reports: Path,
    params: Params,
    model: Mapping[str, Any],
    classes: Sequence[str],
    origin: Origins | None = None,
) -> None:
    """Write ``reports/index.html`` from the files in ``reports``; what is missing is left out.

    Args:
        reports: folder with metrics.json, the pictures, loss.csv, scrape.csv and .json,
            dedupe.json.
        params: what was run.
        model: model.json.
        classes: the breeds.
        origin: what is known of where the result comes from.
    """
    write_text(reports / "index.html", render(reports, params, model, classes, origin))


def render(
    reports: Path,
    params: Params,
    model: Mapping[str, Any],
    classes: Sequence[str],
    origin: Origins | None = None,
) -> str:
    """The page as text. Arguments as for ``write_page``."""
    origin = origin or Origins()
    figures = _read_json(reports / "metrics.json")
    document = again.used_params(params, model)
    changed, values = again.params_rows(document)
    return fill(
        "report.html",
        breeds=[spoken(name) for name in classes],
        figures=figures,
        metrics=metric_rows(figures),
        others=other_figures(figures),
        accuracy=accuracy(figures),
        pictures={name: picture(reports / f"{name}.png") for name in PICTURES},
        film=film(reports / FILM),
        curves=Markup(draw_curves(read_curves(reports / "loss.csv"))),
        **data(reports, origin),
        changed=changed,
        params=values,
        evaluate=params.evaluate,
        dropout=document["train"].get("label_dropout", 0),
        facts=model_facts(model, document),
        command=again.reproduce(document, origin.base),
        origin=origin,
        versions=again.versions(),
    )


# --------------------------------------------------------------------------- what is shown


def data(reports: Path, origin: Origins) -> dict[str, Any]:
    """What was scraped, dropped and trained on, and whose it is."""
    scrape, dedupe = _read_json(reports / "scrape.json"), _read_json(reports / "dedupe.json")
    names, parts = origins.split_sizes(origin.manifest, origin.index)
    bars = ""
    if 1 < len(names) <= _CHARTED:
        told = "Pictures of each breed: " + ", ".join(parts)
        bars = draw_bars(names, parts, told)
    review = review_sections(reports / REVIEW) if origin.review else {}
    shown = (
        origins.by_breed(_read_csv(reports / "scrape.csv"), origin.index),
        origins.by_source(origin.manifest),
        origins.by_licence(origin.manifest, origin.index),
    )
    return {
        "flow": flow(scrape, dedupe, origin),
        "bars": Markup(bars),
        "scraped": [table for table in shown if table],
        "scraping": tables(scrape),
        "dropped": linked(tables(dedupe), review),
        "review": REVIEW if origin.review else None,
        "split": {name: f"{sum(counts):,}" for name, counts in parts.items()},
        "credits": origins.credits_of(origin.manifest, origin.shown),
    }


def flow(
    scrape: Mapping[str, Any], dedupe: Mapping[str, Any], origin: Origins
) -> list[tuple[str, str]]:
    """How many pictures came through each stage, as (number, what it counts)."""
    steps = [
        (scrape.get("found"), "found"),
        (scrape.get("fetched"), "downloaded"),
        (dedupe.get("files"), "different files"),
        (dedupe.get("kept"), "kept"),
    ]
    if origin.index is not None:
        trained = int((origin.index["split"] == origins.TRAIN).sum())
        steps.append((trained, "to train on"))
    return [(f"{count:,}", what) for count, what in steps if isinstance(count, int)]


def review_sections(page: Path) -> dict[str, str]:
    """Name of a section of the review page -> its address."""
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    return {name: f"{REVIEW}#{name}" for name in re.findall(r'<section id="(\w+)"', text)}


def linked(found: list[Table], places: Mapping[str, str]) -> list[Table]:
    """Tables whose names lead to the section that shows what they count."""
    also = {"kept": "browse", "exact_duplicate": "near_duplicate"}
    by_name = {spoken(name): place for name, place in places.items()}
    by_name |= {spoken(name): places[place] for name, place in also.items() if place in places}
    return [
        Table(one.title, one.rows, one.columns, by_name if one.title == "by reason" else {})
        for one in found
    ]


def accuracy(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How often each breed was recognised."""
    found = figures.get("accuracy_by_breed")
    return [
        (spoken(name), f"{value:.0%}")
        for name, value in (found.items() if isinstance(found, dict) else ())
        if isinstance(value, (int, float))
    ]


def model_facts(model: Mapping[str, Any], document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the model is, in a few lines."""
    training = model.get("training", {})
    facts = [
        ("Parameters", model.get("parameters")),
        ("Images seen in training", training.get("images")),
        ("Predicts", model.get("architecture", {}).get("objective")),
        ("Noise schedule", document["scheduler"]),
        ("Data digest", str(training.get("data_digest", ""))[:16] or None),
        ("Weights", str(model.get("weights_sha256", ""))[:16] or None),
    ]
    return [(name, number(value)) for name, value in facts if value is not None]


# --------------------------------------------------------------------------- reading


def picture(path: Path) -> Picture | None:
    """A PNG as a data URI with its size, or None if it is not there or damaged."""
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            width, height = image.size
    except (OSError, ValueError, SyntaxError):  # SyntaxError: Pillow's for a broken chunk
        return None
    return Picture(_uri(content, "png"), width, height)


def film(path: Path) -> tuple[Picture, Picture] | None:
    """An animated WebP, and its last frame for who wants no motion; None if it is not there."""
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=["WEBP"]) as image:
            image.seek(getattr(image, "n_frames", 1) - 1)
            last = io.BytesIO()
            image.convert("RGB").save(last, "PNG", optimize=True)
            width, height = image.size
    except (OSError, ValueError, EOFError):
        return None
    moving = Picture(_uri(content, "webp"), width, height)
    return moving, Picture(_uri(last.getvalue(), "png"), width, height)


def _uri(content: bytes, kind: str) -> Markup:
    return Markup(f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except (OSError, ValueError):
        return {}


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, keep_default_na=False)
    except (OSError, ValueError):  # missing, empty, no CSV
        return pd.DataFrame()
