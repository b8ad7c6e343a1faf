"""reports/index.html from what the stages left in reports/: a page that is one file.

Pictures are data URIs, curves inline SVG, styles inline; a content policy in the page forbids every
request. Everything that came from outside (breed names, params, messages) is escaped by the
template engine. Equal inputs give equal bytes.
"""

from __future__ import annotations

import base64
import json
import platform
import shlex
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from pipeline import __version__
from pipeline.evaluation.metrics import FLOOR, METRICS
from pipeline.evaluation.montage import spoken
from pipeline.knobs import flatten
from pipeline.params import Params, to_dict
from pipeline.report.curves import draw_curves, read_curves
from pipeline.workspace import write_text

PACKAGES = ("torch", "numpy", "pandas", "pillow", "mlflow", "dvc")


@dataclass(frozen=True)
class Picture:
    """A picture as the page holds it."""

    uri: Markup
    width: int
    height: int


@dataclass(frozen=True)
class Row:
    """A line of the table of metrics, as text."""

    title: str
    name: str
    value: str
    floor: str
    better: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """Rows of a name and its figures, as text. Without ``columns`` each row has one figure."""

    title: str
    rows: list[tuple[str, ...]]
    columns: tuple[str, ...] = ()


def write_page(
    reports: Path,
    params: Params,
    model: Mapping[str, Any],
    classes: Sequence[str],
    review: Path | None = None,
) -> None:
    """Write ``reports/index.html`` from the files in ``reports``; what is missing is left out.

    Args:
        reports: folder with metrics.json, samples.png, denoising.png, nearest.png, loss.csv,
            scrape.json, dedupe.json.
        params: what was run.
        model: model.json.
        classes: the breeds.
        review: the review page of the cleaning; linked if it exists.
    """
    write_text(reports / "index.html", render(reports, params, model, classes, review))


def render(
    reports: Path,
    params: Params,
    model: Mapping[str, Any],
    classes: Sequence[str],
    review: Path | None = None,
) -> str:
    """The page as text. Arguments as for ``write_page``."""
    figures = _read_json(reports / "metrics.json")
    document = used_params(params, model)
    templates = Path(__file__).parent / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        style=Markup((templates / "report.css").read_text(encoding="utf-8")),
        breeds=[spoken(name) for name in classes],
        figures=figures,
        metrics=metric_rows(figures),
        accuracy=[
            (spoken(name), f"{value:.0%}")
            for name, value in figures.get("accuracy_by_breed", {}).items()
        ],
        pictures={
            name: picture(reports / f"{name}.png") for name in ("samples", "denoising", "nearest")
        },
        curves=Markup(draw_curves(read_curves(reports / "loss.csv"))),
        scraped=tables(_read_json(reports / "scrape.json")),
        dropped=tables(_read_json(reports / "dedupe.json")),
        review="../data/clean/review.html" if review is not None and review.is_file() else None,
        params=[(key, _plain(value)) for key, value in flatten(document).items()],
        evaluate=params.evaluate,
        facts=model_facts(model, document),
        command=reproduce(document),
        versions=versions(),
    )


# --------------------------------------------------------------------------- what is shown


def metric_rows(figures: Mapping[str, Any]) -> list[Row]:
    """The metrics that were measured, in the order in which they are explained."""
    return [
        Row(
            metric.title,
            metric.name,
            number(figures[metric.name]),
            number(figures.get(metric.name + FLOOR)),
            metric.better,
            metric.meaning,
        )
        for metric in METRICS
        if metric.name in figures
    ]


def number(value: Any) -> str:
    """A figure for a reader: four significant digits, never an exponent for ordinary sizes."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) or value == 0:
        return f"{value:,.0f}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    text = f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.1e}"
    return text.replace("-", "−", 1) if value < 0 else text


def tables(document: Mapping[str, Any]) -> list[Table]:
    """A metrics file as tables: its own figures first, then one per group of figures in it.

    ``reason_*`` and ``found_*`` make a group each; zeros among them say nothing and are left
    out. A group of groups makes a table with columns.
    """
    own: list[tuple[str, ...]] = []
    groups: dict[str, Mapping[str, Any]] = {}
    reasons: dict[str, Any] = {}
    faults: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            groups[spoken(key)] = value
        elif key.startswith("reason_"):
            reasons |= {key.removeprefix("reason_"): value} if value else {}
        elif key.startswith("found_"):
            faults |= {key.removeprefix("found_"): value} if value else {}
        elif value is not None and not isinstance(value, list):
            own.append((spoken(key), megabytes(value) if key == "bytes" else number(value)))
    if faults:
        groups = {"faults found, dropped or not": faults, **groups}
    if reasons:
        groups = {"by reason": reasons, **groups}
    found = [Table("", own)] if own else []
    return found + [_group(title, group) for title, group in groups.items() if group]


def _group(title: str, group: Mapping[str, Any]) -> Table:
    if not all(isinstance(value, Mapping) for value in group.values()):
        flat = flatten(dict(group)).items()
        return Table(title, [(spoken(name), number(value)) for name, value in flat])
    columns = tuple(dict.fromkeys(key for inner in group.values() for key in inner))
    rows = [
        (spoken(name), *(number(inner.get(column)) for column in columns))
        for name, inner in group.items()
    ]
    return Table(title, rows, tuple(map(spoken, columns)))


def megabytes(value: float) -> str:
    return f"{value / 1e6:,.1f} MB"


def used_params(params: Params, model: Mapping[str, Any]) -> dict[str, Any]:
    """The params behind the page: those of the training as the model remembers them."""
    document = to_dict(params)
    document.pop("tracking")
    training = model.get("training", {})
    document |= {key: training[key] for key in ("seed", "train") if key in training}
    document["scheduler"] = model.get("architecture", {}).get("schedule", document["scheduler"])
    return document


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


def reproduce(document: Mapping[str, Any]) -> str:
    """The command that runs this again: every param that is not the default, by name."""
    usual = flatten(to_dict(Params()))
    words = []
    for key, value in flatten(dict(document)).items():
        if key.startswith("scrape.sources.") or value == usual.get(key):
            continue
        words.append(f"-S {shlex.quote(f'{key}={_plain(value)}')}")
    for name, count in document["scrape"]["sources"].items():
        if usual.get(f"scrape.sources.{name}") != count:
            words.append(f"-S {shlex.quote(f'scrape.sources.{name}={count}')}")
    return " \\\n    ".join(["dvc exp run", *words]) if words else "dvc repro"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def versions() -> list[tuple[str, str]]:
    found = [("this project", __version__), ("Python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found


def picture(path: Path) -> Picture | None:
    """A PNG as a data URI with its size, or None if it is not there."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        return None
    width, height = struct.unpack(">II", content[16:24])
    encoded = base64.b64encode(content).decode("ascii")
    return Picture(Markup(f"data:image/png;base64,{encoded}"), width, height)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
