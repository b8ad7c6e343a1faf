"""Steps against quality of a trained model, and pictures a second by batch size.

    python bench/sampling.py [--models models] [--data data/dataset] [--samples 192] [--quick]

Every sampler draws the same breeds from the same seeds. The reference is the ancestral sampler with
all its steps, drawn twice from other seeds: how far the two lie apart is how much a figure means.
Prints the tables and adds a dated report and a sheet to bench/results/.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch

from pipeline.dataset.dataset import Dataset
from pipeline.diffusion.samplers import evaluations
from pipeline.diffusion.sampling import Sampling
from pipeline.evaluation.distances import distances
from pipeline.evaluation.montage import sample_grid, write_png
from pipeline.evaluation.recognition import BreedClassifier
from pipeline.model import Model, load_model

RESULTS = Path(__file__).parent / "results"
REFERENCE = Sampling("ddpm", 1000)
WALKS = (
    Sampling("ddim", 20),
    Sampling("ddim", 50),
    Sampling("heun", 10),
    Sampling("heun", 18),
    Sampling("dpmpp_2m", 10),
    Sampling("dpmpp_2m", 20),
    Sampling("dpmpp_3m", 20),
    Sampling("unipc", 10),
    Sampling("unipc", 20),
)
BATCHES = (1, 16, 256)


@dataclass(frozen=True)
class Drawn:
    """What one sampler made of the seeds: pictures, seconds, and its distances to training."""

    how: Sampling
    images: np.ndarray
    seconds: float
    figures: dict[str, float]

    @property
    def evaluations(self) -> int:
        return evaluations(self.how.sampler, self.how.steps)


def main() -> None:
    options = arguments()
    model = load_model(options.models, options.device)
    dataset = Dataset.load(options.data)
    torch.set_num_threads(options.threads or torch.get_num_threads())
    judge = Judge(dataset)
    labels = torch.arange(options.samples) % len(model.classes)
    reference = Sampling("ddpm", 100) if options.quick else REFERENCE
    walks = WALKS[1::4] if options.quick else WALKS
    drawn = []
    for how, first in ((reference, 0), (reference, 10**6), *((how, 0) for how in walks)):
        drawn.append(draw(model, judge, labels, first, how, options.guidance))
        print(line(drawn[-1], drawn[0]), flush=True)
    speeds = throughput(model, (1, 16) if options.quick else BATCHES, options.guidance)
    report(options, model, judge, drawn, speeds)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--data", type=Path, default=Path("data/dataset"))
    parser.add_argument("--samples", type=int, default=192)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="few samplers, 100 ancestral steps")
    return parser.parse_args()


class Judge:
    """The project's own distances to the training pictures, and their floor."""

    def __init__(self, dataset: Dataset) -> None:
        train, held_out = dataset.train_indices, dataset.held_out_indices
        self.train = np.ascontiguousarray(dataset.images[train])
        labels = np.asarray(dataset.labels)
        self.classifier = BreedClassifier.fit(self.train, labels[train], len(dataset.classes), 0)
        held = np.ascontiguousarray(dataset.images[held_out])
        self.floor = self(held, labels[held_out]) if len(held) > 1 else {}

    def __call__(self, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        return {
            **distances(images, self.train, 0),
            "breed_accuracy": self.classifier.accuracy(images, labels),
        }


def draw(
    model: Model, judge: Judge, labels: torch.Tensor, first: int, how: Sampling, guidance: float
) -> Drawn:
    how = Sampling(how.sampler, how.steps, guidance)
    model.sample(labels[:2], [0, 1], Sampling(how.sampler, 2, guidance))  # warm up
    started = time.perf_counter()
    images = model.sample(labels, range(first, first + len(labels)), how, batch_size=64)
    seconds = time.perf_counter() - started
    return Drawn(how, images, seconds, judge(images, labels.numpy()))


def throughput(model: Model, batches: tuple[int, ...], guidance: float) -> dict[int, float]:
    """Pictures a second with UniPC's 20 evaluations, at each batch size."""
    speeds = {}
    for batch in batches:
        labels = torch.arange(batch) % len(model.classes)
        started, count = time.perf_counter(), 0
        while count < batch or time.perf_counter() - started < 5:
            model.sample(labels, range(batch), Sampling("unipc", 20, guidance), batch_size=batch)
            count += batch
        speeds[batch] = count / (time.perf_counter() - started)
    return speeds


def line(drawn: Drawn, reference: Drawn) -> str:
    figures = " | ".join(f"{value:.4g}" for value in drawn.figures.values())
    each = 1000 * drawn.seconds / len(drawn.images)
    faster = reference.seconds / drawn.seconds
    name = f"{drawn.how.sampler} {drawn.how.steps}"
    return f"| {name} | {drawn.evaluations} | {each:.1f} | {faster:.1f} | {figures} |"


def verdict(drawn: list[Drawn]) -> list[str]:
    """Whether 20 evaluations do what the reference does, figure by figure."""
    first, second, *others = drawn
    lines = []
    for one in others:
        if one.evaluations > 20:
            continue
        worse = [
            name
            for name, value in one.figures.items()
            if name != "breed_accuracy" and value > allowed(first, second, name)
        ]
        said = "not worse in any distance" if not worse else f"worse in {', '.join(worse)}"
        lines.append(
            f"- {one.how.sampler}, {one.evaluations} evaluations: {said}; "
            f"{first.seconds / one.seconds:.0f} times as fast"
        )
    return lines


def allowed(first: Drawn, second: Drawn, name: str) -> float:
    """The worse of the two references, and once their distance from each other on top."""
    a, b = first.figures[name], second.figures[name]
    return max(a, b) + abs(a - b)


def report(
    options: argparse.Namespace,
    model: Model,
    judge: Judge,
    drawn: list[Drawn],
    speeds: dict[int, float],
) -> None:
    names = list(drawn[0].figures)
    device = torch.cuda.get_device_name() if model.device.type == "cuda" else platform.machine()
    lines = [
        f"# Sampling, {date.today()}",
        "",
        f"{device}, {os.cpu_count()} cores, torch {torch.__version__}; "
        f"{options.samples} pictures of {model.size}x{model.size}, guidance {options.guidance:g}, "
        f"model of {model.info['parameters']:,} parameters trained on "
        f"{model.info['training'].get('images', 0):,} images ({model.info['training'].get('seed')} "
        "the seed). Lower is better, but for breed_accuracy.",
        "",
        "| sampler, steps | evaluations | ms a picture | times as fast | "
        + " | ".join(names)
        + " |",
        "|---" * (4 + len(names)) + "|",
        *(line(one, drawn[0]) for one in drawn),
        "| held-out pictures | | | | "
        + " | ".join(f"{judge.floor.get(name, float('nan')):.4g}" for name in names)
        + " |",
        "",
        "Within the two references' own distance from each other:",
        "",
        *verdict(drawn),
        "",
        "| batch | pictures a second (unipc, 20 evaluations) |",
        "|---|---|",
        *(f"| {batch} | {speed:.1f} |" for batch, speed in speeds.items()),
        "",
    ]
    print("\n".join(lines))
    RESULTS.mkdir(exist_ok=True)
    stem = RESULTS / f"{date.today()}-sampling-{model.device.type}"
    stem.with_suffix(".md").write_text("\n".join(lines))
    shown = np.concatenate([one.images[:8] for one in drawn])
    rows = np.repeat(np.arange(len(drawn)), 8)[: len(shown)]
    titles = [f"{one.how.sampler} {one.how.steps}" for one in drawn]
    write_png(stem.with_suffix(".png"), sample_grid(shown, rows, titles, scale=1))


if __name__ == "__main__":
    main()
