"""What a training says of itself, and how it reads as a line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

PREDICTED = 50


@dataclass(frozen=True)
class Logged:
    """Every ``log_every`` images.

    Attributes:
        nimg: images seen; loss, grad_norm: means since the last of these.
        lr: the learning rate now; images_per_second: since the last of these, samples apart.
        tflops: TFLOP/s of the net's own arithmetic, of all devices together; mfu: its share of the
            matrix products' measured peak.
        memory: bytes, the most in use so far; seconds_left: at this rate.
    """

    nimg: int
    loss: float
    grad_norm: float
    lr: float
    images_per_second: float
    tflops: float = 0.0
    mfu: float = 0.0
    memory: int = 0
    seconds_left: float = 0.0


@dataclass(frozen=True)
class Predicted:
    """After the first ``PREDICTED`` steps of a start: when it will be done."""

    nimg: int
    seconds_left: float


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written and is safe. ``path`` is None in a process that does not lead."""

    nimg: int
    path: Path | None


@dataclass(frozen=True)
class TimeToSample:
    """The averaged weights are due for a sample grid."""

    nimg: int


@dataclass(frozen=True)
class Stopped:
    """``should_stop`` said so; the state is saved at ``nimg``."""

    nimg: int


Event = Logged | Predicted | Saved | TimeToSample | Stopped


def log_line(event: Logged, batch_size: int, budget: int) -> str:
    """All of a log event in one line."""
    words = [
        f"step {event.nimg // batch_size:,}",
        f"{event.nimg:,} of {budget:,} images",
        f"loss {event.loss:.4f}",
        f"{event.images_per_second:,.0f} images/s",
        f"{event.tflops:.3g} TFLOP/s",
        f"MFU {event.mfu:.1%}",
        f"{event.memory / 1e9:.2f} GB",
        f"{duration(event.seconds_left)} left",
    ]
    return "  ".join(words)


def prediction_line(event: Predicted) -> str:
    """When a training will be done, in the time of the clock on the wall."""
    end = datetime.now() + timedelta(seconds=event.seconds_left)
    day = "" if end.date() == datetime.now().date() else f"{end:%Y-%m-%d} "
    return f"{PREDICTED} steps: about {duration(event.seconds_left)} to go, until {day}{end:%H:%M}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as ``1:02:03``."""
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def metrics_of(event: Logged) -> dict[str, float]:
    """The measurements of a log line, as a run records them."""
    return {
        "train/loss": event.loss,
        "train/grad_norm": event.grad_norm,
        "train/lr": event.lr,
        "train/images_per_second": event.images_per_second,
        "train/tflops": event.tflops,
        "train/mfu": event.mfu,
        "train/memory_gb": event.memory / 1e9,
    }
