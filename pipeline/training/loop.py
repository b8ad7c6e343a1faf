"""The training loop: one step after another, read from top to bottom.

The loop yields what happened and leaves logging, drawing and records to its caller. Its clock is
``nimg``, the images seen, so nothing changes meaning with the batch size or with how many devices
share it. No step waits for the device: what is to be known of a step is read at the next log line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from pipeline.diffusion.denoiser import NO_LABEL, Denoiser
from pipeline.diffusion.draws import make_draw
from pipeline.diffusion.losses import denoising_loss
from pipeline.errors import PipelineError
from pipeline.params import TrainParams
from pipeline.training import nonfinite
from pipeline.training.batch import Batch, draw_batch, draw_levels, pictures
from pipeline.training.checkpoint import Checkpoints, State
from pipeline.training.compute import Compiled, Compute
from pipeline.training.data import Pictures, to_device
from pipeline.training.distributed import Group, check_share, without_averaging
from pipeline.training.ema import Average, Ema, PowerEma
from pipeline.training.events import (
    PREDICTED,
    Event,
    Logged,
    Predicted,
    Saved,
    Stopped,
    TimeToSample,
)
from pipeline.training.meter import WARM_UP, Meter, look_at, matmul_peak
from pipeline.training.order import batch_indices, mixed_seed
from pipeline.training.posthoc import FOLDER, write_snapshot

AGREE_EVERY = 8  # steps after which several processes ask each other whether to stop


class Trainer:
    """The state of a training: weights, optimiser, averages, images seen.

    Args:
        denoiser: what is trained; moved to the device of ``data``.
        data: the training split.
        params: the ``train`` section.
        seed: of noise, order, flips, dropout (weights are initialised by the caller).
        checkpoints: where the state is kept.
        group: the processes that share the training; a lone one if not given.

    Everything random in a step is a function of (seed, nimg), so N steps, a kill -9, and N more
    give the bits of 2 N steps on a CPU.

    Attributes:
        averages: the classic one, or a power-function average of each of ``ema_lengths``.
        guide: the first average's weights at ``guide_at`` of the budget, on the CPU; None before.

    Raises:
        ParamsError: the batch cannot be cut evenly for the processes and ``accumulate``.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        data: Pictures,
        params: TrainParams,
        seed: int,
        checkpoints: Checkpoints,
        group: Group | None = None,
    ) -> None:
        self.group = group or Group()
        check_share(params.batch_size, params.accumulate, self.group.size)
        self.compute = Compute.of(params, data.device)
        self.denoiser = denoiser
        self.denoiser.autocast = self.compute.autocast
        self.net = self.compute.placed(denoiser.net)
        self.data, self.params, self.seed, self.checkpoints = data, params, seed, checkpoints
        lengths, foreach = params.ema_lengths, self.compute.foreach
        self.averages: list[Average] = [PowerEma(self.net, one, foreach) for one in lengths] or [
            Ema(self.net, params.ema, foreach)
        ]
        self.guide: dict[str, Tensor] | None = None
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(),
            lr=params.lr,
            betas=(0.9, params.beta2),
            weight_decay=params.weight_decay,
            fused=self.compute.fused,
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
        # What is trained computes through the wrapper that averages gradients over processes.
        self.summary = look_at(self.net, data.shape[1])
        unused = self.summary.uncalled > 0
        self.learner = self._with(self.group.wrap(self.net, data.device, unused))
        # Makes the schedule's table, which could not be made within what is compiled.
        denoiser.schedule.time(torch.ones(1, device=data.device))
        self.loss_of = Compiled(self._loss_of, self.compute.compiled)
        self.nimg = 0
        self.skipped = 0  # steps left out because they were not finite
        self.history: list[list[float]] = []  # [nimg, loss, lr, grad_norm] of each log line
        self.window: list[Tensor] = []  # (3,) of each step not yet logged, see ``step``

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
        other.autocast = one.autocast
        return other

    # ------------------------------------------------------------------ state

    def resume(self) -> list[str]:
        """Continue from the newest sound checkpoint, if any. Returns warnings to show."""
        state, warnings = self.checkpoints.load()
        if state is None:
            return warnings
        try:
            self._restore(state)
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise PipelineError(
                f"{self.checkpoints.folder}: its checkpoint is of another training ({reason}): "
                "`pipeline train --fresh` begins anew"
            ) from None
        return warnings

    def _restore(self, state: State) -> None:
        self.net.load_state_dict(state.under("net/"))
        for k, average in enumerate(self.averages):
            average.net.load_state_dict(state.under(f"average/{k}/"))
        self.guide = state.under("guide/") or None
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in state.under("optimizer/").items():
            place, _, key = name.partition("/")
            moments.setdefault(int(place), {})[key] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        for number, known in moments.items():
            shape = self.optimizer.param_groups[0]["params"][number].shape
            if any(value.ndim and value.shape != shape for value in known.values()):
                raise ValueError(f"moments of parameter {number} have another shape")
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.nimg, self.history, self.skipped = state.counts()
        self.window = list(state.tensors["window"].to(self.data.device))

    def save(self) -> Saved:
        """Write a checkpoint (the leader does), once it is known that the weights are sound."""
        self._check_finite()
        if not self.group.leads:
            return Saved(self.nimg, None)
        tensors = {f"net/{name}": value for name, value in self.net.state_dict().items()}
        for k, average in enumerate(self.averages):
            for name, value in average.net.state_dict().items():
                tensors[f"average/{k}/{name}"] = value
        for name, value in (self.guide or {}).items():
            tensors[f"guide/{name}"] = value
        for place, moments in self.optimizer.state_dict()["state"].items():
            for key, value in moments.items():
                tensors[f"optimizer/{place}/{key}"] = value
        tensors["window"] = torch.stack(self.window) if self.window else torch.zeros(0, 3)
        values = {"nimg": self.nimg, "history": self.history, "skipped": self.skipped}
        return Saved(self.nimg, self.checkpoints.save(self.nimg, State(tensors, values)))

    # ------------------------------------------------------------------ loop

    def run(self, should_stop: Callable[[], int] = lambda: 0) -> Iterator[Event]:
        """Train to the budget. A true ``should_stop()`` saves, yields ``Stopped`` and returns."""
        params, taken = self.params, 0
        meter, since_warm_up = self._meters()
        while self.nimg < params.images:
            meter.start()
            since_warm_up.start()
            self.window.append(self.step())
            before, self.nimg = self.nimg, self.nimg + params.batch_size
            taken += 1
            self._keep(before)
            done = self.nimg >= params.images
            log = done or _crossed(before, self.nimg, params.log_every)
            if log:
                self._log()
            if log or self.compute.sync or taken in (WARM_UP, PREDICTED):
                self.compute.wait()  # before the clock is read
            meter.stop(params.batch_size)
            since_warm_up.stop(params.batch_size)
            if log:
                yield self._logged(meter)
                meter.reset()
            if taken == WARM_UP:
                since_warm_up.reset()
            if taken == PREDICTED and not done:
                rate = since_warm_up.rate()
                yield Predicted(self.nimg, since_warm_up.seconds_left(self.nimg, rate))
            asked = self.group.size == 1 or taken % AGREE_EVERY == 0
            if not done and asked and self.group.highest(should_stop()):
                self.save()
                yield Stopped(self.nimg)
                return
            if done or _crossed(before, self.nimg, params.checkpoint_every):
                yield self.save()
            if done or (params.sample_every and _crossed(before, self.nimg, params.sample_every)):
                yield TimeToSample(self.nimg)

    def step(self) -> Tensor:
        """One update on the batch that starts at ``nimg``.

        Returns:
            (3,) on the device: the loss, the gradient's norm, and the first picture in the batch
            whose loss is no number (-1: none).
        """
        params, net = self.params, self.net
        net.train()
        with self.compute.kernels():
            each = self.loss_of.proven(self._gradients)
        loss = self.group.total(each.sum() / params.batch_size)
        norm = nn.utils.clip_grad_norm_(net.parameters(), params.grad_clip)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(params, self.nimg)
        nonfinite.step_if_finite(self.optimizer, loss + norm)
        for average in self.averages:
            average.update(net, self.nimg // params.batch_size + 1)
        first = self.group.share(params.batch_size).start
        return torch.stack([loss, norm, nonfinite.place_of(each, first)])

    def _gradients(self) -> Tensor:
        """Gradients of the step at ``nimg``; (b,) the loss of each picture of this process."""
        params = self.params
        share = self.group.share(params.batch_size)
        batch = self.batch().part(share)
        images, places, labels = self.data.batch(self._order, self.nimg, params.batch_size)
        torch.manual_seed(mixed_seed("net", self.seed, self.nimg, share.start))  # dropout
        self.optimizer.zero_grad(set_to_none=True)
        size = len(places) // params.accumulate
        parts = [slice(k * size, (k + 1) * size) for k in range(params.accumulate)]
        losses = []
        for part in parts[:-1]:
            with without_averaging(self.learner.net):
                losses.append(self._backward(images, places[part], labels[part], batch.part(part)))
        last = parts[-1]
        losses.append(self._backward(images, places[last], labels[last], batch.part(last)))
        return torch.cat(losses)

    def _backward(self, images: Tensor, places: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """Adds the gradients of a part of the batch; (b,) the loss of each of its pictures."""
        device = self.data.device
        masks = to_device(torch.stack([batch.flip, batch.hidden]), device)
        numbers = to_device(torch.stack([batch.sigma, batch.counts]), device)
        turns = None if batch.turns is None else to_device(batch.turns, device)
        told = None if batch.told is None else to_device(batch.told, device)
        each = self.loss_of(images, places, labels, masks, numbers, batch.eps, turns, told)
        # Averaging over processes divides by their number once more.
        (each.sum() * (self.group.size / self.params.batch_size)).backward()
        return each.detach()

    def _loss_of(
        self,
        images: Tensor,
        places: Tensor,
        labels: Tensor,
        masks: Tensor,
        numbers: Tensor,
        eps: Tensor,
        turns: Tensor | None,
        told: Tensor | None,
    ) -> Tensor:
        """(b,) the loss of each picture: all of a step's arithmetic that can be compiled."""
        (flip, hidden), (sigma, counts) = masks, numbers
        x0 = pictures(images[places], flip, turns, told)
        labels = torch.where(hidden, NO_LABEL, labels)
        params = self.params
        each = denoising_loss(
            self.learner, self.compute.laid_out(x0), labels, sigma, eps,
            params.loss, params.weighting, told,
        )  # fmt: skip
        return each * counts

    def batch(self) -> Batch:
        """What is random in the whole step at ``nimg``, pictures apart."""
        one, shape = self.data, self.data.shape
        return draw_batch(self.params, self.draw, self.seed, self.nimg, shape, one.device)

    def _order(self, nimg: int) -> Tensor:
        """(b,) int64: this process's pictures of the step that starts at ``nimg``."""
        size = self.params.batch_size
        return batch_indices(self.seed, nimg, size, len(self.data))[self.group.share(size)]

    # ------------------------------------------------------------------ between the steps

    def _keep(self, before: int) -> None:
        """The guide and the averages' snapshots, where they are due since ``before`` images."""
        params, budget = self.params, self.params.images
        now = min(self.nimg, budget)
        if params.guide_at and before < params.guide_at * budget <= now:
            weights = self.ema.net.state_dict()
            self.guide = {name: value.to("cpu", copy=True) for name, value in weights.items()}
        due = _crossed(before * params.ema_snapshots, now * params.ema_snapshots, budget)
        if due and self.group.leads:
            for average in self.averages:
                if isinstance(average, PowerEma):
                    step = self.nimg // params.batch_size
                    folder = self.checkpoints.folder / FOLDER
                    write_snapshot(folder, average.net, average.length, step)

    def _meters(self) -> tuple[Meter, Meter]:
        """One for the log lines, one for the prediction."""
        flops, budget = self.summary.flops, self.params.images
        peak = self._peak()
        return Meter(flops, peak, budget), Meter(flops, peak, budget)

    def _peak(self) -> float:
        """Operations a second that all devices together could reach."""
        return self.group.size * matmul_peak(self.data.device, self.compute.dtype)

    def _log(self) -> None:
        """Add the window's means to the history and start a new window."""
        self.skipped += self._check_finite()
        known = torch.stack(self.window)[:, :2]
        known = known[known.isfinite().all(dim=1)]
        loss, norm = known.mean(0).tolist() if len(known) else (float("nan"), float("nan"))
        lr = learning_rate(self.params, self.nimg)
        self.history.append([float(self.nimg), loss, lr, norm])
        self.window = []

    def _logged(self, meter: Meter) -> Logged:
        nimg, loss, lr, norm = self.history[-1]
        rate, meter.peak = meter.rate(), self._peak()
        return Logged(
            int(nimg), loss, norm, lr, rate,
            meter.tflops(rate), meter.mfu(rate), self.compute.memory(),
            meter.seconds_left(self.nimg, rate),
        )  # fmt: skip

    def _check_finite(self) -> int:
        """How many steps of the window are no numbers; none of them changed a weight.

        Raises:
            PipelineError: they are more than may be left out.
        """
        if not self.window:
            return 0
        rows = torch.stack(self.window).cpu()
        bad = (~rows[:, :2].isfinite().all(dim=1)).nonzero().flatten().tolist()
        if not bad or self.skipped + len(bad) <= self.params.skip_nonfinite:
            return len(bad)
        size, count = self.params.batch_size, len(self.data)
        nimg = self.nimg - (len(rows) - bad[0]) * size
        place = self.group.highest(int(rows[bad[0], 2]))
        sigma = draw_levels(self.params, self.draw, self.seed, nimg)
        chosen = batch_indices(self.seed, nimg, size, count)
        what = nonfinite.explain(nimg // size + 1, nimg, place, sigma, chosen)
        allowed = self.params.skip_nonfinite
        raise PipelineError(
            f"training diverged at {what}"
            + (f", and {allowed} such steps were left out already" if allowed else "")
            + ". Lower train.lr or train.grad_clip, or let train.skip_nonfinite leave out "
            "more such steps; the last checkpoint is whole"
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
