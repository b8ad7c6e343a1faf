"""Which breed was asked, and which one a classifier sees: the table as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipeline.evaluation.montage import FAINT, GROUND, INK, spoken

_WRITTEN = 16  # breeds up to which the shares are written into the table
_NAMED = 40  # ... and up to which every row has its name


def confusion_picture(counts: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """A row a breed asked for, a column a breed recognised, in shares of the row.

    Args:
        counts: C×C samples by asked and recognised breed; rows may be empty.
        classes: their C names.

    Returns:
        uint8 H×W×3, equal for equal arguments.
    """
    size = len(classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [spoken(name)[:24] for name in classes]
    side = float(np.clip(2.6 + 0.42 * size, 4, 12))
    ground, ink, faint = ("#{:02x}{:02x}{:02x}".format(*c) for c in (GROUND, INK, FAINT))
    style: Any = {
        **{"text.color": ink, "axes.labelcolor": ink, "xtick.color": faint, "ytick.color": faint},
        **{"font.family": "DejaVu Sans", "font.size": 9, "text.parse_math": False},
    }
    with rc_context(style):
        figure = Figure(figsize=(side, side), dpi=100, facecolor=ground, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.imshow(shares, vmin=0, vmax=1, cmap="viridis")
        step = max(1, -(-size // _NAMED))
        places = range(0, size, step)
        axes.set_xticks(places, [names[k] for k in places], rotation=90)
        axes.set_yticks(places, [names[k] for k in places])
        axes.set_xlabel("recognised as")
        axes.set_ylabel("asked for")
        if size <= _WRITTEN:
            for (row, column), share in np.ndenumerate(shares):
                if share >= 0.005:
                    dark = share > 0.6  # the colours grow lighter
                    colour = ground if dark else ink
                    axes.text(column, row, f"{share:.0%}", ha="center", va="center", color=colour)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
