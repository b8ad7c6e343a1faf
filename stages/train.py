"""train: data/dataset -> models/, reports/loss.csv and one MLflow run.

The state lives in .cache/train/<fingerprint>/ beside DVC's reach, because DVC deletes outs before
it runs a stage. Interrupted in any way, the same command goes on from the last checkpoint; another
parameter is another fingerprint and starts afresh; going back finds the old state.
"""

from __future__ import annotations

import csv
import shutil
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from pipeline import params as schema
from pipeline import progress, recording, spool, workspace
from pipeline.dataset.dataset import Dataset
from pipeline.devices import resolve_device
from pipeline.ending import run_stage, stop_on_signals
from pipeline.errors import Interrupted
from pipeline.model import Architecture, initialise, save_model
from pipeline.params import Params
from pipeline.report.preview import Preview, preview_of, reference_of
from pipeline.stamp import name_in, read_run
from pipeline.training import distributed
from pipeline.training.aside import Aside
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.data import Resident, make_pictures
from pipeline.training.distributed import Group
from pipeline.training.events import (
    Logged,
    Predicted,
    Saved,
    Stopped,
    TimeToSample,
    log_line,
    metrics_of,
    prediction_line,
)
from pipeline.training.loop import Trainer
from pipeline.training.posthoc import FOLDER as SNAPSHOTS
from pipeline.workspace import Workspace


def run(params: Params, space: Workspace, fresh: bool = False) -> dict[str, Any]:
    """Train to the budget and write the model. Returns what the summary prints.

    Started by ``torchrun``, every process computes its share, and the first of them does the rest.
    """
    device = distributed.local_device(resolve_device(params.train.device, "train.device"))
    dataset = Dataset.load(space.dataset)
    architecture = Architecture.of(params, dataset.size, dataset.classes, dataset.sigma_data)
    warning = architecture.noise().warning()
    identity = fingerprint(params, dataset.digest)
    folder = space.cache / "train" / identity[:16]
    with distributed.joined(device) as group, ExitStack() as held:
        if group.leads:
            if warning:
                print(f"warning: {warning}", file=sys.stderr)
            # One training writes models/ at a time; and one has the state, wherever it writes.
            lock = space.here / ".cache" / "train.lock"
            held.enter_context(workspace.exclusive(lock, "a training into models/"))
            held.enter_context(workspace.exclusive(folder / "lock", "this training"))
            if fresh:
                Checkpoints(folder).clear()
                (folder / "run.json").unlink(missing_ok=True)
        group.from_leader(None)  # nobody reads the state before it is the leader's
        trainer = make_trainer(params, architecture, dataset, device, folder, group)
        resumed = trainer.resume()
        if not group.leads:
            train(trainer, architecture, recording.NoRecord(), Aside(False))
            return {"images": trainer.nimg, "loss": trainer.history[-1][1], "run": ""}
        for line in resumed:
            tqdm.write(f"warning: {line}")
        say_where(trainer, params, identity)
        with open_run(params, space, folder, dataset, identity) as record:
            with closing(Aside(params.train.engine.aside and device.type != "cpu")) as aside:
                known = reference_of(dataset, architecture)
                train(trainer, architecture, record, aside, known)
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


def say_where(trainer: Trainer, params: Params, identity: str) -> None:
    """On what it trains, and from where it goes on."""
    shared = f", {trainer.group.size} processes" * (trainer.group.size > 1)
    how = "resident" if isinstance(trainer.data, Resident) else "streamed"
    print(f"training on {trainer.compute.describe()}{shared}, {len(trainer.data):,} images {how}")
    if trainer.nimg:
        print(f"resuming at {trainer.nimg:,} of {params.train.images:,} images ({identity[:8]})")


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
    params: Params,
    architecture: Architecture,
    dataset: Dataset,
    device: torch.device,
    folder: Path,
    group: Group | None = None,
) -> Trainer:
    rows, resident = dataset.train_indices, params.train.engine.resident
    data = make_pictures(dataset.images, dataset.labels, rows, device, resident)
    checkpoints = Checkpoints(folder, params.train.keep)
    denoiser = initialise(architecture, params.seed)
    return Trainer(denoiser, data, params.train, params.seed, checkpoints, group)


