"""Figures and files of figures as the page shows them: rows and tables of text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.evaluation.metrics import FLOOR, METRICS
from pipeline.evaluation.montage import spoken
from pipeline.knobs import flatten


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
    """Rows of a name and its figures, as text. Without ``columns`` each row has one figure.

    ``links`` are addresses of names, where there is more to see.
    """

    title: str
    rows: list[tuple[str, ...]]
    columns: tuple[str, ...] = ()
    links: dict[str, str] = field(default_factory=dict)


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


def other_figures(figures: Mapping[str, Any]) -> list[Table]:
    """What was measured beside the metrics that have a meaning and the accuracy by breed."""
    named = {metric.name for metric in METRICS}
    shown = named | {name + FLOOR for name in named} | {"accuracy_by_breed"}
    return tables({key: value for key, value in figures.items() if key not in shown})


def number(value: Any) -> str:
    """A figure for a reader: three significant digits, never an exponent for ordinary sizes."""
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


def megabytes(value: Any) -> str:
    return f"{value / 1e6:,.1f} MB" if isinstance(value, (int, float)) else str(value)
