"""The grids drawn during training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pipeline.model import Architecture, initialise
from pipeline.params import from_document
from pipeline.report import preview
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.data import Resident
from pipeline.training.loop import Trainer


def test_the_grids_of_training_are_drawn_with_the_averaged_weights(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 004 drew both of its sheets with the raw weights, and so found averaging useless."""
    net = {"width": 16, "patch": 4, "multipliers": [1], "blocks": 1, "attention": []}
    train = {"net": net, "images": 64, "batch_size": 8, "grid": 3, "ema": 0.9, "device": "cpu"}
    params = from_document({"resize": {"size": 16}, "train": train})
    architecture = Architecture.of(params, 16, ["beagle", "poodle"])
    images = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    data = Resident(images, torch.zeros(8, dtype=torch.int64))
    trainer = Trainer(initialise(architecture, 0), data, params.train, 0, Checkpoints(tmp_path))
    trainer.step()
    drawn: list[Any] = []

    class Model:
        def __init__(self, denoiser: Any, *_: Any) -> None:
            drawn.append(denoiser.net.state_dict())

        def sample(self, labels: torch.Tensor, *_: Any, **__: Any) -> np.ndarray:
            drawn.append(labels.tolist())
            return np.zeros((len(labels), 16, 16, 3), np.uint8)

    monkeypatch.setattr(preview, "Model", Model)
    reference = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
    draw = preview.preview_of(trainer, architecture, reference)
    averaged = {name: value.clone() for name, value in trainer.ema.net.state_dict().items()}
    trainer.step()  # goes on meanwhile
    drawing = draw()
    assert drawing.sheet.ndim == 3
    assert set(drawing.figures) == {"quick/swd", "quick/spectrum", "quick/colour"}
    weights, labels = drawn
    assert labels == [0, 0, 0, 1, 1, 1]
    assert all(torch.equal(weights[name], averaged[name]) for name in averaged)
    raw = trainer.denoiser.net.state_dict()
    assert any(not torch.equal(weights[name], raw[name]) for name in raw)
