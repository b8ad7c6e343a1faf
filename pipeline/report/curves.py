"""Training curves, and bars by breed, as inline SVG."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogFormatterMathtext, MaxNLocator, NullFormatter

from pipeline.report.svg import ACCENT, FAINT, INK, drawing, element

Curves = dict[str, list[float]]
"""Column of loss.csv -> its values; ``images`` is the axis."""

PANELS = {
    "loss": "Loss",
    "grad_norm": "Norm of the gradient",
    "lr": "Learning rate",
    "images_per_second": "Images per second",
}


def read_curves(path: Path) -> Curves:
    """The numeric columns of ``loss.csv``; rows and columns that are no numbers are left out.

    A missing or empty file gives no curves: the page is drawn without.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}
    names = [name for name in ("images", *PANELS) if rows and name in rows[0]]
    curves: Curves = {name: [] for name in names}
    for row in rows:
        try:
            values = [float(row[name]) for name in names]
        except (TypeError, ValueError):
            continue
        for name, value in zip(names, values, strict=True):
            curves[name].append(value)
    return curves if curves.get("images") else {}


def draw_curves(curves: Curves) -> str:
    """A panel per column, over the images seen: an ``<svg>`` element, equal bytes for equal data.

    Its text is text, and it holds no address of any kind. Empty where there is nothing to draw.
    """
    shown = [name for name in PANELS if any(map(math.isfinite, curves.get(name, [])))]
    if not shown or len(curves["images"]) < 2:
        return ""
    with drawing():
        side = shown[1:]
        figure = Figure(figsize=(9, 3.4 + (2 if side else 0)), layout="constrained")
        if side:
            top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.7, 1))[:, 0]
            top.patch.set_alpha(0)
            bottom.patch.set_alpha(0)
            _panel(top.subplots(), curves, shown[0], width=1.8)
            small = bottom.subplots(1, len(side), squeeze=False)[0]
            for axes, name in zip(small, side, strict=True):
                _panel(axes, curves, name, width=1.2)
        else:
            _panel(figure.subplots(), curves, shown[0], width=1.8)
        return element(figure, "Training curves over the images seen")


def _panel(axes: Axes, curves: Curves, name: str, width: float) -> None:
    images, values = curves["images"], curves[name]
    axes.set_facecolor("none")
    if name == "loss" and len(values) >= 10:
        axes.plot(images, values, color=FAINT, linewidth=1.2, gid=f"{name}-raw")
        axes.plot(images, smooth(values), color=ACCENT, linewidth=width, gid=name)
    else:
        axes.plot(images, values, color=ACCENT, linewidth=width, gid=name)
    if name == "loss" and min(values) > 0 and max(values) / min(values) > 10:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(LogFormatterMathtext())
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif name != "loss":
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.locator_params(axis="x", nbins=6 if name == "loss" else 3)
    axes.set_title(PANELS[name], loc="left", fontsize=11)
    if name == "loss":
        axes.set_xlabel("images seen")
    axes.grid(True, color=FAINT, alpha=0.35, linewidth=0.6)
    axes.margins(x=0.01)


def smooth(values: list[float], span: float = 0.05) -> list[float]:
    """Mean of each value and its neighbours within half of ``span`` of the curve, either side.

    The window shrinks towards both ends, so the curve is neither shifted nor pulled there.
    """
    reach = max(1, round(span * len(values) / 2))
    result = []
    for place in range(len(values)):
        near = min(reach, place, len(values) - 1 - place)
        window = [v for v in values[place - near : place + near + 1] if math.isfinite(v)]
        result.append(sum(window) / len(window) if window else math.nan)
    return result


def draw_bars(names: Sequence[str], parts: Mapping[str, Sequence[int]], label: str) -> str:
    """A bar for each of ``names``, stacked of one to three ``parts``: an ``<svg>`` element.

    Args:
        parts: what a part is -> its length for each name.
        label: what it shows, for who cannot see it.
    """
    if not names or not any(map(any, parts.values())):
        return ""
    fills: tuple[dict[str, Any], ...] = (
        {"color": ACCENT},
        {"color": INK},
        {"color": "none", "hatch": "////"},
    )
    with drawing():
        figure = Figure(figsize=(9, 0.9 + 0.3 * len(names)), layout="constrained")
        axes = figure.subplots()
        axes.set_facecolor("none")
        start = [0] * len(names)
        for (part, lengths), fill in zip(parts.items(), fills, strict=False):
            axes.barh(
                range(len(names)), lengths, left=start, height=0.7, label=part,
                edgecolor=FAINT, linewidth=0.8, **fill,
            )  # fmt: skip
            start = [a + b for a, b in zip(start, lengths, strict=True)]
        axes.set_yticks(range(len(names)), names)
        for text in axes.get_yticklabels():
            text.set_parse_math(False)  # a name is a name, whatever signs are in it
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.spines["left"].set_visible(False)
        figure.legend(loc="outside upper left", ncols=3, frameon=False)
        return element(figure, label, prefix="bars")
