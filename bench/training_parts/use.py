"""Where a step's time goes: share of the matmul peak, and time by kind of work."""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from pipeline.training.meter import matmul_peak
from training_parts.ours import Ours, Trained
from training_parts.race import race
from training_parts.speed import Scale

# The first that fits the name of a kernel (GPU) or of an operator (CPU). Inductor's own kernels
# are named after all they fused, convolutions that they merely follow among them.
RULES = (
    (r"^triton_for|adam|multi_tensor|foreach|lerp|clip_grad", "optimiser and averages"),
    (r"^triton_(poi|red|per)", "norm and elementwise"),
    (r"flash|fmha|attention|sdpa|softmax|bmm", "attention"),
    (r"conv|cudnn|wgrad|dgrad|fprop|implicit|xmma", "convolution"),
    (r"gemm|cutlass|nvjet|addmm|aten::mm\b|linear|cublas", "matrix product"),
    (r"copy|memcpy|memset|\bcat|contiguous|clone|index|gather|pixel_", "copies"),
    (r"", "norm and elementwise"),
)
KINDS = (*dict.fromkeys(kind for _like, kind in RULES), "idle")
TOP = 8


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def use_of(scale: Scale, data: Trained, preset: str) -> dict[str, Any]:
    """(3) Speed, share of the peak, and the profile of a few steps of one candidate."""
    device = data.device
    one = Ours(preset, preset, scale.shrink, data, scale.steps)
    top = matmul_peak(device, one.trainer.compute.dtype)
    result = race([one], scale.turns, device)[preset]
    wait(device)
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiled:
        started = time.perf_counter()
        one.advance()
        wait(device)
        wall = time.perf_counter() - started
    spent = kernels(profiled, device)
    if device.type == "cuda":
        result["memory"] = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
    largest = sorted(spent.items(), key=lambda item: -item[1])[:TOP]
    return {**result, "peak": top, "wall": wall, "kinds": by_kind(spent, wall), "top": largest}


def kernels(profiled: Any, device: torch.device) -> dict[str, float]:
    """Seconds by name: of kernels on a GPU, of operators themselves on a CPU."""
    spent: Counter[str] = Counter()
    gpu = device.type == "cuda"
    for event in profiled.key_averages():
        if getattr(event, "is_user_annotation", False):
            continue  # a name for a stretch of others
        if gpu and event.device_type == DeviceType.CUDA:
            spent[event.key] += event.self_device_time_total / 1e6
        elif not gpu:
            spent[event.key] += event.self_cpu_time_total / 1e6
    return dict(spent)


def by_kind(spent: dict[str, float], wall: float) -> dict[str, float]:
    """Shares of the wall time; what no kernel took is ``idle``."""
    kinds = dict.fromkeys(KINDS[:-1], 0.0)
    for name, seconds in spent.items():
        kinds[kind_of(name)] += seconds / wall
    return {**kinds, "idle": max(0.0, 1 - sum(kinds.values()))}


def kind_of(name: str) -> str:
    return next(kind for like, kind in RULES if re.search(like, name.lower()))
