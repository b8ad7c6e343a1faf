"""Seed 004's net in the style of its own loop: from files, in fp32, waiting at every step."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.nets.dogs import DogsUNet
from training_parts.ours import Trained, facts
from training_parts.race import TORCH
from training_parts.sizes import cost

T = 1000


def picture_loader(folder: Path, size: int, batch: int, **how: Any) -> Any:
    """Class folders, squashed to squares, mirrored by chance, in -1..1, as a DataLoader."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import Compose, Lambda, RandomHorizontalFlip, Resize, ToTensor

    change = [Resize((size, size)), ToTensor(), RandomHorizontalFlip(0.5)]
    pictures = ImageFolder(str(folder), Compose([*change, Lambda(centred)]))
    return DataLoader(pictures, batch_size=batch, shuffle=True, drop_last=True, **how)


def centred(x: Tensor) -> Tensor:
    return x * 2 - 1


def endlessly(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


class FromFiles:
    """A loop that takes its pictures from files and waits for the device at every step."""

    tf32 = TORCH
    device: torch.device
    steps: int
    batch: int
    batches: Iterator[Any]

    def advance(self) -> int:
        for _ in range(self.steps):
            self._step()
        return self.steps * self.batch

    def _step(self) -> float:
        raise NotImplementedError

    def _drawn(self) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures, noise and timesteps of a step."""
        images, _labels = next(self.batches)
        x0 = images.to(self.device)
        return x0, torch.randn_like(x0), torch.randint(0, T, (len(x0),), device=self.device)


class Seed004(FromFiles):
    """Its training: Adam at 3e-4, MSE on the noise, T = 1000 linear betas, average of 0.995 at
    every step, the noisy picture clamped, ``.item()`` a step, no workers.

    Its net here has fused attention, and its pictures are small files already: both favour it.

    Args:
        width: 64 is its own.
    """

    def __init__(self, name: str, data: Trained, batch: int, width: int, steps: int) -> None:
        self.name, self.device, self.batch, self.steps = name, data.device, batch, steps
        torch.manual_seed(0)
        self.net = DogsUNet(width).to(data.device)
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        trained = [one for one in self.net.parameters() if one.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=3e-4)
        alphas = torch.cumprod(1 - torch.linspace(1e-4, 0.02, T, device=data.device), 0)
        self.signal, self.noise = alphas.sqrt(), (1 - alphas).sqrt()
        self.batches = endlessly(picture_loader(data.folder, data.size, batch))
        counted = cost(lambda: DogsUNet(width), data.size)
        self.facts = facts(counted, batch, "fp32")

    def _step(self) -> float:
        x0, eps, t = self._drawn()
        noisy = self.signal[t][:, None, None, None] * x0 + self.noise[t][:, None, None, None] * eps
        self.optimizer.zero_grad()
        loss = F.mse_loss(self.net(noisy.clamp(-1, 1), t, t), eps)
        loss.backward()
        self.optimizer.step()
        follow(self.average, self.net)
        return loss.item()

    # ------------------------------------------------------------------ state, for the long run

    def state(self) -> dict[str, Any]:
        parts = {"net": self.net, "average": self.average, "optimizer": self.optimizer}
        return {name: part.state_dict() for name, part in parts.items()}

    def restore(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, decay: float = 0.995) -> None:
    """One parameter after the other, as seed 004 does."""
    for mine, new in zip(average.parameters(), net.parameters(), strict=True):
        mine.copy_(decay * mine + (1 - decay) * new)
