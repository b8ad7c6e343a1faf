"""What a saved model is: architecture, schedule and weights; it samples without params.yaml."""

from __future__ import annotations

import dataclasses
import hashlib
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
from pipeline.knobs import shown
from pipeline.model_info import FORMAT, class_names, no_model, read_info
from pipeline.nets import build_net
from pipeline.params import NetParams, Params, ScheduleParams

WEIGHTS, GUIDE = "weights.safetensors", "guide.safetensors"
_UNFIT = (
    *(KeyError, TypeError, ValueError, RuntimeError, MemoryError),
    safetensors.SafetensorError,
)
_LONGEST = 400  # characters of a reason


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
        denoiser = _with_weights(architecture, folder / WEIGHTS, info, place)
        guide = None
        if info.get("guide_sha256"):
            guide = _with_weights(architecture, folder / GUIDE, info, place)
    except _UNFIT as error:
        # Of a net of many layers torch names each that does not fit.
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]
        raise PipelineError(
            f"{folder}: the weights do not fit the architecture in model.json: {reason}"
        ) from None
    return Model(denoiser, architecture.classes, architecture.size, info, place, guide)


def _read_weights(path: Path, info: dict[str, Any], most: int) -> dict[str, Tensor]:
    """The tensors of a file of at most ``most`` bytes, if it is the one that ``info`` names."""
    try:
        content = workspace.read_bounded(path, most)
    except FileNotFoundError:
        raise no_model(path.parent, path.name) from None
    except OSError as error:
        raise PipelineError(f"{path} cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != info.get(f"{path.stem}_sha256"):
        raise PipelineError(
            f"{path} is not the file that model.json was written for (checksum differs): restore "
            "both, as with `dvc checkout models`; `pipeline doctor --deep` looks for damage"
        )
    return safetensors.torch.load(content)


def _with_weights(
    architecture: Architecture, path: Path, info: dict[str, Any], place: torch.device
) -> Denoiser:
    # On ``meta`` first: a model.json that asks for more than its weights hold allocates nothing.
    with torch.device("meta"):
        net = architecture.build_net()
    wanted = net.state_dict()
    header = 1024 * (len(wanted) + 1)  # more than names, types and shapes take
    size = sum(value.numel() * value.element_size() for value in wanted.values())
    weights = _read_weights(path, info, size + header)
    for name, value in weights.items():
        if name in wanted and value.dtype != wanted[name].dtype:
            raise ValueError(f"{name}: got {value.dtype}, expected {wanted[name].dtype}")
        if not torch.isfinite(value).all():
            raise ValueError(f"{name}: holds values that are no numbers")
    net.load_state_dict(weights, assign=True)
    denoiser = Denoiser(net, architecture.noise(), architecture.objective, architecture.sigma_data)
    return denoiser.eval().requires_grad_(False).to(place)


def architecture_of(plain: dict[str, Any]) -> Architecture:
    """The architecture that model.json describes, through the same checks as params.yaml."""
    from pipeline import params

    if not isinstance(plain, dict):
        raise ValueError(f"architecture: got {shown(plain)}, expected a section with keys")
    found = params.from_document(
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
    sigma_data, augment = plain["sigma_data"], plain.get("augment", False)
    if type(sigma_data) not in (int, float) or not 0 < sigma_data < math.inf:
        raise ValueError(f"sigma_data: got {shown(sigma_data)}, expected a positive number")
    if type(augment) is not bool:
        raise ValueError(f"augment: got {shown(augment)}, expected true or false")
    # The checked values: in JSON, "64" and 64.0 are what in params is 64.
    train = found.train
    return Architecture(
        train.net,
        found.resize.size,
        class_names(plain["classes"]),
        found.scheduler,
        train.timesteps,
        train.objective,
        float(sigma_data),
        train.schedule,
        augment,
    )
