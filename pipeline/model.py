"""What a saved model is: architecture, schedule and weights; it samples without params.yaml."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
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
from pipeline.diffusion.denoiser import NO_LABEL, Denoiser
from pipeline.diffusion.samplers import Seed, from_uint8, to_uint8
from pipeline.diffusion.sampling import Sampling, frame_places, walk
from pipeline.diffusion.schedules import Schedule, make_schedule
from pipeline.diffusion.steps import Step
from pipeline.errors import ParamsError, PipelineError
from pipeline.nets import build_net
from pipeline.params import NetParams, Params, ScheduleParams

FORMAT = 2
WEIGHTS, GUIDE = "weights.safetensors", "guide.safetensors"


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
    augment: bool = False  # whether the net was told of augmentations

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
            train.augment > 0,
        )

    def noise(self) -> Schedule:
        """The noise schedule. Raises ``ParamsError`` for constants that make none."""
        c = self.constants
        ends = c.beta_start, c.beta_end, c.rescale, c.sigma_min, c.sigma_max
        try:
            return make_schedule(self.schedule, self.timesteps, *ends)
        except ValueError as error:
            raise ParamsError(
                f"train.schedule and train.timesteps ({self.timesteps}) make no process: {error}"
            ) from None

    def build(self) -> Denoiser:
        """A denoiser with fresh weights (drawn from torch's global generator)."""
        return Denoiser(self.build_net(), self.noise(), self.objective, self.sigma_data)

    def build_net(self) -> nn.Module:
        return build_net(self.net, len(self.classes), self.size, self.augment)


@dataclass
class Model:
    """A trained denoiser that draws pictures.

    Attributes:
        classes: the breeds, in the order of their labels.
        size: side of the pictures in pixels.
        info: what model.json says.
        guide: an early snapshot of it, for autoguidance, if one was kept.
    """

    denoiser: Denoiser
    classes: list[str]
    size: int
    info: dict[str, Any]
    device: torch.device
    guide: Denoiser | None = None

    @torch.inference_mode()
    def walk(
        self,
        labels: Tensor,
        seeds: Sequence[Seed],
        how: Sampling,
        picture: np.ndarray | None = None,
    ) -> Iterator[Step]:
        """The steps of one batch; arguments as for ``sample``."""
        if how.guide == "early" and how.guidance != 1 and self.guide is None:
            raise PipelineError(
                "the model has no early snapshot to guide it: train with train.guide_at above 0, "
                "or use evaluate.guide=labels"
            )
        start = None
        if picture is not None:
            pixels = torch.from_numpy(np.ascontiguousarray(picture)).to(self.device)
            start = from_uint8(pixels.movedim(-1, -3))
        # A generator leaves inference mode between its steps, so each step enters it again.
        steps = walk(
            self.denoiser,
            labels.to(self.device),
            seeds,
            (3, self.size, self.size),
            how,
            self.guide,
            start,
        )
        while True:
            with torch.inference_mode():
                step = next(steps, None)
            if step is None:
                return
            yield step

    def sample(
        self,
        labels: Tensor,
        seeds: Sequence[Seed],
        how: Sampling | None = None,
        batch_size: int = 64,
        picture: np.ndarray | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Draw a picture per label.

        Args:
            labels: (N,) int64 classes, or -1 for the unconditional model.
            seeds: N; picture k depends on labels[k] and seeds[k], not on its batch.
            picture: (S, S, 3) uint8 to start from, see ``Sampling.strength``.
            on_step: called with (pictures finished so far, N) after each batch.

        Returns:
            (N, S, S, 3) uint8.
        """
        parts = []
        for start in range(0, len(labels), batch_size):
            some = slice(start, start + batch_size)
            *_, last = self.walk(labels[some], seeds[some], how or Sampling(), picture)
            parts.append(as_pixels(last.x_sigma))
            if on_step is not None:
                on_step(min(start + batch_size, len(labels)), len(labels))
        return np.concatenate(parts)

    def trajectory(
        self, label: int | None, seed: Seed, how: Sampling | None = None, frames: int = 8
    ) -> tuple[np.ndarray, np.ndarray, list[float]]:
        """One picture on its way from noise.

        Returns:
            (F, S, S, 3) uint8 of x_sigma scaled to unit variance, the same of the clean estimate,
            and the F noise levels, evenly spread over the steps, the last being 0.
        """
        chosen = torch.tensor([NO_LABEL if label is None else label])
        taken = list(self.walk(chosen, [seed], how or Sampling()))
        shown = [taken[place] for place in frame_places(len(taken), frames)]
        return (
            np.concatenate([as_pixels(unit(step)) for step in shown]),
            np.concatenate([as_pixels(step.denoised) for step in shown]),
            [step.to for step in shown],
        )


def unit(step: Step) -> Tensor:
    """x_sigma scaled to the variance of a DDPM's x_t, as noisy pictures are shown."""
    return step.x_sigma / (1 + step.to**2) ** 0.5


def as_pixels(x: Tensor) -> np.ndarray:
    """(B, 3, S, S) in [-1, 1] to uint8 (B, S, S, 3)."""
    return to_uint8(x).permute(0, 2, 3, 1).cpu().numpy()


def initialise(architecture: Architecture, seed: int) -> Denoiser:
    """A fresh denoiser whose weights are a function of ``seed``, the global generator untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return architecture.build()


def save_model(
    folder: Path,
    architecture: Architecture,
    net: nn.Module,
    training: dict[str, Any],
    guide: dict[str, Tensor] | None = None,
) -> None:
    """Write weights.safetensors and model.json, and guide.safetensors where there is one.

    Args:
        net: holds the weights to keep (the averaged ones).
        training: how it was trained: params, data digest, images seen.
        guide: weights of the same net early in the training, for autoguidance.
    """
    digest = _write_weights(folder / WEIGHTS, net.state_dict())
    guide_digest = None if guide is None else _write_weights(folder / GUIDE, guide)
    if guide is None:
        (folder / GUIDE).unlink(missing_ok=True)
    workspace.write_json(
        folder / "model.json",
        {
            "format": FORMAT,
            "version": __version__,
            "architecture": dataclasses.asdict(architecture),
            "parameters": sum(value.numel() for value in net.parameters()),
            "weights_sha256": digest,
            "guide_sha256": guide_digest,
            "training": training,
        },
    )


def _write_weights(path: Path, weights: dict[str, Tensor]) -> str:
    """The sha256 of the file."""
    tensors = {name: value.contiguous().cpu() for name, value in weights.items()}
    content = safetensors.torch.save(tensors)
    with workspace.atomic_write(path) as file:
        file.write(content)
    return hashlib.sha256(content).hexdigest()


def load_model(folder: Path, device: str = "auto") -> Model:
    """A model from its folder. Nothing in it is executed: JSON and safetensors only.

    Raises:
        PipelineError: the folder holds no model, or one that is damaged or of another format.
    """
    place = resolve_device(device)
    info = read_info(folder)
    try:
        architecture = architecture_of(info["architecture"])
        denoiser = _with_weights(architecture, _read_weights(folder / WEIGHTS, info), place)
        guide = None
        if info.get("guide_sha256"):
            guide = _with_weights(architecture, _read_weights(folder / GUIDE, info), place)
    except (KeyError, TypeError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise PipelineError(
            f"{folder}: the weights do not fit the architecture in model.json: {error}"
        ) from None
    return Model(denoiser, architecture.classes, architecture.size, info, place, guide)


def read_info(folder: Path) -> dict[str, Any]:
    """What model.json says.

    Raises:
        PipelineError: there is none, or one of another format.
    """
    try:
        info = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _no_model(folder, "model.json") from None
    except (OSError, ValueError) as error:
        raise PipelineError(f"{folder / 'model.json'} cannot be read: {error}") from None
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise PipelineError(f"{folder / 'model.json'} is not a model of format {FORMAT}")
    return info


def _no_model(folder: Path, missing: str) -> PipelineError:
    return PipelineError(
        f"no model in {folder} ({missing} is missing): train one with `dvc repro train` or name "
        "another folder"
    )


def _read_weights(path: Path, info: dict[str, Any]) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise _no_model(path.parent, path.name) from None
    except OSError as error:
        raise PipelineError(f"{path} cannot be read: {error}") from None
    if hashlib.sha256(content).hexdigest() != info.get(f"{path.stem}_sha256"):
        raise PipelineError(
            f"{path} is not the file that model.json was written for (checksum differs): restore "
            "both, as with `dvc checkout models`; `pipeline doctor --deep` looks for damage"
        )
    return safetensors.torch.load(content)


def _with_weights(
    architecture: Architecture, weights: dict[str, Tensor], place: torch.device
) -> Denoiser:
    # On ``meta`` first: a model.json that asks for more than its weights hold allocates nothing.
    with torch.device("meta"):
        net = architecture.build_net()
    net.load_state_dict(weights, assign=True)
    denoiser = Denoiser(net, architecture.noise(), architecture.objective, architecture.sigma_data)
    return denoiser.eval().requires_grad_(False).to(place)


def architecture_of(plain: dict[str, Any]) -> Architecture:
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
    sigma_data = float(plain["sigma_data"])
    if not 0 < sigma_data < math.inf:
        raise ValueError(f"sigma_data: got {sigma_data}, expected a positive number")
    return Architecture(
        NetParams(**plain["net"]),
        plain["size"],
        [str(name) for name in plain["classes"]],
        plain["schedule"],
        plain["timesteps"],
        plain["objective"],
        sigma_data,
        ScheduleParams(**plain["constants"]),
        bool(plain.get("augment", False)),
    )
