"""A small labelled set whose truth is known: drawn animals on smooth grounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

SIDE = 64
COATS = np.array([[225, 200, 150], [60, 50, 45], [190, 110, 50], [130, 130, 140]], float)


@dataclass(frozen=True)
class Drawn:
    images: np.ndarray
    labels: np.ndarray

    def only(self, chosen: np.ndarray) -> Drawn:
        return Drawn(self.images[chosen], self.labels[chosen])


def draw(count: int, seed: int) -> Drawn:
    """``count`` pictures, the four kinds in turn: each has its coat, length and stripes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(COATS)
    return Drawn(np.stack([_animal(int(label), rng) for label in labels]), labels)


def _animal(kind: int, rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    ground = gaussian_filter(rng.standard_normal((SIDE, SIDE, 3)), (6, 6, 0))
    picture = 140 + 35 * ground / ground.std() + rng.normal(0, 12, 3)
    cx, cy = rng.uniform(24, 40, 2)
    length, height = (14 + 4 * kind) * rng.uniform(0.9, 1.1), 14 * rng.uniform(0.9, 1.1)
    body = ((x - cx) / length) ** 2 + ((y - cy) / height) ** 2 < 1
    head = (x - cx - length) ** 2 + (y - cy + height * 0.7) ** 2 < 49
    stripes = 1 + 0.25 * np.sin((x + y) * (0.4 + 0.35 * kind))
    coat = COATS[kind] * rng.uniform(0.85, 1.15) * stripes[..., None]
    picture = np.where((body | head)[..., None], coat, picture)
    picture += rng.normal(0, 4, picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def train() -> Drawn:
    return draw(240, seed=1)


@pytest.fixture(scope="session")
def fresh() -> Drawn:
    """More pictures from the same source, none of them in ``train``."""
    return draw(120, seed=2)


def noisy(images: np.ndarray, sigma: float) -> np.ndarray:
    extra = np.random.default_rng(7).normal(0, sigma, images.shape)
    return np.clip(np.rint(images + extra), 0, 255).astype(np.uint8)


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    return np.rint(gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0))).astype(
        np.uint8
    )


def collapsed(images: np.ndarray, modes: int) -> np.ndarray:
    """As many pictures, but only ``modes`` different ones."""
    return images[np.arange(len(images)) % modes]


@pytest.fixture(scope="session")
def damage() -> dict[str, object]:
    """Ways to spoil pictures, by a strength."""
    return {"noise": noisy, "blur": blurred, "collapse": collapsed}
