"""The levers of speed, settled for a device: arithmetic, layout, compilation, kernels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from pipeline.devices import resolve_autocast
from pipeline.params import TrainParams

T = TypeVar("T")


@dataclass(frozen=True)
class Compute:
    """How a training computes; see ``params.EngineParams`` for what each lever is.

    On a CPU all of ``auto`` is off: channels innermost cost a quarter there and compilation gained
    nothing (both measured on two cores).
    """

    device: torch.device
    autocast: Callable[[], torch.autocast] | None
    compiled: bool
    channels_last: bool
    sdpa: bool
    fused: bool
    foreach: bool
    sync: bool

    @classmethod
    def of(cls, params: TrainParams, device: torch.device) -> Compute:
        """What ``params`` want on ``device``; sets torch's switch for TensorFloat-32."""
        engine = params.engine
        torch.backends.cuda.matmul.allow_tf32 = engine.tf32
        torch.backends.cudnn.allow_tf32 = engine.tf32
        compiled = _settled(engine.compile, device.type == "cuda")
        return cls(
            device,
            resolve_autocast(params.precision, device),
            compiled,
            _settled(engine.channels_last, compiled and device.type == "cuda"),
            engine.sdpa,
            engine.fused,
            engine.foreach,
            engine.sync,
        )

    @property
    def dtype(self) -> torch.dtype:
        """What the net's matrix products are computed in."""
        return torch.float32 if self.autocast is None else torch.bfloat16

    def describe(self) -> str:
        """A few words for the log, as ``cuda, bf16, compiled, channels last``."""
        words = [str(self.device), "fp32" if self.autocast is None else "bf16"]
        words += ["compiled"] * self.compiled + ["channels last"] * self.channels_last
        return ", ".join(words)

    def placed(self, net: nn.Module) -> nn.Module:
        """``net`` on the device, its weights laid out as wanted."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return net.to(self.device, memory_format=layout)  # type: ignore[call-overload]

    def laid_out(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in the layout of the net's weights."""
        return (
            images.contiguous(memory_format=torch.channels_last) if self.channels_last else images
        )

    @contextmanager
    def kernels(self) -> Iterator[None]:
        """Within it attention is fused, or is not."""
        if self.sdpa:
            yield
        else:
            with sdpa_kernel(SDPBackend.MATH):
                yield

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def memory(self) -> int:
        """Bytes: the most that was in use on the device, or by the process on a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        import resource  # not on Windows, where only a CUDA device would be asked

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Compiled:
    """A function that is compiled at its first call, or stays plain where that fails.

    Attributes:
        failure: why it is plain although it was to be compiled; empty otherwise.
    """

    def __init__(self, function: Callable[..., Tensor], wanted: bool) -> None:
        self.failure = ""
        self._plain, self._call = function, function
        self._proven = not wanted
        if wanted:
            # The compiler's own remarks (few cores to tune on, no TF32) change no result.
            logging.getLogger("torch._inductor").setLevel(logging.ERROR)
            self._call = torch.compile(function, dynamic=False)

    def __call__(self, *arguments: Any) -> Tensor:
        return self._call(*arguments)

    def proven(self, work: Callable[[], T]) -> T:
        """``work()``, which calls this function and its backward pass. If the first such work
        fails, compilation is given up and it is done again; it must be able to."""
        if self._proven:
            return work()
        try:
            result = work()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # the compiler's layers raise errors of many kinds
            self.failure = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
            self._call = self._plain
            result = work()
        self._proven = True
        return result


def _settled(lever: str, auto: bool) -> bool:
    return auto if lever == "auto" else lever == "always"
