"""Metrics on DINOv2's features, with random weights in the form of the real ones."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from pipeline.errors import ParamsError
from pipeline.evaluation.catalogue import DINOV2, METRICS
from pipeline.evaluation.dinov2 import load_dinov2
from pipeline.evaluation.metrics import Pictures, evaluate

timm = pytest.importorskip("timm", reason="the extra `eval` (timm) is not installed")
CPU = torch.device("cpu")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    """The smallest of the four, as initialised, at the side it is published for."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = timm.create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0)
        for weight in made.parameters():  # nothing at its neutral start
            torch.nn.init.normal_(weight, std=0.05)
    return made.eval()


@pytest.fixture(scope="module")
def weights(net: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dinov2") / "small.safetensors"
    safetensors.torch.save_file(net.state_dict(), path)
    # DINOv2's own files have a token for masked patches besides.
    released = net.state_dict() | {"mask_token": torch.zeros(1, 384)}
    torch.save(released, path.with_suffix(".pth"))
    return path


def test_features_are_the_class_token_at_224(net: torch.nn.Module, weights: Path, train) -> None:
    images = train.images[:3]
    for path in (weights, weights.with_suffix(".pth")):
        found = load_dinov2(str(path), digest(path), CPU)(images)
        assert found.shape == (3, 384) and found.dtype == np.float32

    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 255
    large = F.interpolate(pixels, (224, 224), mode="bicubic", antialias=True).clamp(0, 1)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    small = timm.create_model(
        "vit_small_patch14_dinov2", pretrained=False, num_classes=0, img_size=224
    )
    small.load_state_dict(
        timm.models.vision_transformer.checkpoint_filter_fn(net.state_dict(), small)
    )
    with torch.inference_mode():
        normal = (large - mean.view(3, 1, 1)) / std.view(3, 1, 1)
        wanted = small.eval().forward_features(normal)[:, 0]
    assert np.allclose(found, wanted.numpy(), atol=2e-2 * float(wanted.abs().max()))


def test_every_metric_comes_with_its_floor(weights: Path, train, fresh) -> None:
    extract = load_dinov2(str(weights), digest(weights), CPU)
    samples, known, held_out = (
        Pictures(part.images[:8], part.labels[:8])
        for part in (fresh, train, fresh.only(np.arange(8, 16)))
    )
    figures = evaluate(samples, known, held_out, list("abcd"), others={DINOV2: extract}).figures
    named = [metric.name for metric in METRICS if metric.name.endswith(DINOV2)]
    assert "fd_dinov2" in named and "kid_dinov2" in named and "fid" not in figures
    for name in named:
        assert name in figures and f"{name}_held_out" in figures


def test_another_file_is_one_clear_line(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "other.safetensors"
    for content in ({"x": torch.zeros(2)}, {"cls_token": torch.zeros(1, 1, 385)}):
        safetensors.torch.save_file(content, path)
        with pytest.raises(ParamsError, match="holds no weights of a DINOv2") as caught:
            load_dinov2(str(path), digest(path), CPU)
        assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ParamsError, match=r"evaluate\.dinov2: needs timm: pip install"):
        load_dinov2(str(path), digest(path), CPU)
