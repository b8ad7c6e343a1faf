"""train: data/dataset -> models/, reports/loss.csv and one MLflow run.

The state lives in .cache/train/<fingerprint>/ beside DVC's reach, because DVC deletes outs before
it runs a stage. Interrupted in any way, the same command goes on from the last checkpoint; another
parameter is another fingerprint and starts afresh; going back finds the old state.
"""

from __future__ import annotations

import csv
import json
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from pipeline import params as schema
from pipeline import progress, recording, workspace
from pipeline.dataset.dataset import Dataset
from pipeline.devices import resolve_autocast, resolve_device
from pipeline.diffusion.sampling import Sampling
from pipeline.errors import Interrupted, run_cleanly
from pipeline.evaluation.montage import sample_grid
from pipeline.model import Architecture, Model, initialise, save_model
from pipeline.params import Params
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.loop import Data, Logged, Saved, Stopped, TimeToSample, Trainer
from pipeline.training.posthoc import FOLDER as SNAPSHOTS
from pipeline.workspace import Workspace

PREVIEW_STEPS = 10


def run(params: Params, space: Workspace, fresh: bool = False) -> dict[str, Any]:
    """Train to the budget and write the model. Returns what the summary prints."""
    device = resolve_device(params.train.device, "train.device")
    dataset = Dataset.load(space.dataset)
    architecture = Architecture.of(params, dataset.size, dataset.classes, dataset.sigma_data)
    warning = architecture.noise().warning()
    if warning:
        print(f"warning: {warning}", file=sys.stderr)
    identity = fingerprint(params, dataset.digest)
    folder = space.cache / "train" / identity[:16]
    with workspace.exclusive(folder / "lock", "this training"):
        if fresh:
            Checkpoints(folder).clear()
            (folder / "run.json").unlink(missing_ok=True)
        trainer = make_trainer(params, architecture, dataset, device, folder)
        for warning in trainer.resume():
            tqdm.write(f"warning: {warning}")
        if trainer.nimg:
            print(
                f"resuming at {trainer.nimg:,} of {params.train.images:,} images ({identity[:8]})"
            )
        with open_run(params, space, folder, dataset, identity) as record:
            train(trainer, architecture, record, device)
            training = {
                "seed": params.seed,
                "images": trainer.nimg,
                "train": schema.to_dict(params.train),
                "data_digest": dataset.digest,
                "fingerprint": identity,
            }
            save_model(space.models, architecture, trainer.ema.net, training, trainer.guide)
            keep_snapshots(folder / SNAPSHOTS, space.models / SNAPSHOTS)
            write_loss(space.reports / "loss.csv", trainer.history)
            record.log_artifact(space.models / "model.json", "model")
            record.log_artifact(space.models / "weights.safetensors", "model")
        # After the end, which waits a little for MLflow: now the run's id is known, if ever.
        workspace.write_json(space.models / "run.json", record.reference())
    shutil.rmtree(folder)  # the model is written: the next training of this kind starts afresh
    return {"images": trainer.nimg, "loss": trainer.history[-1][1], "run": record.run_id}


def keep_snapshots(source: Path, target: Path) -> None:
    """Put the averages' snapshots, if there are any, in place of those of an earlier training."""
    shutil.rmtree(target, ignore_errors=True)
    if source.is_dir():
        shutil.copytree(source, target)


def fingerprint(params: Params, data_digest: str) -> str:
    """What the weights are a function of: parameters, data, and the code that trains."""
    rooms = Path(schema.__file__).parent
    code = [rooms / "model.py"]
    code += [
        path for room in ("diffusion", "nets", "training") for path in (rooms / room).glob("*.py")
    ]
    train = schema.to_dict(params.train)
    for key in ("device", "precision", "engine", "grid", "keep"):
        # The same training: elsewhere, at another speed, otherwise shown or kept.
        train.pop(key)
    return workspace.fingerprint(
        [params.seed, params.scheduler, train, data_digest, workspace.digest_of_files(code)]
    )


