"""The training loop: one step after another, read from top to bottom.

The loop yields what happened and leaves logging, drawing and records to its caller. Its clock is
``nimg``, the images seen, so nothing changes meaning with the batch size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.diffusion.denoiser import NO_LABEL, Denoiser
from pipeline.diffusion.draws import make_draw
from pipeline.diffusion.losses import denoising_loss
from pipeline.diffusion.samplers import from_uint8
from pipeline.errors import PipelineError
from pipeline.params import TrainParams
from pipeline.training import augment
from pipeline.training.augment import to_device
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.ema import Average, Ema, PowerEma
from pipeline.training.order import batch_indices, generator_at, mixed_seed
from pipeline.training.posthoc import FOLDER, write_snapshot


@dataclass(frozen=True)
class Data:
    """What is trained on, resident on the device.

    Attributes:
        images: (N, C, S, S) uint8.
        labels: (N,) int64.
    """

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Logged:
    """Every ``log_every`` images.

    Attributes:
        nimg: images seen; loss, grad_norm: means since the last of these.
        lr: the learning rate now; images_per_second: since the last of these, samples apart.
    """

    nimg: int
    loss: float
    grad_norm: float
    lr: float
    images_per_second: float


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written and is safe."""

    nimg: int
    path: Path


@dataclass(frozen=True)
class TimeToSample:
    """The averaged weights are due for a sample grid."""

    nimg: int


@dataclass(frozen=True)
class Stopped:
    """``should_stop`` said so; the state is saved at ``nimg``."""

    nimg: int


Event = Logged | Saved | TimeToSample | Stopped


