"""What an evaluation leaves: the row in MLflow, the version of the model, the lines it prints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import recording
from pipeline.candidate import Candidate, Result
from pipeline.evaluation.metrics import FLOOR, METRICS
from pipeline.evaluation.noise import NOISE
from pipeline.knobs import flatten
from pipeline.model import Model
from pipeline.params import Params
from pipeline.stamp import name_in, read_run
from pipeline.workspace import Workspace, read_json


def record(
    params: Params,
    space: Workspace,
    model: Model,
    figures: dict[str, Any],
    grid: np.ndarray,
    seconds: dict[str, float],
    data: str,
    features: str,
) -> None:
    """Put figures and pictures into the MLflow row of the training, register the model, and say
    whether it is the champion now."""
    chosen = params.evaluate
    values = {
        f"eval/{key}": float(value)
        for key, value in figures.items()
        if isinstance(value, (int, float))
    }
    values |= seconds
    step = int(model.info.get("training", {}).get("images", 0))
    with recording.open_record(
        space,
        params,
        of=training_run(space.models),
        tags={"stage": "evaluate", "features.local": features[:16]},
    ) as row:
        row.log_metrics(scraped(space.reports))
        result = primary_result(chosen.primary, figures, data)
        how = {key: getattr(chosen, key) for key in ("sampler", "steps", "guidance")}
        name = params.tracking.experiment
        row.log_model(space.models, Candidate(name, values, result, how))
        row.log_table(scrape_table(space.reports), "scrape/outcomes.json")
        row.log_image(grid, "eval/samples", step)
        for name in ("metrics.json", "denoising.png", "nearest.png", "confusion.png", "index.html"):
            row.log_artifact(space.reports / name, "reports")
    for line in row.said:
        print(line)


def primary_result(name: str, figures: dict[str, Any], data: str) -> Result:
    """The figure that ranks models."""
    better = next(metric.better for metric in METRICS if metric.name == name)
    value, noise = figures.get(name, math.nan), figures.get(name + NOISE, 0.0)
    return Result(name, value, noise, better, data)


def scraped(reports: Path) -> dict[str, float]:
    """What scraping came to, by reason of failure and by source: metrics ``scrape/…``."""
    try:
        document = read_json(reports / "scrape.json")
    except (OSError, ValueError):
        return {}
    flat = flatten({"scrape": document})
    return {
        key.replace(".", "/"): float(value)
        for key, value in flat.items()
        if isinstance(value, (int, float))
    }


def scrape_table(reports: Path) -> list[dict[str, Any]]:
    """A row for each breed and source."""
    try:
        table = pd.read_csv(reports / "scrape.csv", keep_default_na=False)
    except (OSError, pd.errors.EmptyDataError):
        return []
    return table.to_dict("records")


def training_run(models: Path) -> dict[str, str]:
    """Where the MLflow run that models/ came from is found; empty if that is not known."""
    note = read_run(models)
    found = {key: name_in(note, key) for key in ("run_id", "spool")}
    return {key: value for key, value in found.items() if value}


def summary(figures: dict[str, Any]) -> str:
    """A line a metric: value, and the same for held-out real pictures."""
    width = max(len(metric.name) for metric in METRICS)
    lines = []
    for metric in METRICS:
        if metric.name in figures:
            floor = figures.get(metric.name + FLOOR)
            beside = "" if floor is None else f"   real {floor:>9.4g}"
            lines.append(
                f"{metric.name:<{width}} {figures[metric.name]:>9.4g}{beside}   {metric.better}"
            )
    return "\n".join(lines)


def costs(seconds: dict[str, float]) -> str:
    """A line for whatever took time, the dearest first."""
    width = max(map(len, seconds))
    ordered = sorted(seconds.items(), key=lambda item: -item[1])
    return "\n".join(f"  {name:<{width}} {value:>7.2f} s" for name, value in ordered)
