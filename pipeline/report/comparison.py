"""reports/compare-A-B.html: two models side by side, drawn from equal noise. One file, offline.

Like the result page (``pipeline.report.page``): pictures are data URIs, styles inline, a content
policy forbids every request, and the template engine escapes all that comes from outside.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from markupsafe import Markup
from PIL import Image

from pipeline.diffusion.sampling import Sampling
from pipeline.errors import PipelineError
from pipeline.evaluation.montage import sample_grid, spoken
from pipeline.model import Model
from pipeline.report.page import Picture
from pipeline.report.templating import fill
from pipeline.workspace import write_text

TILE = 96  # pixels a picture is enlarged to, about


@dataclass(frozen=True)
class Side:
    """One of the two models: its name, a few facts, and its pictures."""

    name: str
    facts: list[tuple[str, str]]
    grid: Picture


def common_breeds(models: Sequence[Model]) -> list[str]:
    """The breeds that all models know, in the order of the first.

    Raises:
        PipelineError: there are none.
    """
    breeds = [name for name in models[0].classes if all(name in m.classes for m in models)]
    if not breeds:
        raise PipelineError("the two models know no breed in common: there is nothing to draw")
    return breeds


def draw_grid(
    model: Model, breeds: Sequence[str], seeds: Sequence[int], how: Sampling, batch_size: int
) -> np.ndarray:
    """A row a breed and a column a seed: uint8 H×W×3."""
    labels = torch.tensor([model.classes.index(breed) for breed in breeds])
    images = model.sample(
        labels.repeat_interleave(len(seeds)), list(seeds) * len(breeds), how, batch_size
    )
    rows = np.repeat(np.arange(len(breeds)), len(seeds))
    return sample_grid(images, rows, list(breeds), scale=max(1, round(TILE / model.size)))


def picture(pixels: np.ndarray) -> Picture:
    """uint8 H×W×3 as a data URI."""
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "PNG", optimize=True)
        encoded = base64.b64encode(file.getvalue()).decode("ascii")
    return Picture(
        Markup(f"data:image/png;base64,{encoded}"), width=pixels.shape[1], height=pixels.shape[0]
    )


def file_name(names: Sequence[str]) -> str:
    """``compare-A-B.html`` with what a file name may hold of the names."""
    parts = [re.sub(r"[^A-Za-z0-9._]+", "_", name).strip("._")[:40] or "model" for name in names]
    return f"compare-{'-'.join(parts)}.html"


def write_comparison(
    reports: Path,
    sides: Sequence[Side],
    params: Sequence[Sequence[str]],
    metrics: Sequence[Sequence[str]],
    breeds: Sequence[str],
    seeds: Sequence[int],
    how: Sampling,
) -> Path:
    """Write the page and give its path.

    Args:
        sides: two.
        params: rows of name and the value of each side, those that differ.
        metrics: the same of figures.
        breeds, seeds, how: what the grids show, and how they were drawn.
    """
    page = fill(
        "compare.html",
        sides=sides,
        params=params,
        metrics=metrics,
        breeds=[spoken(name) for name in breeds],
        seeds=f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0]),
        how=how,
    )
    path = reports / file_name([side.name for side in sides])
    write_text(path, page)
    return path
