"""What no single field of params.yaml can say: values that do not go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import ParamsError
from pipeline.nets.sizes import misfit

if TYPE_CHECKING:
    from pipeline.params import Params

AUGMENTED = ("unet",)  # nets that can be told of augmentations


def check_together(params: Params) -> None:
    """What no single field can say. Raises ``ParamsError`` without a file name."""
    problem = misfit(params.train.net, params.resize.size)
    if problem is not None:
        raise ParamsError(problem)
    if params.train.warmup + params.train.decay > 1:
        raise ParamsError(
            f"train.warmup + train.decay: got {params.train.warmup} + {params.train.decay}, "
            "expected at most 1 together"
        )
    if params.train.batch_size % params.train.accumulate:
        raise ParamsError(
            f"train.accumulate: got {params.train.accumulate}, expected a divisor of "
            f"train.batch_size ({params.train.batch_size})"
        )
    kind = params.train.net.kind
    if params.train.augment > 0 and kind not in AUGMENTED:
        raise ParamsError(
            f"train.augment: got {params.train.augment:g}, but net {kind} cannot be told of "
            f"augmentations: use 0, or train.net.kind={AUGMENTED[0]}"
        )
    if params.train.ema_snapshots and not params.train.ema_lengths:
        raise ParamsError(
            f"train.ema_snapshots: got {params.train.ema_snapshots}, but train.ema_lengths names "
            "no average to keep: give lengths, as [0.05, 0.10], or 0 snapshots"
        )
    if params.dedupe.loose_distance < params.dedupe.near_distance:
        raise ParamsError(
            f"dedupe.loose_distance: got {params.dedupe.loose_distance}, expected at least "
            f"dedupe.near_distance ({params.dedupe.near_distance})"
        )
    if params.dedupe.executor == "dask" and not params.dedupe.scheduler:
        raise ParamsError(
            "dedupe.scheduler: executor dask needs the address of a scheduler, "
            "as dedupe.scheduler=tcp://head:8786 (`dask scheduler` prints it)"
        )
    if not params.scrape.sources and not params.scrape.import_path:
        raise ParamsError("scrape.sources: got none, expected at least one source, as gallery: 80")
