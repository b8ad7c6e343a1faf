"""Which flagship is best: the candidates trained for equal minutes on the same pictures, measured.

    python bench/flagship.py --data PICTURES --minutes 8

PICTURES is a folder of class folders, the folder of a packed data set (``data/dataset``, with its
split by duplicate cluster), or an .npz that ``--pack`` made of either. Each candidate is a preset;
its speed is measured first and its budget is what fits the minutes. It works in pieces of under ten
minutes: while there is more to do it says so and ends with code 3, and the same command goes on.
It needs torch, numpy, pillow, pandas, safetensors and tqdm, and no installation.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pipeline import params as schema  # noqa: E402
from pipeline.dataset.dataset import SUMMARY, Dataset  # noqa: E402
from pipeline.dataset.split import held_out  # noqa: E402
from pipeline.devices import resolve_autocast, resolve_device  # noqa: E402
from pipeline.diffusion.sampling import Sampling  # noqa: E402
from pipeline.errors import PipelineError, run_cleanly  # noqa: E402
from pipeline.evaluation.distances import distances  # noqa: E402
from pipeline.evaluation.metrics import FLOOR, Pictures, evaluate  # noqa: E402
from pipeline.evaluation.montage import sample_grid, write_png  # noqa: E402
from pipeline.evaluation.plan import plan_samples  # noqa: E402
from pipeline.images import PictureError, open_picture, shrink_and_crop  # noqa: E402
from pipeline.model import (  # noqa: E402
    Architecture,
    Model,
    initialise,
    load_model,
    read_info,
    save_model,
)
from pipeline.params import Params  # noqa: E402
from pipeline.progress import progress  # noqa: E402
from pipeline.training.checkpoint import Checkpoints  # noqa: E402
from pipeline.training.data import make_pictures  # noqa: E402
from pipeline.training.events import Logged, Stopped  # noqa: E402
from pipeline.training.loop import Trainer  # noqa: E402
from pipeline.workspace import atomic_write, write_json, write_text  # noqa: E402

CANDIDATES = ("dogs", "dogs-full", "dogs-patch4")
TOY = ("net.width=16", "net.multipliers=[1,2]", "net.blocks=1", "net.attention=[]", "batch_size=8")
MORE = 3  # exit code while there is more to do
COLUMNS = ("swd", "spectrum", "colour", "breed_accuracy", "diversity", "uniqueness", "copies")


def main() -> None:
    options = arguments()
    if options.data is None:
        print("flagship: give --data, as --data data/dataset, on a machine with a GPU")
        return
    started = time.monotonic()
    data = load_pictures(options.data, options.size, options.work)
    if options.pack:
        data.save(options.pack)
        print(f"{options.pack}: {len(data.images):,} pictures")
        return
    device = resolve_device(options.device, "--device")
    candidates = [Candidate(name, data, options, device) for name in options.only or CANDIDATES]
    for one in candidates:
        for job in one.jobs():
            if not job(options.piece - (time.monotonic() - started)):
                print("more to do: run the same command again")
                sys.exit(MORE)
    report(candidates, data, options, device)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", type=Path, help="the pictures, see above; without them nothing is done")
    add("--pack", type=Path, help="write the pictures to this .npz and end")
    add("--minutes", type=float, default=2.0, help="training time of each candidate")
    add("--only", nargs="+", choices=CANDIDATES, help="these candidates")
    add("--size", type=int, default=64, help="side of the pictures")
    add("--samples", type=int, default=2048, help="measured of each candidate")
    add("--guidance", type=float, default=1.5, help="strength where something guides")
    add("--piece", type=float, default=480, help="seconds after which no new work is begun")
    add("--work", type=Path, default=ROOT / ".cache" / "flagship", help="state between pieces")
    add("--output", type=Path, default=ROOT / "bench" / "results")
    add("--device", default="auto")
    add("--small", action="store_true", help="toy nets, to try the bench itself")
    options = parser.parse_args()
    options.ways = {
        "no guidance": (1.0, "labels"),
        "labels": (options.guidance, "labels"),
        "early": (options.guidance, "early"),
    }
    return options


# --------------------------------------------------------------------------- pictures


@dataclass(frozen=True)
class Loaded:
    """N pictures uint8 N x S x S x 3, their labels and whether each is held out."""

    images: np.ndarray
    labels: np.ndarray
    held: np.ndarray
    classes: list[str]
    how_split: str

    def part(self, held: bool) -> Pictures:
        return Pictures(self.images[self.held == held], self.labels[self.held == held])

    def save(self, path: Path) -> None:
        with atomic_write(path) as file:
            np.savez(file, **(vars(self) | {"classes": np.array(self.classes)}))

    @classmethod
    def load(cls, path: Path) -> Loaded:
        with np.load(path, allow_pickle=False) as file:
            values = {name: file[name] for name in file.files}
        how_split = str(values.pop("how_split"))
        return cls(**(values | {"classes": values["classes"].tolist()}), how_split=how_split)


def load_pictures(path: Path, size: int, work: Path) -> Loaded:
    if path.suffix == ".npz":
        return Loaded.load(path)
    if (path / SUMMARY).is_file():
        one = Dataset.load(path)
        held = np.isin(np.arange(len(one)), one.held_out_indices)
        return Loaded(np.array(one.images), one.labels, held, one.classes, "by duplicate cluster")
    key = hashlib.sha256(f"{path.resolve()} {size}".encode()).hexdigest()[:8]
    cache = work / f"pictures-{key}.npz"
    if not cache.is_file():
        decode(path, size).save(cache)
    return Loaded.load(cache)


def decode(folder: Path, size: int) -> Loaded:
    """Class folders, as squares; pictures of the same pixels stay on one side of the split."""
    images, rows = [], []
    for path in progress(sorted(folder.glob("*/*")), "decode", "pictures"):
        try:
            images.append(shrink_and_crop(open_picture(path), size))
        except PictureError:
            continue
        digest = hashlib.sha256(images[-1].tobytes()).hexdigest()
        rows.append({"breed": path.parent.name, "cluster": -1, "sha256": digest})
    if not rows:
        raise PipelineError(f"{folder}: no pictures in class folders, as {folder}/pug/1.jpg")
    table = pd.DataFrame(rows)
    classes = sorted(set(table["breed"]))
    labels = table["breed"].map({name: k for k, name in enumerate(classes)}).to_numpy(np.int64)
    return Loaded(np.stack(images), labels, held_out(table, 0.1), classes, "by hash of the pixels")


# --------------------------------------------------------------------------- candidates


class Candidate:
    """A preset on its way: its plan, its training, its samples and its figures, all in a folder."""

    def __init__(
        self, name: str, data: Loaded, options: argparse.Namespace, device: torch.device
    ) -> None:
        changes = [f"resize.size={data.images.shape[1]}", f"train.device={device.type}"]
        changes += [f"train.{text}" for text in TOY if options.small]
        self.params: Params = schema.load(ROOT / "presets" / f"{name}.yaml", changes)
        self.name, self.data, self.options, self.device = name, data, options, device
        pixels = hashlib.sha256(np.ascontiguousarray(data.images).data).hexdigest()
        asked = [schema.to_dict(self.params.train), pixels, data.classes]
        key = hashlib.sha256(repr([*asked, options.minutes, device.type]).encode()).hexdigest()
        self.folder = options.work / f"{name}-{key[:12]}"
        train = data.part(False)
        everyone = np.arange(len(train.images))
        self.pictures = make_pictures(train.images, train.labels, everyone, device, "auto")
        counts = np.bincount(train.images.reshape(-1), minlength=256) / train.images.size
        values = np.arange(256) / 127.5 - 1
        spread = float(np.sqrt(counts @ values**2 - (counts @ values) ** 2))
        size = data.images.shape[1]
        self.architecture = Architecture.of(self.params, size, data.classes, spread)

    def jobs(self) -> list[Callable[[float], bool]]:
        """What is to be done, in order; each takes the seconds left and says whether it is done."""
        return [self.train, *(partial(self.measure, way) for way in self.options.ways)]

    def trainer(self, images: int) -> Trainer:
        chosen = dataclasses.replace(
            self.params.train,
            images=images,
            checkpoint_every=max(images // 8, 1),
            sample_every=0,
            log_every=max(images // 50, 1),
        )
        checkpoints = Checkpoints(self.folder, keep=1)
        denoiser = initialise(self.architecture, 0)
        return Trainer(denoiser, self.pictures, chosen, 0, checkpoints)

    def plan(self) -> dict[str, Any]:
        """The budget that fits the minutes, by the speed of a few steps. Measured once."""
        path = self.folder / "plan.json"
        if not path.is_file():
            seconds = self.options.minutes * 60
            trainer = self.trainer(10**12)
            self.steps(trainer, min(10.0, 0.05 * seconds))  # kernels are chosen
            speed = self.steps(trainer, min(20.0, 0.1 * seconds))
            batch = self.params.train.batch_size
            budget = max(1, round(speed * seconds / batch)) * batch
            write_json(path, {"images": budget, "planned_speed": speed, "seconds": 0.0})
        return json.loads(path.read_text())

    def steps(self, trainer: Trainer, seconds: float) -> float:
        """Train for about so long; images a second."""
        started, before = time.perf_counter(), trainer.nimg
        while trainer.nimg == before or time.perf_counter() - started < seconds:
            for _ in range(4):
                trainer.step()
                trainer.nimg += trainer.params.batch_size
            if self.device.type == "cuda":
                torch.cuda.synchronize()
        return (trainer.nimg - before) / (time.perf_counter() - started)

    def train(self, left: float) -> bool:
        """Go on training for at most ``left`` seconds. Returns whether it is trained."""
        if (self.folder / "model" / "model.json").is_file():
            return True
        started = time.monotonic()
        plan = self.plan()
        trainer = self.trainer(plan["images"])
        trainer.resume()
        began = time.monotonic()
        for event in trainer.run(lambda: int(time.monotonic() - started > left)):
            if isinstance(event, Logged):
                print(
                    f"{self.name}: {event.nimg:,} of {plan['images']:,} images, "
                    f"loss {event.loss:.4f}, {event.images_per_second:,.0f} a second",
                    flush=True,
                )
            if isinstance(event, Stopped):
                break
        plan["seconds"] += time.monotonic() - began
        write_json(self.folder / "plan.json", plan)
        if trainer.nimg < plan["images"]:
            return False
        write_json(self.folder / "history.json", trainer.history)
        about = {"images": trainer.nimg, "seconds": plan["seconds"]}
        save_model(self.folder / "model", self.architecture, trainer.ema.net, about, trainer.guide)
        trainer.checkpoints.clear()
        return True

    def measure(self, way: str, left: float) -> bool:
        """Draw and measure the samples of one way of guidance. Returns whether that is done."""
        path = self.result(way)
        if path.is_file():
            return True
        if left <= 0:
            return False
        train, held = self.data.part(False), self.data.part(True)
        counts = np.bincount(train.labels, minlength=len(self.data.classes))
        plan = plan_samples(counts, self.options.samples, 8, 0)
        model = self.model()
        chosen = self.params.evaluate
        strength, guide = self.options.ways[way]
        how = Sampling(chosen.sampler, chosen.steps, strength, guide)
        started = time.monotonic()
        labels = torch.from_numpy(plan.labels)
        images = model.sample(labels, plan.seeds, how, chosen.batch_size)
        speed = len(images) / (time.monotonic() - started)
        samples = Pictures(images[plan.measured], plan.labels[plan.measured])
        figures = evaluate(samples, train, held, self.data.classes).to_json()
        figures["images_per_second"] = speed
        for name, value in distances(samples.images, held.images).items():
            figures[f"{name}_to_held_out"] = value
        grid = sample_grid(images[plan.shown], plan.labels[plan.shown], self.data.classes, scale=1)
        write_png(path.with_suffix(".png"), grid)
        write_json(path, figures)
        print(f"{self.name}, {way}: {figures}", flush=True)
        return True

    def result(self, way: str) -> Path:
        """Where the figures of one way of guidance are."""
        strength, _guide = self.options.ways[way]
        return self.folder / f"{way.replace(' ', '-')}-{strength:g}-{self.options.samples}.json"

    def model(self) -> Model:
        model = load_model(self.folder / "model", self.device.type)
        for one in (model.denoiser, model.guide):
            if one is not None:
                one.autocast = resolve_autocast("auto", self.device)
        return model


# --------------------------------------------------------------------------- report


def report(
    candidates: list[Candidate], data: Loaded, options: argparse.Namespace, device: torch.device
) -> None:
    machine = machine_name(device)
    slug = re.sub(r"[^a-z0-9]+", "-", machine.lower()).strip("-")
    start = options.output / f"{date.today()}-flagship-{slug}"
    lines = [
        f"# The flagship's candidates, {options.minutes:g} minutes each, {date.today()}",
        "",
        f"{machine}, {torch.get_num_threads()} threads, Python {platform.python_version()}, "
        f"torch {torch.__version__}. "
        f"{(~data.held).sum():,} pictures of {len(data.classes)} classes to train on, "
        f"{data.held.sum():,} held out {data.how_split}, {data.images.shape[1]} pixels; "
        f"{options.samples:,} samples, {options.guidance:g} is the strength of guidance."
        + (" **Toy nets: this shows that the bench works, nothing else.**" * options.small),
        "",
        "| candidate | parameters | images seen | seconds | images/s | loss, first to last |",
        "|---|---|---|---|---|---|",
    ]
    for one in candidates:
        plan = one.plan()
        history = json.loads((one.folder / "history.json").read_text())
        parameters = read_info(one.folder / "model")["parameters"]
        lines.append(
            f"| {one.name} | {parameters:,} | {plan['images']:,} | {plan['seconds']:.0f} | "
            f"{plan['images'] / plan['seconds']:,.0f} | "
            f"{history[0][1]:.4f} to {history[-1][1]:.4f} |"
        )
    held_columns = [f"{name} to held out" for name in COLUMNS[:3]]
    lines += [
        "",
        f"| samples of | guidance | {' | '.join([*COLUMNS, *held_columns])} | drawn/s |",
        "|---|---|" + "---|" * (len(COLUMNS) + len(held_columns) + 1),
    ]
    rows: list[dict[str, Any]] = []
    for one in candidates:
        for way in options.ways:
            source = one.result(way)
            rows.append(figures := json.loads(source.read_text()))
            names = [*COLUMNS, *(f"{name}_to_held_out" for name in COLUMNS[:3])]
            cells = [shown(figures.get(name)) for name in names]
            cells.append(f"{figures['images_per_second']:,.1f}")
            lines.append(f"| {one.name} | {way} | {' | '.join(cells)} |")
            start.parent.mkdir(parents=True, exist_ok=True)
            picture = f"{start.name}-{one.name}-{way.replace(' ', '-')}.png"
            shutil.copy(source.with_suffix(".png"), start.parent / picture)
    floor = [shown(rows[0].get(f"{name}{FLOOR}")) for name in COLUMNS]
    lines += [f"| held-out pictures | | {' | '.join(floor)} | | | | |", ""]
    lines.append("Lower is better for swd, spectrum, colour and copies, higher for breed_accuracy,")
    lines += ["nearer to 1 for diversity and uniqueness; see pipeline/evaluation/metrics.py.", ""]
    write_text(start.with_suffix(".md"), "\n".join(lines))
    print("\n".join(lines))
    print(start.with_suffix(".md"))


def shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def machine_name(device: torch.device) -> str:
    """The accelerator, or the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.machine()


if __name__ == "__main__":
    run_cleanly(main)