class Trainer:
    """The state of a training: weights, optimiser, averages, images seen.

    Args:
        denoiser: what is trained; moved to the device of ``data``.
        data: the training split.
        params: the ``train`` section.
        seed: of noise, order, flips, dropout (weights are initialised by the caller).
        checkpoints: where the state is kept.

    Everything random in a step is a function of (seed, nimg), so N steps, a kill -9, and N more
    give the bits of 2 N steps on a CPU.

    Attributes:
        averages: the classic one, or a power-function average of each of ``ema_lengths``.
        guide: the first average's weights at ``guide_at`` of the budget, on the CPU; None before.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        data: Data,
        params: TrainParams,
        seed: int,
        checkpoints: Checkpoints,
    ) -> None:
        self.denoiser = denoiser.to(data.images.device)
        self.data, self.params, self.seed, self.checkpoints = data, params, seed, checkpoints
        self.averages: list[Average] = [
            PowerEma(denoiser.net, length) for length in params.ema_lengths
        ] or [Ema(denoiser.net, params.ema)]
        self.guide: dict[str, Tensor] | None = None
        self.optimizer = torch.optim.AdamW(
            denoiser.net.parameters(),
            lr=params.lr,
            betas=(0.9, params.beta2),
            weight_decay=params.weight_decay,
            fused=data.images.is_cuda,
        )
        self.draw = make_draw(
            params.timestep_draw,
            denoiser.schedule,
            params.weighting,
            denoiser.objective,
            denoiser.sigma_data,
            params.schedule.mean,
            params.schedule.std,
        )
        self.nimg = 0
        self.history: list[list[float]] = []  # [nimg, loss, lr, grad_norm] of each log line
        self.window: list[Tensor] = []  # (2,): loss and gradient norm of each step not yet logged

    @property
    def ema(self) -> Average:
        """The average that is sampled from and saved."""
        return self.averages[0]

    @property
    def averaged(self) -> Denoiser:
        """The denoiser with the averaged weights."""
        return self._with(self.ema.net)

    def _with(self, net: nn.Module) -> Denoiser:
        one = self.denoiser
        other = Denoiser(net, one.schedule, one.objective, one.sigma_data)
        other.autocast = self.denoiser.autocast
        return other

    # ------------------------------------------------------------------ state

    def resume(self) -> list[str]:
        """Continue from the newest sound checkpoint, if any. Returns warnings to show."""
        state, warnings = self.checkpoints.load()
        if state is not None:
            self.denoiser.net.load_state_dict(state["net"])
            for average, weights in zip(self.averages, state["averages"], strict=True):
                average.net.load_state_dict(weights)
            self.guide = state["guide"]
            self.optimizer.load_state_dict(state["optimizer"])
            self.nimg, self.history = state["nimg"], state["history"]
            self.window = list(state["window"].to(self.data.images.device))
        return warnings

    def save(self) -> Saved:
        self._check_finite()
        state: dict[str, Any] = {
            "net": self.denoiser.net.state_dict(),
            "averages": [average.net.state_dict() for average in self.averages],
            "guide": self.guide,
            "optimizer": self.optimizer.state_dict(),
            "nimg": self.nimg,
            "history": self.history,
            "window": torch.stack(self.window).cpu() if self.window else torch.zeros(0, 2),
        }
        return Saved(self.nimg, self.checkpoints.save(self.nimg, state))

    # ------------------------------------------------------------------ loop

    def run(self, should_stop: Callable[[], int] = lambda: 0) -> Iterator[Event]:
        """Train to the budget. A true ``should_stop()`` saves, yields ``Stopped`` and returns."""
        params = self.params
        busy, since = 0.0, self.nimg
        while self.nimg < params.images:
            started = time.perf_counter()
            self.window.append(self.step())
            before, self.nimg = self.nimg, self.nimg + params.batch_size
            self._keep(before)
            done = self.nimg >= params.images
            log = done or _crossed(before, self.nimg, params.log_every)
            if log:
                self._log()  # waits for the device: before the clock is read
            busy += time.perf_counter() - started
            if log:
                nimg, loss, lr, norm = self.history[-1]
                yield Logged(int(nimg), loss, norm, lr, (self.nimg - since) / busy)
                busy, since = 0.0, self.nimg
            if not done and should_stop():
                self.save()
                yield Stopped(self.nimg)
                return
            if done or _crossed(before, self.nimg, params.checkpoint_every):
                yield self.save()
            if done or (params.sample_every and _crossed(before, self.nimg, params.sample_every)):
                yield TimeToSample(self.nimg)

    def step(self) -> Tensor:
        """One update on the batch that starts at ``nimg``. Returns (2,): loss, gradient norm."""
        params, net = self.params, self.denoiser.net
        x0, labels, sigma, counts, eps, told = self.batch()
        torch.manual_seed(mixed_seed("net", self.seed, self.nimg))  # dropout
        net.train()
        each = denoising_loss(
            self.denoiser, x0, labels, sigma, eps, params.loss, params.weighting, told
        )
        loss = (each * counts).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(net.parameters(), params.grad_clip)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(params, self.nimg)
        self.optimizer.step()
        for average in self.averages:
            average.update(net, self.nimg // params.batch_size + 1)
        return torch.stack([loss.detach(), norm.detach()])

    def batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """x0 (B, C, S, S) in [-1, 1], labels, noise levels, what each counts, noise, and what the
        net is told of augmentations (None: nothing), of the step at ``nimg``."""
        params, images, device = self.params, self.data.images, self.data.images.device
        count = params.batch_size
        generator = generator_at(self.seed, self.nimg)
        chosen = to_device(batch_indices(self.seed, self.nimg, count, len(images)), device)
        sigma, counts = self.draw(count, generator)
        flip = torch.rand(count, generator=generator) < 0.5 if params.flip else torch.zeros(count)
        hidden = torch.rand(count, generator=generator) < params.label_dropout
        eps = self._noise((count, *images.shape[1:]), generator)
        x0 = from_uint8(images[chosen])
        x0 = torch.where(to_device(flip.bool(), device)[:, None, None, None], x0.flip(-1), x0)
        x0, told = self._augment(x0)
        labels = torch.where(to_device(hidden, device), NO_LABEL, self.data.labels[chosen])
        return x0, labels, to_device(sigma.float(), device), to_device(counts, device), eps, told

    def _noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Made where it is used: a GPU would wait for a CPU's three million normals a step."""
        device = self.data.images.device
        if device.type == "cuda":
            generator = torch.Generator(device)
            generator.manual_seed(mixed_seed("noise", self.seed, self.nimg))
            return torch.randn(shape, generator=generator, device=device)
        return torch.randn(shape, generator=generator).to(device)

    def _augment(self, x0: Tensor) -> tuple[Tensor, Tensor | None]:
        """The pictures turned and warped as params want, and what the net is told of it."""
        params = self.params
        if not (params.vertical_flip or params.rotate or params.augment):
            return x0, None
        generator = augment.generator_of(self.seed, self.nimg)
        x0 = augment.turned(x0, params.vertical_flip, params.rotate, generator)
        if not params.augment:
            return x0, None
        numbers = augment.draw_augmentations(len(x0), params.augment, generator)
        numbers = to_device(numbers, x0.device)
        return augment.augmented(x0, numbers), numbers

    def _keep(self, before: int) -> None:
        """The guide and the averages' snapshots, where they are due since ``before`` images."""
        params, budget = self.params, self.params.images
        now = min(self.nimg, budget)
        if params.guide_at and before < params.guide_at * budget <= now:
            weights = self.ema.net.state_dict()
            self.guide = {name: value.to("cpu", copy=True) for name, value in weights.items()}
        if _crossed(before * params.ema_snapshots, now * params.ema_snapshots, budget):
            for average in self.averages:
                if isinstance(average, PowerEma):
                    step = self.nimg // params.batch_size
                    folder = self.checkpoints.folder / FOLDER
                    write_snapshot(folder, average.net, average.length, step)

    def _log(self) -> None:
        """Add the window's means to the history and start a new window."""
        self._check_finite()
        loss, norm = torch.stack(self.window).mean(0).tolist()
        lr = learning_rate(self.params, self.nimg)
        self.history.append([float(self.nimg), loss, lr, norm])
        self.window = []

    def _check_finite(self) -> None:
        """Refuse to go on, and to save, once the loss or the gradient is no number."""
        if self.window and not bool(torch.stack(self.window).isfinite().all()):
            raise PipelineError(
                f"training diverged before {self.nimg} images: the loss or its gradient is not "
                "finite. Lower train.lr or train.grad_clip; the last checkpoint is whole"
            )


def learning_rate(params: TrainParams, nimg: int) -> float:
    """The rate after ``nimg`` images: a rise over ``warmup``, a plateau, a line to 0 (``decay``).

    Both are shares of the budget, so a shorter run is a whole run.
    """
    share = nimg / params.images
    rise = min(1.0, (share + params.batch_size / params.images) / max(params.warmup, 1e-12))
    fall = min(1.0, (1 - share) / max(params.decay, 1e-12))
    return params.lr * max(0.0, min(rise, fall))


def _crossed(before: int, after: int, every: int) -> bool:
    """Whether a multiple of ``every`` lies in (before, after]."""
    return after // every > before // every
