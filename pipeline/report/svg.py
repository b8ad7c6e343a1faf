"""matplotlib figures as inline SVG that takes the page's colours, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from markupsafe import escape
from matplotlib import rc_context
from matplotlib.figure import Figure

# Stand-ins that matplotlib accepts; the page's style decides what they look like.
_COLOURS = {"#010203": "currentColor", "#010204": "var(--accent)", "#010205": "var(--faint)"}
INK, ACCENT, FAINT = _COLOURS


@contextmanager
def drawing() -> Iterator[None]:
    """Within it, figures are drawn in the page's colours and in text that stays text."""
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "curves",
        "font.size": 11,
        "font.family": "DejaVu Sans",
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": FAINT,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with rc_context(style):
        yield


def element(figure: Figure, label: str, prefix: str = "") -> str:
    """The ``<svg>`` of a figure, for use inside HTML: no prologue, metadata, names of schemas.

    Equal bytes for equal figures.

    Args:
        label: what it shows, for who cannot see it.
        prefix: of its ids, where a page has several.
    """
    out = io.StringIO()
    figure.patch.set_alpha(0)
    figure.savefig(out, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'(<svg[^>]*?)\s+width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?)\s+height="[^"]*"', r"\1", svg, count=1)
    if prefix:
        svg = re.sub(r'(<[^>]*?\sid=")', rf"\1{prefix}-", svg)
        svg = re.sub(r'(url\(#|href="#)', rf"\1{prefix}-", svg)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
    for stand_in, colour in _COLOURS.items():
        svg = svg.replace(stand_in, colour)
    return svg.replace("'DejaVu Sans'", "system-ui, sans-serif")
