"""Where tensors live and in what arithmetic: settled once, then passed along."""

from __future__ import annotations

from collections.abc import Callable

import torch

from pipeline.errors import ParamsError


def resolve_device(name: str, key: str = "device") -> torch.device:
    """The device that params call ``name``; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        ParamsError: the named device is not there. ``key`` is the parameter to blame.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next((device for device, yes in there.items() if yes), "cpu"))
    if not there.get(name, name == "cpu"):
        raise ParamsError(
            f"{key}: got {name}, but torch finds no such device here: use auto or cpu"
        )
    return torch.device(name)


def resolve_autocast(precision: str, device: torch.device) -> Callable[[], torch.autocast] | None:
    """The context in which the net computes, or None for plain float32.

    ``auto`` is bf16 on CUDA, which needs no loss scaling, and float32 elsewhere: bf16 autocast on
    a CPU without AMX was measured eleven times slower.
    """
    if precision == "fp32" or (precision == "auto" and device.type != "cuda"):
        return None
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
