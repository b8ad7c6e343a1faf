"""The pipeline's own feature net: small, trained on the training pictures, then frozen.

Distances on its features need no downloaded weights. They compare runs on the same data with each
other; they are not FID and compare with nothing published. Two tasks train it together: which
breed (where there are two or more), and by how many quarter turns a picture was rotated (Gidaris et
al., "Unsupervised Representation Learning by Predicting Image Rotations", ICLR 2018), which alone
serves a set of one class. Both heads are dropped; naming breeds is ``recognition``'s work.

All of it runs on the CPU in one thread, so that equal pictures give equal weights whatever the
number of cores.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn

from pipeline import workspace
from pipeline.evaluation.distances import shrink

SIDE = 64
WIDTHS = (32, 64, 128)
DIMENSIONS = sum(WIDTHS)
BATCH = 64
STEPS = (300, 1200)  # at least and at most: from about 7 to 28 seconds of one core
PASSES = 4  # over the training pictures, between those bounds
RATE = 3e-3


class FeatureNet(nn.Module):
    """Three convolutions; the means of all three layers are the features.

    The first layers see grain and edges, the last sees shapes, so that a distance on all of them
    notices both. Input B×3×S×S in [-1, 1], output B×224.
    """

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.layers = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(3, first, 4, 4), nn.GroupNorm(8, first), nn.ReLU()),
                nn.Sequential(
                    nn.Conv2d(first, second, 3, 2, 1), nn.GroupNorm(8, second), nn.ReLU()
                ),
                nn.Sequential(nn.Conv2d(second, third, 3, 2, 1), nn.GroupNorm(8, third), nn.ReLU()),
            ]
        )

    def forward(self, images: Tensor) -> Tensor:
        means = []
        for layer in self.layers:
            images = layer(images)
            means.append(images.mean(dim=(2, 3)))
        return torch.cat(means, dim=1)


@dataclass(frozen=True)
class LocalFeatures:
    """The frozen net, with mean and spread (224 each) of the training pictures' features."""

    net: FeatureNet
    mean: Tensor
    std: Tensor

    @classmethod
    def fit(
        cls, images: np.ndarray, labels: np.ndarray, classes: int, seed: int = 0
    ) -> LocalFeatures:
        """Train on uint8 ``images`` (N×S×S×3, N at least 2) with ``labels`` (below ``classes``)."""
        with _one_thread(seed):
            net = FeatureNet()
            _train(net, images, labels, classes, seed)
            net.requires_grad_(False).eval()
            features = _features(net, images)
        return cls(net, features.mean(dim=0), features.std(dim=0) + 1e-6)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features of uint8 N×S×S×3, each in units of its spread over the training pictures:
        float32 N×224."""
        with _one_thread():
            return ((_features(self.net, images) - self.mean) / self.std).numpy()

    def to_bytes(self) -> bytes:
        """As the content of a safetensors file."""
        return safetensors.torch.save(
            {**self.net.state_dict(), "feature.mean": self.mean, "feature.std": self.std}
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> LocalFeatures:
        """The reverse of ``to_bytes``.

        Raises:
            ValueError: it is not such a file.
        """
        try:
            tensors = safetensors.torch.load(content)
            mean, std = tensors.pop("feature.mean"), tensors.pop("feature.std")
            net = FeatureNet()
            net.load_state_dict(tensors)
        except (SafetensorError, KeyError, RuntimeError) as error:
            raise ValueError(f"no feature net: {error}") from None
        net.requires_grad_(False).eval()
        return cls(net, mean, std)

    @property
    def digest(self) -> str:
        """sha256 (hex) of the weights: figures compare where it is equal."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def cached_features(
    folder: Path, data_digest: str, images: np.ndarray, labels: np.ndarray, classes: int
) -> LocalFeatures:
    """The net for the data set with ``data_digest``: from ``folder``, or trained and put there.

    The file's name tells data, code and torch apart. A damaged file is made again. Other arguments
    as for ``LocalFeatures.fit``.
    """
    here = Path(__file__)
    code = workspace.digest_of_files([here, here.with_name("distances.py")])
    key = workspace.fingerprint([data_digest, code, torch.__version__])
    path = folder / f"{key[:32]}.safetensors"
    with contextlib.suppress(OSError, ValueError):
        return LocalFeatures.from_bytes(workspace.read_bounded(path, 64 << 20))
    made = LocalFeatures.fit(images, labels, classes)
    with workspace.atomic_write(path) as file:
        file.write(made.to_bytes())
    return made


def _train(
    net: FeatureNet, images: np.ndarray, labels: np.ndarray, classes: int, seed: int
) -> None:
    """Both tasks at once; every picture is also shown mirrored."""
    steps = int(np.clip(PASSES * len(images) // BATCH, *STEPS))
    breed, turn = nn.Linear(DIMENSIONS, classes), nn.Linear(DIMENSIONS, 4)
    parts = nn.ModuleList([net, breed, turn])
    optimiser = torch.optim.AdamW(parts.parameters(), RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    rng = np.random.default_rng(seed)
    turns = torch.arange(4).repeat_interleave(BATCH // 4)
    for _ in range(steps):
        rows = rng.integers(len(images), size=BATCH)
        features = net(_turned(images[rows], rng.random(BATCH) < 0.5))
        loss = F.cross_entropy(turn(features), turns)
        if classes > 1:
            loss = loss + F.cross_entropy(breed(features), torch.from_numpy(labels[rows]).long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def _turned(images: np.ndarray, mirrored: np.ndarray) -> Tensor:
    """A batch as the net sees it in training: quarter k of it is turned k times by 90 degrees."""
    images = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
    quarters = np.split(images, 4)
    turned = [np.rot90(quarter, k, axes=(1, 2)) for k, quarter in enumerate(quarters)]
    return _prepared(np.concatenate(turned))


def _features(net: FeatureNet, images: np.ndarray) -> Tensor:
    if not len(images):
        return torch.zeros(0, DIMENSIONS)
    with torch.inference_mode():
        parts = [
            net(_prepared(images[start : start + 128])) for start in range(0, len(images), 128)
        ]
    return torch.cat(parts).clone()


def _prepared(images: np.ndarray) -> Tensor:
    return torch.from_numpy(shrink(images, SIDE)).permute(0, 3, 1, 2).contiguous() / 127.5 - 1


@contextlib.contextmanager
def _one_thread(seed: int | None = None) -> Iterator[None]:
    """One thread for the block; with ``seed`` also a random state of its own."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
