"""One training on many devices: every process computes its share of each batch.

What is random in a step is drawn for the whole batch by every process and then cut, so the
pictures, noise and levels of a step do not depend on how many share it. Gradients are averaged by
torch's DistributedDataParallel; processes are started by ``torchrun``.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pipeline.errors import ParamsError, PipelineError

T = TypeVar("T")
PATIENCE = timedelta(minutes=10)  # for a process that does not come to where the others wait


@dataclass(frozen=True)
class Group:
    """The processes of one training, seen from one of them; a lone process is a group of one.

    Attributes:
        rank: this process's number; 0 leads: it alone writes files, records and says anything.
        size: how many there are.
        control: for words between processes that no device should wait for.
    """

    rank: int = 0
    size: int = 1
    control: Any = None

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def share(self, count: int) -> slice:
        """This process's part of ``count`` pictures."""
        each = count // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def wrap(self, net: nn.Module, device: torch.device, unused: bool = False) -> nn.Module:
        """``net``, made to average its gradients over the processes.

        Args:
            unused: whether some of its layers are never called; looking for them takes time.
        """
        if self.size == 1:
            return net
        devices = [device] if device.type == "cuda" else None
        return DistributedDataParallel(net, devices, find_unused_parameters=unused)

    def total(self, values: Tensor) -> Tensor:
        """The sum over the processes, on the device, waited for by nobody but it."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def highest(self, value: int) -> int:
        """The largest of the processes' numbers: how they agree to stop."""
        if self.size == 1:
            return value
        word = torch.tensor(value)
        dist.all_reduce(word, dist.ReduceOp.MAX, group=self.control)
        return int(word)

    def from_leader(self, value: T) -> T:
        """The leader's value, in every process."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, 0, group=self.control)
        return box[0]


def check_share(batch_size: int, accumulate: int, size: int) -> None:
    """Raises ParamsError where a batch cannot be cut into equal parts."""
    if batch_size % (accumulate * size):
        raise ParamsError(
            f"train.batch_size: got {batch_size}, expected a multiple of {accumulate * size} "
            f"({size} processes, train.accumulate {accumulate})"
        )


def local_device(device: torch.device) -> torch.device:
    """The device of this process: of several GPUs, the one with its number on this machine."""
    if device.type == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


def is_follower() -> bool:
    """Whether ``torchrun`` started this process as another than the leader."""
    return int(os.environ.get("RANK", "0")) > 0


@contextmanager
def joined(device: torch.device) -> Iterator[Group]:
    """The group that ``torchrun`` started this process in, or a group of one.

    Raises:
        PipelineError: another process of the group is gone.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        control = dist.new_group(backend="gloo", timeout=PATIENCE)
        yield Group(dist.get_rank(), size, control)
    except PipelineError as error:
        if dist.get_rank():
            sys.exit(error.exit_code)  # what befalls all of them the leader says
        raise
    except RuntimeError as error:  # what a lost peer is reported as
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise PipelineError(
            f"another process of this training is gone ({_reason(error)}): the last checkpoint is "
            "whole, the same command goes on from it"
        ) from None
    finally:
        dist.destroy_process_group()


def _reason(error: Exception) -> str:
    """The first sentence, without the place in torch's own source that it starts with."""
    text = re.sub(r"^\[[^\]]*\.\w+:\d+\]\s*", "", " ".join(str(error).split()))
    return text.split(". ")[0] or type(error).__name__


def without_averaging(net: nn.Module) -> AbstractContextManager[None]:
    """Within it a wrapped net keeps its gradients to itself, as all but the last part should."""
    return net.no_sync() if isinstance(net, DistributedDataParallel) else nullcontext()