def make_trainer(
    params: Params, architecture: Architecture, dataset: Dataset, device: torch.device, folder: Path
) -> Trainer:
    denoiser = initialise(architecture, params.seed)
    denoiser.autocast = resolve_autocast(params.train.precision, device)
    chosen = dataset.train_indices
    images = torch.from_numpy(np.ascontiguousarray(dataset.images[chosen].transpose(0, 3, 1, 2)))
    data = Data(images.to(device), torch.from_numpy(dataset.labels[chosen]).to(device))
    return Trainer(denoiser, data, params.train, params.seed, Checkpoints(folder))


def open_run(
    params: Params, space: Workspace, folder: Path, dataset: Dataset, identity: str
) -> recording.Record:
    """The record of this training: the one its state names, or a new one."""
    note = folder / "run.json"
    known = json.loads(note.read_text()).get("spool") if note.is_file() else None
    tags = {"stage": "train", "data.digest": dataset.digest, "train.fingerprint": identity}
    record = recording.open_record(space, params, name=known or "", tags=tags)
    workspace.write_json(note, record.reference())
    record.log_dataset("dataset", dataset.digest[:32], "data/dataset")
    return record


def train(
    trainer: Trainer,
    architecture: Architecture,
    record: recording.Record,
    device: torch.device,
) -> None:
    """Run the loop; show, record and checkpoint what it yields."""
    for nimg, loss, lr, norm in trainer.history:
        # In the checkpoint, but a killed process may not have sent it; known steps are skipped.
        values = {"train/loss": loss, "train/lr": lr, "train/grad_norm": norm}
        record.log_metrics(values, step=int(nimg))
    budget = trainer.params.images
    with (
        stop_on_signals() as stop,
        progress.bar(budget, "train", "images", initial=trainer.nimg) as bar,
    ):
        for event in trainer.run(lambda: stop[0]):
            bar.update(min(trainer.nimg, budget) - bar.n)
            if isinstance(event, Logged):
                bar.set_postfix(loss=f"{event.loss:.4f}", refresh=False)
                values = {
                    "train/loss": event.loss,
                    "train/grad_norm": event.grad_norm,
                    "train/lr": event.lr,
                    "train/images_per_second": event.images_per_second,
                }
                record.log_metrics(values, step=event.nimg)
            elif isinstance(event, Saved):
                snapshot = event.path.parent / "snapshot"
                save_model(snapshot, architecture, trainer.ema.net, {"images": event.nimg})
                shown = {"loss": trainer.history[-1][1]} if trainer.history else {}
                record.log_checkpoint(event.nimg, snapshot, shown)
                record.flush()
            elif isinstance(event, TimeToSample):
                record.log_image(preview(trainer, architecture, device), "samples", event.nimg)
            elif isinstance(event, Stopped):
                raise Interrupted(
                    stop[0],
                    f"stopped and saved at {event.nimg:,} images: the same command goes on",
                )


def preview(trainer: Trainer, architecture: Architecture, device: torch.device) -> np.ndarray:
    """A small grid from the averaged weights: a row a breed, its own noise for each picture."""
    classes = architecture.classes[:8]
    model = Model(trainer.averaged.eval(), architecture.classes, architecture.size, {}, device)
    labels = torch.arange(len(classes)).repeat_interleave(trainer.params.grid)
    how = Sampling(steps=PREVIEW_STEPS, guidance=2.0)
    images = model.sample(labels, range(len(labels)), how, batch_size=len(labels))
    return sample_grid(images, labels.numpy(), classes)


def write_loss(path: Path, history: list[list[float]]) -> None:
    with workspace.atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["images", "loss", "lr", "grad_norm"])
        for nimg, loss, lr, norm in history:
            writer.writerow([int(nimg), f"{loss:.8g}", f"{lr:.8g}", f"{norm:.8g}"])


@contextmanager
def stop_on_signals() -> Iterator[list[int]]:
    """A one-element list that turns to the number of the first SIGINT or SIGTERM.

    The loop then finishes its step and saves; a second signal ends the process at once.
    """
    received = [0]

    def remember(signum: int, _frame: FrameType | None) -> None:
        if received[0]:
            raise KeyboardInterrupt
        received[0] = signum

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main() -> None:
    space = Workspace.find()
    done = run(schema.load(space.params), space)
    print(f"trained on {done['images']:,} images, loss {done['loss']:.4f}: {space.models}")


if __name__ == "__main__":
    run_cleanly(main)
