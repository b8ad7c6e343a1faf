"""evaluate: models/ + data/dataset -> reports/metrics.json, the pictures, index.html.

The figures join the MLflow row of the training; with other ``evaluate`` params than that row
already has, they get a row of their own under it.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch

from pipeline import params as schema
from pipeline import progress, workspace
from pipeline.dataset.dataset import Dataset
from pipeline.ending import run_stage
from pipeline.evaluation import montage
from pipeline.evaluation.confusion import confusion_picture
from pipeline.evaluation.inception import small_sample_note
from pipeline.evaluation.metrics import (
    Pictures,
    evaluate,
)
from pipeline.evaluation.plan import Plan, plan_samples
from pipeline.evaluation.preparation import (
    check_fit,
    check_primary,
    feature_net,
    how_of,
    nets_at_hand,
    primary_noise,
    split,
)
from pipeline.model import Model, load_model
from pipeline.params import EvaluateParams, Params
from pipeline.report.drawings import draw_denoising, draw_grid, draw_nearest, enlargement
from pipeline.report.origins import origins_of
from pipeline.report.page import write_page
from pipeline.report.pictures import write_pictures
from pipeline.results import costs, record, summary
from pipeline.workspace import Workspace


@workspace.alone("evaluate")
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
    with progress.parts("measure") as tell:
        tell("feature net")
        start = time.monotonic()
        local = feature_net(space, dataset, train)
        trained = time.monotonic() - start
        labelled = samples, train, held_out
        result = evaluate(*labelled, dataset.classes, chosen.seed, local, others, tell)
        tell("noise")
        noise = primary_noise(chosen, samples, train, len(dataset.classes), local)
    if others and (note := small_sample_note(len(samples), len(train))):
        print(note, file=sys.stderr, flush=True)
    result.seconds["feature net"] += trained
    print(costs(result.seconds), flush=True)
    figures = result.to_json() | noise

    workspace.write_json(space.reports / "metrics.json", figures)
    pictures = {
        "samples": draw_grid(images, plan, dataset.classes),
        "denoising": draw_denoising(model, plan, how_of(chosen)),
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


def main() -> None:
    space = Workspace.find()
    figures = run(schema.load(space.params), space)
    print(summary(figures))
    print(f"the result page: {space.reports / 'index.html'}")


if __name__ == "__main__":
    run_stage(main)
