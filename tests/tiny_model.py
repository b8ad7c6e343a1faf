"""A model that draws in moments."""

from __future__ import annotations

from pathlib import Path

import torch

from pipeline.model import Architecture, initialise, save_model
from pipeline.params import NetParams

BREEDS = ["beagle", "boxer", "poodle"]


def architecture(breeds: list[str] = BREEDS) -> Architecture:
    net = NetParams(width=16, patch=4, multipliers=[1], blocks=1, attention=[])
    return Architecture(net, 16, breeds, "cosine", 1000, "x0")


def make_model(folder: Path, seed: int = 1, breeds: list[str] = BREEDS) -> None:
    """A saved model of 16x16 pictures whose weights are a function of ``seed``."""
    shape = architecture(breeds)
    net = initialise(shape, seed).net
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():  # a fresh net answers 0 to everything: its last layer starts at zero
        for weight in net.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator)
    about = {"images": 64 * seed, "seed": seed, "data_digest": "d" * 64, "fingerprint": "f" * 64}
    save_model(folder, shape, net, about)