def open_run(
    params: Params, space: Workspace, folder: Path, dataset: Dataset, identity: str
) -> recording.Record:
    """The record of this training: the one its state names, or a new one."""
    known = name_in(read_run(folder), "spool") or spool.new_name()
    # Before there is a run: killed in between, the next start goes on with it.
    workspace.write_json(folder / "run.json", {"spool": known})
    tags = {"stage": "train", "data.digest": dataset.digest, "train.fingerprint": identity}
    record = recording.open_record(space, params, name=known, tags=tags)
    record.log_dataset("dataset", dataset.digest[:32], "data/dataset")
    return record


def train(
    trainer: Trainer,
    architecture: Architecture,
    record: recording.Record,
    aside: Aside,
    reference: np.ndarray | None = None,
) -> None:
    """Run the loop; show, record and checkpoint what it yields."""
    for nimg, loss, lr, norm in trainer.history:
        # In the checkpoint, but a killed process may not have sent it; known steps are skipped.
        values = {"train/loss": loss, "train/lr": lr, "train/grad_norm": norm}
        record.log_metrics(values, step=int(nimg))
    budget, batch_size = trainer.params.images, trainer.params.batch_size
    leads, seen = trainer.group.leads, trainer.loss_of.failure
    shown = "train" if leads and sys.stderr.isatty() else None
    with stop_on_signals() as stop, progress.bar(budget, shown, "images", trainer.nimg) as bar:
        for event in trainer.run(lambda: stop[0]):
            bar.update(min(trainer.nimg, budget) - bar.n)
            if isinstance(event, Stopped):
                number = trainer.group.highest(stop[0])
                line = f"stopped and saved at {event.nimg:,} images: the same command goes on"
                raise Interrupted(number, line)
            if not leads:
                continue
            if trainer.loss_of.failure != seen:
                seen = trainer.loss_of.failure
                bar.write(f"not compiled, which is slower and no worse: {seen}")
            if isinstance(event, Logged):
                bar.write(log_line(event, batch_size, budget))
                record.log_metrics(metrics_of(event), step=event.nimg)
            elif isinstance(event, Predicted):
                bar.write(prediction_line(event))
            elif isinstance(event, Saved) and event.path is not None:
                snapshot = event.path.parent / "snapshot"
                save_model(snapshot, architecture, trainer.ema.net, {"images": event.nimg})
                latest = {"loss": trainer.history[-1][1]} if trainer.history else {}
                record.log_checkpoint(event.nimg, snapshot, latest)
                record.flush()
            elif isinstance(event, TimeToSample):
                aside.draw(event.nimg, preview_of(trainer, architecture, reference))
            for nimg, preview in aside.finished():
                log_preview(record, nimg, preview)
        for nimg, preview in aside.finished(wait=True):
            log_preview(record, nimg, preview)


def log_preview(record: recording.Record, nimg: int, preview: Preview) -> None:
    record.log_image(preview.sheet, "samples", nimg)
    record.log_metrics(preview.figures, step=nimg)


def write_loss(path: Path, history: list[list[float]]) -> None:
    with workspace.atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["images", "loss", "lr", "grad_norm"])
        for nimg, loss, lr, norm in history:
            writer.writerow([int(nimg), f"{loss:.8g}", f"{lr:.8g}", f"{norm:.8g}"])


def main() -> None:
    space = Workspace.find()
    done = run(schema.load(space.params), space)
    if not distributed.is_follower():
        print(f"trained on {done['images']:,} images, loss {done['loss']:.4f}: {space.models}")


if __name__ == "__main__":
    run_stage(main)
