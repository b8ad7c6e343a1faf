"""evaluate: models/ + data/dataset -> reports/metrics.json, the pictures, index.html.

The figures join the MLflow row of the training; with other ``evaluate`` params than that row
already has, they get a row of their own under it.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline import params as schema
from pipeline import progress, recording, workspace
from pipeline.dataset.dataset import Dataset
from pipeline.devices import resolve_device
from pipeline.diffusion.sampling import Sampling
from pipeline.errors import ParamsError, PipelineError, run_cleanly
from pipeline.evaluation import montage
from pipeline.evaluation.catalogue import DINOV2
from pipeline.evaluation.confusion import confusion_picture
from pipeline.evaluation.dinov2 import load_dinov2
from pipeline.evaluation.features import LocalFeatures, cached_features
from pipeline.evaluation.inception import load_inception, small_sample_note
from pipeline.evaluation.metrics import (
    FLOOR,
    METRICS,
    Evaluation,
    Extract,
    Pictures,
    evaluate,
    rounded,
)
from pipeline.evaluation.noise import MEASURED, NOISE, measure_of, standard_error
from pipeline.evaluation.plan import Plan, plan_samples
from pipeline.knobs import flatten
from pipeline.model import Model, load_model
from pipeline.params import EvaluateParams, Params
from pipeline.report.origins import origins_of
from pipeline.report.page import write_page
from pipeline.report.pictures import write_pictures
from pipeline.stamp import name_in, read_run
from pipeline.workspace import Workspace

FRAMES = 8
TILE = 128  # pixels a picture is enlarged to, about


def run(params: Params, space: Workspace) -> dict[str, Any]:
    """Sample, measure, draw, record. Returns the figures as written to metrics.json."""
    chosen = params.evaluate
    check_primary(chosen.primary)
    model = load_model(space.models, chosen.device)
    dataset = Dataset.load(space.dataset)
    check_fit(model, dataset)
    others = nets_at_hand(chosen)  # refuses before any work
    counts = np.bincount(dataset.labels[dataset.train_indices], minlength=len(dataset.classes))
    plan = plan_samples(counts, chosen.samples, chosen.grid, chosen.seed)

    images, speed = draw_samples(model, plan, chosen)
    samples = Pictures(images[plan.measured], plan.labels[plan.measured])
    train, held_out = split(dataset)
    print(f"measuring {len(samples):,} samples against {len(train):,} pictures", flush=True)
    start = time.monotonic()
    local = feature_net(space, dataset, train)
    trained = time.monotonic() - start
    result = evaluate(samples, train, held_out, dataset.classes, chosen.seed, local, others)
    if others and (note := small_sample_note(len(samples), len(train))):
        print(note, file=sys.stderr, flush=True)
    result.seconds["feature net"] += trained
    print(costs(result.seconds), flush=True)
    noise = primary_noise(chosen, samples, train, len(dataset.classes), local)
    figures = result.to_json() | noise

    workspace.write_json(space.reports / "metrics.json", figures)
    pictures = {
        "samples": draw_grid(images, plan, dataset.classes),
        "denoising": draw_denoising(model, plan, chosen),
        "nearest": draw_nearest(samples, train, result, chosen.neighbours),
        "confusion": confusion_picture(result.confusion, dataset.classes),
    }
    for name, picture in pictures.items():
        montage.write_png(space.reports / f"{name}.png", picture)
    shown = write_pictures(
        space.reports, model, dataset, plan, how_of(chosen), chosen.batch_size,
        lambda rows: enlargement(model.size, rows),
    )  # fmt: skip
    origin = origins_of(space, dataset, shown)
    write_page(space.reports, params, model.info, dataset.classes, origin)
    seconds = {"eval/images_per_second": speed}
    seconds |= {f"eval/seconds/{name}": value for name, value in result.seconds.items()}
    digests = dataset.digest, local.digest
    record(params, space, model, figures, pictures["samples"], seconds, *digests)
    return figures


def check_primary(name: str) -> None:
    if name not in MEASURED:
        known = ", ".join(MEASURED)
        raise ParamsError(f"evaluate.primary: got {name!r}, expected one of {known}")


def primary_noise(
    chosen: EvaluateParams, samples: Pictures, train: Pictures, classes: int, local: Extract
) -> dict[str, float]:
    """``<primary>_noise``: the standard error of the figure that ranks models."""
    measure = measure_of(chosen.primary, train, classes, chosen.seed, local)
    name = f"{chosen.primary}{NOISE}"
    return rounded({name: standard_error(measure, samples, chosen.seed)})


def check_fit(model: Model, dataset: Dataset) -> None:
    """Raises PipelineError where the model was not trained on data of this kind."""
    if model.classes != dataset.classes:
        odd = sorted(set(model.classes) ^ set(dataset.classes)) or ["the order"]
        raise PipelineError(
            f"models/ and data/dataset do not belong together: the breeds differ "
            f"({', '.join(odd[:4])}{', …' if len(odd) > 4 else ''}); run `dvc repro` or train anew"
        )
    if model.size != dataset.images.shape[1]:
        raise PipelineError(
            f"models/ and data/dataset do not belong together: pictures of {model.size} and "
            f"{dataset.images.shape[1]} pixels; run `dvc repro` or train anew"
        )
    if len(dataset.train_indices) < 4:
        raise PipelineError(
            f"data/dataset: {len(dataset.train_indices)} training pictures are too few to measure "
            "against: scrape more, or lower resize.held_out"
        )


def split(dataset: Dataset) -> tuple[Pictures, Pictures]:
    train, held_out = (
        Pictures(np.ascontiguousarray(dataset.images[rows]), np.asarray(dataset.labels)[rows])
        for rows in (dataset.train_indices, dataset.held_out_indices)
    )
    return train, held_out


def nets_at_hand(chosen: EvaluateParams) -> dict[str, Extract]:
    """Features of the nets whose weights params name, by what ends their metrics' names.

    Raises:
        ParamsError: they cannot be had.
    """
    device = resolve_device(chosen.device, "evaluate.device")
    found = {}
    if chosen.inception:
        found[""] = load_inception(chosen.inception, chosen.inception_sha256, device)
    if chosen.dinov2:
        found[DINOV2] = load_dinov2(chosen.dinov2, chosen.dinov2_sha256, device)
    return found


def feature_net(space: Workspace, dataset: Dataset, train: Pictures) -> LocalFeatures:
    """The net behind the ``…_local`` metrics; trained once for a data set."""
    folder = space.cache / "features"
    return cached_features(folder, dataset.digest, train.images, train.labels, len(dataset.classes))


def draw_samples(model: Model, plan: Plan, chosen: EvaluateParams) -> tuple[np.ndarray, float]:
    """The pictures of the plan, and how many were made a second."""
    start = time.monotonic()
    with progress.bar(len(plan.labels), "sample", "images") as bar:
        images = model.sample(
            torch.from_numpy(plan.labels),
            plan.seeds,
            how_of(chosen),
            chosen.batch_size,
            on_step=lambda done, _total: bar.update(done - bar.n),
        )
    return images, len(images) / (time.monotonic() - start)


def how_of(chosen: EvaluateParams) -> Sampling:
    """How params want pictures to be drawn."""
    return Sampling(
        chosen.sampler,
        chosen.steps,
        chosen.guidance,
        chosen.guide,
        chosen.eta,
        chosen.variance,
    )


def enlargement(side: int, breeds: int = 1) -> int:
    """Whole factor to about TILE pixels; half of it where many breeds make a tall picture."""
    return max(1, TILE // side // (2 if breeds > 12 else 1))


def draw_grid(images: np.ndarray, plan: Plan, classes: list[str]) -> np.ndarray:
    scale = enlargement(images.shape[1], len(classes))
    return montage.sample_grid(images[plan.shown], plan.labels[plan.shown], classes, scale=scale)


def draw_denoising(model: Model, plan: Plan, chosen: EvaluateParams) -> np.ndarray:
    """The way of the first sample in the grid."""
    noisy, denoised, sigmas = model.trajectory(
        int(plan.labels[0]), plan.seeds[0], how_of(chosen), FRAMES
    )
    return montage.denoising_strip(noisy, denoised, sigmas, scale=enlargement(model.size))


def draw_nearest(samples: Pictures, train: Pictures, result: Evaluation, count: int) -> np.ndarray:
    """The samples that look most like copies, beside what they look like."""
    found, by_features = result.copies, result.by_features
    worst = found.worst(count)
    turned = np.where(found.by_hash.mirrored, ", mirrored", "")
    ways = {
        "by hash": (found.by_hash, [f"{found.by_hash.distance[i]} bits{turned[i]}" for i in worst]),
        "by pixels": (found.by_pixels, [f"ratio {found.ratio[i]:.2f}" for i in worst]),
        "by features": (by_features, [f"distance {by_features.distance[i]:.2f}" for i in worst]),
    }
    return montage.nearest_grid(
        samples.images[worst],
        {name: (one.pictures(train.images)[worst], notes) for name, (one, notes) in ways.items()},
        scale=enlargement(samples.images.shape[1]),
    )


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
        row.log_model(
            space.models,
            params.tracking.experiment,
            values,
            primary_result(chosen.primary, figures, data),
            {key: getattr(chosen, key) for key in ("sampler", "steps", "guidance")},
        )
        row.log_table(scrape_table(space.reports), "scrape/outcomes.json")
        row.log_image(grid, "eval/samples", step)
        for name in ("metrics.json", "denoising.png", "nearest.png", "confusion.png", "index.html"):
            row.log_artifact(space.reports / name, "reports")
    for line in row.said:
        print(line)


def primary_result(name: str, figures: dict[str, Any], data: str) -> dict[str, Any]:
    """The figure that ranks models, as ``registry.Result`` takes it."""
    better = next(metric.better for metric in METRICS if metric.name == name)
    value, noise = figures.get(name, math.nan), figures.get(name + NOISE, 0.0)
    return {"metric": name, "value": value, "noise": noise, "better": better, "data": data}


def scraped(reports: Path) -> dict[str, float]:
    """What scraping came to, by reason of failure and by source: metrics ``scrape/…``."""
    try:
        document = workspace.read_json(reports / "scrape.json")
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


def main() -> None:
    space = Workspace.find()
    figures = run(schema.load(space.params), space)
    print(summary(figures))
    print(f"the result page: {space.reports / 'index.html'}")


if __name__ == "__main__":
    run_cleanly(main)
