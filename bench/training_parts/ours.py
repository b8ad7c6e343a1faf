"""Our Trainer as a contender: the one place here that knows how it is made and driven."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline import params as schema
from pipeline.devices import resolve_autocast
from pipeline.model import Architecture, initialise
from pipeline.params import Params
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.data import make_pictures
from pipeline.training.events import Logged
from pipeline.training.loop import Trainer
from training_parts.sizes import cost

ROOT = Path(__file__).resolve().parents[2]
ENDLESS = 10**12


@dataclasses.dataclass(frozen=True)
class Trained:
    """The pictures a training takes, in the shapes each contender wants.

    Attributes:
        images: uint8 N x S x S x 3; labels: int64 N; classes: their names.
        folder: the same pictures as PNG files in class folders.
        device: where the training happens.
        work: a folder for what trainings keep.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: list[str]
    folder: Path
    device: torch.device
    work: Path

    @property
    def size(self) -> int:
        return self.images.shape[1]


class Ours:
    """The Trainer, driven by its own ``run``, so that its log lines are paid for too.

    Args:
        preset: whose net and training it is; changes: ``key=value`` on it.
        steps: of one ``advance``, which ends with a log line.
        net: builds another net in place of the preset's.
    """

    def __init__(
        self,
        name: str,
        preset: str,
        changes: Sequence[str],
        data: Trained,
        steps: int,
        net: Callable[[], nn.Module] | None = None,
    ) -> None:
        params = load(preset, data, changes)
        self.tf32 = (params.train.engine.tf32,) * 2
        batch = params.train.batch_size
        self.name = name
        self.trainer = make_trainer(params, data, steps * batch, net)
        self.events = self.trainer.run()
        own = architecture(params, data).build_net
        counted = cost(own if net is None else theirs(net), data.size)
        self.facts = facts(counted, batch, precision(params, data.device))

    def advance(self) -> int:
        before = self.trainer.nimg
        while not isinstance(next(self.events), Logged):
            pass
        return self.trainer.nimg - before


def facts(counted: dict[str, float], batch: int, arithmetic: str) -> dict[str, Any]:
    """What the report says of a contender."""
    return {**counted, "batch": batch, "arithmetic": arithmetic}


def precision(params: Params, device: torch.device) -> str:
    return "fp32" if resolve_autocast(params.train.precision, device) is None else "bf16"


def load(preset: str, data: Trained, changes: Sequence[str]) -> Params:
    fixed = [f"resize.size={data.size}", f"train.device={data.device.type}"]
    return schema.load(ROOT / "presets" / f"{preset}.yaml", [*fixed, *changes])


def architecture(params: Params, data: Trained) -> Architecture:
    return Architecture.of(params, data.size, data.classes)


def make_trainer(
    params: Params, data: Trained, log_every: int, net: Callable[[], nn.Module] | None = None
) -> Trainer:
    """A training without end, which saves nothing and logs every ``log_every`` images."""
    denoiser = initialise(architecture(params, data), 0)
    if net is not None:
        torch.manual_seed(0)
        denoiser.net = Theirs(net())
    chosen = dataclasses.replace(
        params.train,
        images=ENDLESS,
        checkpoint_every=ENDLESS,
        sample_every=0,
        log_every=log_every,
        ema_snapshots=0,
    )
    everyone, resident = np.arange(len(data.images)), params.train.engine.resident
    pictures = make_pictures(data.images, data.labels, everyone, data.device, resident)
    return Trainer(denoiser, pictures, chosen, 0, Checkpoints(data.work / "ours"))


# --------------------------------------------------------------------------- others' nets


class Theirs(nn.Module):
    """A net of another project, called as ours are."""

    conditional = False

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor, t: torch.Tensor, _labels: torch.Tensor) -> torch.Tensor:
        output = self.net(x, t)  # lucidrains' is a tensor, diffusers' an object that holds one
        return output if isinstance(output, torch.Tensor) else output.sample


def theirs(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Builds the same, to be called as ours are."""
    return lambda: Theirs(build())
