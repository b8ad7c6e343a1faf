"""Training curves as inline SVG that takes the page's colours, light or dark."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogFormatterMathtext, NullFormatter

# Stand-ins that matplotlib accepts; the page's style decides what they look like.
_COLOURS = {"#010203": "currentColor", "#010204": "var(--accent)", "#010205": "var(--faint)"}
_INK, _ACCENT, _FAINT = _COLOURS

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
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "curves",
        "font.size": 11,
        "font.family": "DejaVu Sans",
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _FAINT,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with rc_context(style):
        side = shown[1:]
        figure = Figure(figsize=(9, 3.4 + (2 if side else 0)), layout="constrained")
        figure.patch.set_alpha(0)
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
        out = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(out, format="svg", metadata=nothing)
    return _bare(out.getvalue())


def _panel(axes: Axes, curves: Curves, name: str, width: float) -> None:
    images, values = curves["images"], curves[name]
    axes.set_facecolor("none")
    if name == "loss" and len(values) >= 10:
        axes.plot(images, values, color=_FAINT, linewidth=1.2, gid=f"{name}-raw")
        axes.plot(images, smooth(values), color=_ACCENT, linewidth=width, gid=name)
    else:
        axes.plot(images, values, color=_ACCENT, linewidth=width, gid=name)
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
    axes.grid(True, color=_FAINT, alpha=0.35, linewidth=0.6)
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


def _bare(svg: str) -> str:
    """The ``<svg>`` element alone, for use inside HTML: no prologue, metadata, names of schemas."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'(<svg[^>]*?)\s+width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?)\s+height="[^"]*"', r"\1", svg, count=1)
    label = "Training curves over the images seen"
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    for stand_in, colour in _COLOURS.items():
        svg = svg.replace(stand_in, colour)
    return svg.replace("'DejaVu Sans'", "system-ui, sans-serif")
