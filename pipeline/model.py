"""What a saved model is: architecture, schedule and weights; it samples without params.yaml."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from pipeline import __version__, workspace
from pipeline.devices import resolve_device
from pipeline.diffusion.denoiser import NO_LABEL, Denoiser, guided
from pipeline.diffusion.samplers import GRIDS, noise_of_seeds, run_sampler, to_uint8
from pipeline.diffusion.schedules import Schedule, make_schedule
from pipeline.errors import PipelineError
from pipeline.nets import build_net
from pipeline.params import NetParams, Params, ScheduleParams

FORMAT = 2


@dataclass(frozen=True)
class Architecture:
    """Everything that shapes the denoiser, in plain values: the heart of model.json."""

    net: NetParams
    size: int
    classes: list[str]
    schedule: str
    timesteps: int
    objective: str
    sigma_data: float = 0.5
    constants: ScheduleParams = field(default_factory=ScheduleParams)

    @classmethod
    def of(
        cls, params: Params, size: int, classes: list[str], sigma_data: float = 0.5
    ) -> Architecture:
        """What ``params`` describe, for pictures whose values spread by ``sigma_data``."""
        train = params.train
        return cls(
            train.net,
            size,
            classes,
            params.scheduler,
            train.timesteps,
            train.objective,
            sigma_data,
            train.schedule,
        )

    def noise(self) -> Schedule:
        """The noise schedule."""
        c = self.constants
        return make_schedule(
            self.schedule,
            self.timesteps,
            c.beta_start,
            c.beta_end,
            c.rescale,
            c.sigma_min,
            c.sigma_max,
        )

    def build(self) -> Denoiser:
        """A denoiser with fresh weights (drawn from torch's global generator)."""
        net = build_net(self.net, len(self.classes), self.size)
        return Denoiser(net, self.noise(), self.objective, self.sigma_data)


@dataclass
class Model:
    """A trained denoiser that draws pictures.

    Attributes:
        classes: the breeds, in the order of their labels.
        size: side of the pictures in pixels.
        info: what model.json says.
    """

    denoiser: Denoiser
    classes: list[str]
    size: int
    info: dict[str, Any]
    device: torch.device

    @torch.inference_mode()
    def sample(
        self,
        labels: Tensor,
        seeds: Sequence[int],
        sampler: str = "heun",
        steps: int = 18,
        guidance: float = 1.0,
        batch_size: int = 64,
        on_step: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Draw a picture per label.

        Args:
            labels: (N,) int64 classes, or -1 for the unconditional model.
            seeds: N; picture k depends on labels[k] and seeds[k], not on its batch.
            on_step: called with (pictures finished so far, N) after each batch.

        Returns:
            (N, S, S, 3) uint8.
        """
        parts = []
        for start in range(0, len(labels), batch_size):
            chosen = labels[start : start + batch_size].to(self.device)
            noise = noise_of_seeds(
                list(seeds[start : start + batch_size]), (3, self.size, self.size), self.device
            )
            levels = self.denoiser.schedule.levels(steps, GRIDS[sampler])
            x = noise(-1) * levels[0].float()
            denoise = guided(self.denoiser, chosen, guidance)
            for step in run_sampler(sampler, denoise, x, levels, noise):
                x = step.x_sigma
            parts.append(to_uint8(x).permute(0, 2, 3, 1).cpu().numpy())
            if on_step is not None:
                on_step(min(start + batch_size, len(labels)), len(labels))
        return np.concatenate(parts)

    @torch.inference_mode()
    def trajectory(
        self,
        label: int | None,
        seed: int,
        sampler: str = "heun",
        steps: int = 18,
        guidance: float = 1.0,
        frames: int = 8,
    ) -> tuple[np.ndarray, np.ndarray, list[float]]:
        """One picture on its way from noise.

        Returns:
            (F, S, S, 3) uint8 of x_sigma scaled to unit variance, the same of the clean estimate,
            and the F noise levels, evenly spread over the steps, the last being 0.
        """
        chosen = torch.tensor([NO_LABEL if label is None else label], device=self.device)
        noise = noise_of_seeds([seed], (3, self.size, self.size), self.device)
        levels = self.denoiser.schedule.levels(steps, GRIDS[sampler])
        denoise = guided(self.denoiser, chosen, guidance)
        taken = list(run_sampler(sampler, denoise, noise(-1) * levels[0].float(), levels, noise))
        places = np.unique(np.linspace(0, len(taken) - 1, min(frames, len(taken))).round())
        shown = [taken[int(place)] for place in places]
        noisy = torch.cat([step.x_sigma / (1 + step.to**2) ** 0.5 for step in shown])
        clean = torch.cat([step.denoised for step in shown])
        return (
            to_uint8(noisy).permute(0, 2, 3, 1).cpu().numpy(),
            to_uint8(clean).permute(0, 2, 3, 1).cpu().numpy(),
            [step.to for step in shown],
        )


def initialise(architecture: Architecture, seed: int) -> Denoiser:
    """A fresh denoiser whose weights are a function of ``seed``, the global generator untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return architecture.build()


def save_model(
    folder: Path, architecture: Architecture, net: nn.Module, training: dict[str, Any]
) -> None:
    """Write weights.safetensors and model.json.

    Args:
        net: holds the weights to keep (the averaged ones).
        training: how it was trained: params, data digest, images seen.
    """
    tensors = {name: value.contiguous().cpu() for name, value in net.state_dict().items()}
    content = safetensors.torch.save(tensors)
    with workspace.atomic_write(folder / "weights.safetensors") as file:
        file.write(content)
    workspace.write_json(
        folder / "model.json",
        {
            "format": FORMAT,
            "version": __version__,
            "architecture": dataclasses.asdict(architecture),
            "parameters": sum(value.numel() for value in net.parameters()),
            "weights_sha256": hashlib.sha256(content).hexdigest(),
            "training": training,
        },
    )


def load_model(folder: Path, device: str = "auto") -> Model:
    """A model from its folder. Nothing in it is executed: JSON and safetensors only.

    Raises:
        PipelineError: the folder holds no model, or one that is damaged or of another format.
    """
    place = resolve_device(device)
    try:
        info = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        content = (folder / "weights.safetensors").read_bytes()
    except FileNotFoundError as error:
        raise PipelineError(
            f"no model in {folder} ({Path(error.filename).name} is missing): train one with "
            "`dvc repro train` or name another folder"
        ) from None
    except (OSError, ValueError) as error:
        raise PipelineError(f"{folder / 'model.json'} cannot be read: {error}") from None
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise PipelineError(f"{folder / 'model.json'} is not a model of format {FORMAT}")
    if hashlib.sha256(content).hexdigest() != info.get("weights_sha256"):
        raise PipelineError(
            f"{folder / 'weights.safetensors'} is not the file that model.json was written for "
            "(checksum differs): restore both, as with `dvc checkout models`"
        )
    try:
        architecture = _architecture(info["architecture"])
        denoiser = architecture.build()
        denoiser.net.load_state_dict(safetensors.torch.load(content))
    except (KeyError, TypeError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise PipelineError(
            f"{folder}: the weights do not fit the architecture in model.json: {error}"
        ) from None
    denoiser.eval().requires_grad_(False).to(place)
    return Model(denoiser, architecture.classes, architecture.size, info, place)


def _architecture(plain: dict[str, Any]) -> Architecture:
    """The architecture that model.json describes, through the same checks as params.yaml."""
    from pipeline import params

    params.from_document(
        {
            "scheduler": plain["schedule"],
            "resize": {"size": plain["size"]},
            "train": {
                "net": plain["net"],
                "timesteps": plain["timesteps"],
                "objective": plain["objective"],
                "schedule": plain["constants"],
            },
        },
        "model.json",
    )
    return Architecture(
        NetParams(**plain["net"]),
        plain["size"],
        [str(name) for name in plain["classes"]],
        plain["schedule"],
        plain["timesteps"],
        plain["objective"],
        float(plain["sigma_data"]),
        ScheduleParams(**plain["constants"]),
    )
