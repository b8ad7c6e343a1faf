"""Where training pictures come from: device memory, or a file that is read ahead of the steps."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

AHEAD = 4  # batches read before they are asked for
READERS = 2  # threads; copying from a memory map holds no lock of Python's
_TURNED = 1024  # pictures whose channels are brought to the front at once

Order = Callable[[int], Tensor]
"""nimg -> (b,) int64: the pictures of the step that starts there."""


class Pictures(Protocol):
    """A training split on its way to a device."""

    @property
    def device(self) -> torch.device:
        """Where batches go."""

    def __len__(self) -> int: ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, S, S) of a picture."""

    def batch(self, order: Order, nimg: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """The pictures of one step.

        Args:
            order: which pictures; the next steps are ``order(nimg + step)`` and so on.

        Returns:
            (P, C, S, S) uint8 pixels, (b,) int64 places in them, (b,) int64 labels, all on the
            device. The places are applied by the caller, within its compiled step.
        """


@dataclass(frozen=True)
class Resident:
    """All of it in the memory of the device: a batch costs an index.

    Attributes:
        images: (N, C, S, S) uint8.
        labels: (N,) int64, on the same device.
    """

    images: Tensor
    labels: Tensor

    @property
    def device(self) -> torch.device:
        return self.images.device

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def batch(self, order: Order, nimg: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        chosen = to_device(order(nimg), self.device)
        return self.images, chosen, self.labels[chosen]


class Streamed:
    """Read from a memory map by threads that stay a few batches ahead.

    The order of pictures is a function of the images seen, so what comes next is known and nothing
    about the reading has to be saved.

    Args:
        images: (N, S, S, C) uint8, as a data set's file holds them; mapped, not loaded.
        labels: (n,) int64.
        rows: (n,) places in ``images`` of the n pictures to train on.
        device: where batches go.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, rows: np.ndarray, device: torch.device
    ) -> None:
        self.images, self.rows, self._device = images, rows, device
        self.labels = torch.from_numpy(labels).to(device)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        self._coming: dict[int, Future[tuple[Tensor, Tensor]]] = {}

    @property
    def device(self) -> torch.device:
        return self._device

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int]:
        height, width, channels = self.images.shape[1:]
        return channels, height, width

    def batch(self, order: Order, nimg: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        wanted = range(nimg, nimg + (AHEAD + 1) * step, step)
        for place in self._coming.keys() - set(wanted):  # after a jump, as in a test of speed
            self._coming.pop(place).cancel()
        for place in wanted:
            if place not in self._coming:
                self._coming[place] = self._readers.submit(self._read, order, place)
        pixels, chosen = self._coming.pop(nimg).result()
        images = pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2).contiguous()
        everyone = torch.arange(len(images), device=self.device)
        return images, everyone, self.labels[to_device(chosen, self.device)]

    def _read(self, order: Order, nimg: int) -> tuple[Tensor, Tensor]:
        chosen = order(nimg)
        pixels = torch.from_numpy(self.images[self.rows[chosen.numpy()]])
        return (pixels.pin_memory() if self.device.type == "cuda" else pixels), chosen


def make_pictures(
    images: np.ndarray, labels: np.ndarray, rows: np.ndarray, device: torch.device, resident: str
) -> Resident | Streamed:
    """The training split on ``device``, as ``train.engine.resident`` wants it.

    Args:
        images: (N, S, S, C) uint8; labels: (N,) int64; rows: the split's places in both.
        resident: always, never, or auto: where it takes at most half of the memory that is free.
    """
    labels = np.ascontiguousarray(labels[rows], dtype=np.int64)
    size = len(rows) * int(np.prod(images.shape[1:]))
    if resident == "never" or (resident == "auto" and size > free_memory(device) // 2):
        return Streamed(images, labels, rows, device)
    pixels = torch.empty(len(rows), images.shape[3], *images.shape[1:3], dtype=torch.uint8)
    for start in range(0, len(rows), _TURNED):  # some at a time: only one copy fits for sure
        some = slice(start, start + _TURNED)
        pixels[some] = torch.from_numpy(images[rows[some]]).permute(0, 3, 1, 2)
    return Resident(pixels.to(device), torch.from_numpy(labels).to(device))


def free_memory(device: torch.device) -> int:
    """Bytes that are free on ``device``; of the host where the device shares its memory."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """``values`` there; a CUDA device's queue is not waited for."""
    if device.type == "cuda" and not values.is_cuda:
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)
