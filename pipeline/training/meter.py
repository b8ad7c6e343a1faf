"""How fast a training is, against what the device can do, and when it will be done."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch import nn

from pipeline.net_summary import Summary, summarise

FORWARD_AND_BACK = 3  # a backward pass computes two products for each of the forward pass
WARM_UP = 10  # steps that predict nothing: kernels are chosen
_PEAKS: dict[tuple[torch.device, torch.dtype], float] = {}


def look_at(net: nn.Module, size: int, channels: int = 3) -> Summary:
    """The summary of ``net`` for pictures of side ``size``, from shapes alone."""
    return summarise(copy.deepcopy(net).to("meta"), size, channels)


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large square matrix product there: the most a net can hope for.

    The best that was ever seen: each call looks again, a moment long (the first a little longer),
    since other work may have slowed down what was measured before.
    """
    known = _PEAKS.get((device, dtype), 0.0)
    side, products = (4096, 8) if device.type == "cuda" else (1024, 1)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    for _ in range(1 if known else 6):
        (a @ b)[0, 0].item()  # waits for the device
        started = time.perf_counter()
        for _ in range(products):
            c = a @ b
        c[0, 0].item()
        known = max(known, 2 * side**3 * products / (time.perf_counter() - started))
    _PEAKS[device, dtype] = known
    return known


class Meter:
    """Counts images and the time spent on them, what lies between the steps apart.

    Args:
        flops: operations of one forward pass for one picture: convolutions, matrix products and
            attention, 2 a multiply-add. A training image takes three times as many.
        peak: operations a second of all devices together.
        budget: images in all; clock: seconds, for tests.
    """

    def __init__(
        self,
        flops: int,
        peak: float,
        budget: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.flops, self.peak, self.budget = FORWARD_AND_BACK * flops, peak, budget
        self._clock = clock
        self._started = clock()
        self._images, self._busy = 0, 0.0

    def start(self) -> None:
        """A step begins."""
        self._started = self._clock()

    def stop(self, images: int) -> None:
        """A step of ``images`` has ended."""
        self._busy += self._clock() - self._started
        self._images += images

    def rate(self) -> float:
        """Images a second since the last reset; 0 before the first."""
        return self._images / self._busy if self._busy else 0.0

    def reset(self) -> None:
        self._images, self._busy = 0, 0.0

    def tflops(self, rate: float) -> float:
        """TFLOP/s at ``rate`` images a second."""
        return rate * self.flops / 1e12

    def mfu(self, rate: float) -> float:
        """Model FLOPs utilisation (Chowdhery et al. 2022, appendix B): the share of the peak."""
        return rate * self.flops / self.peak

    def seconds_left(self, nimg: int, rate: float) -> float:
        return max(self.budget - nimg, 0) / rate if rate else float("inf")
