"""Metrics on Inception's features, with random weights in the form of the real ones."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from pipeline.errors import ParamsError
from pipeline.evaluation.catalogue import DINOV2
from pipeline.evaluation.feature_distances import frechet, kid, neighbourhoods
from pipeline.evaluation.inception import load_inception, small_sample_note
from pipeline.evaluation.metrics import METRICS, Pictures, evaluate

CPU = torch.device("cpu")
needs_fidelity = pytest.mark.skipif(
    not __import__("importlib.util").util.find_spec("torch_fidelity"),
    reason="the extra `eval` (torch-fidelity) is not installed",
)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of torch-fidelity's form, its net as initialised."""
    from torch_fidelity import FeatureExtractorInceptionV3

    folder = tmp_path_factory.mktemp("inception")
    torch.save({}, folder / "nothing.pth")

    class Bare(FeatureExtractorInceptionV3):
        def load_state_dict(self, *_: object, **__: object) -> None:  # type: ignore[override]
            pass

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Bare("bare", ["2048"], str(folder / "nothing.pth"))
    torch.save(net.state_dict(), folder / "inception.pth")
    safetensors.torch.save_file(net.state_dict(), folder / "inception.safetensors")
    return folder / "inception.pth"


@needs_fidelity
def test_features_are_those_of_torch_fidelity_from_either_file(weights: Path, train) -> None:
    from torch_fidelity import FeatureExtractorInceptionV3

    images = train.images[:3]
    batch = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    (wanted,) = FeatureExtractorInceptionV3("x", ["2048"], str(weights))(batch)
    for path in (weights, weights.with_suffix(".safetensors")):
        found = load_inception(str(path), digest(path), CPU)(images)
        assert found.shape == (3, 2048) and np.allclose(found, wanted.numpy(), atol=1e-6)


@needs_fidelity
def test_every_metric_comes_with_its_floor(weights: Path, train, fresh) -> None:
    extract = load_inception(str(weights), digest(weights), CPU)
    samples, known, held_out = (
        Pictures(part.images[:8], part.labels[:8])
        for part in (fresh, train, fresh.only(np.arange(8, 16)))
    )
    figures = evaluate(samples, known, held_out, list("abcd"), others={"": extract}).figures
    for metric in METRICS:
        if metric.name.endswith(DINOV2):
            continue
        assert metric.name in figures and metric.name + "_held_out" in figures
    assert figures["fid"] > 0


@needs_fidelity
def test_distances_agree_with_torch_fidelitys() -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    rng = np.random.default_rng(0)
    fake, real = (rng.standard_normal((60, 12)).astype(np.float32) + k for k in (0.3, 0))
    pair = torch.from_numpy(fake), torch.from_numpy(real)
    stats = [fid_features_to_statistics(side) for side in pair]
    wanted = fid_statistics_to_metric(*stats, False)["frechet_inception_distance"]
    assert frechet(fake, real) == pytest.approx(wanted, rel=1e-5)
    one = {"kid_subsets": 1, "kid_subset_size": 60, "verbose": False}
    wanted = kid_features_to_metric(*pair, **one)["kernel_inception_distance_mean"]
    assert kid(fake, real) == pytest.approx(wanted, rel=1e-4)
    theirs = prc_features_to_metric(*pair, prc_neighborhood=3, verbose=False)
    ours = neighbourhoods(fake, real)
    assert (ours["precision"], ours["recall"]) == pytest.approx(
        (theirs["precision"], theirs["recall"])
    )


def refused(path: Path, sha256: str | None, pattern: str) -> None:
    with pytest.raises(ParamsError, match=pattern) as caught:
        load_inception(str(path), sha256, CPU)
    assert "\n" not in str(caught.value)


def test_a_missing_or_wrong_file_is_one_clear_line(tmp_path: Path) -> None:
    refused(tmp_path / "no.pth", "a", r"evaluate\.inception: .*no\.pth: No such file")
    path = tmp_path / "some.pth"
    path.write_bytes(b"some bytes")
    refused(path, "0" * 64, r"has sha256 .*evaluate\.inception_sha256 says 000")
    refused(path, None, r"evaluate\.inception_sha256: is empty; .* has " + digest(path))


def test_a_missing_package_is_one_clear_line(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    path = tmp_path / "some.pth"
    path.write_bytes(b"some bytes")
    refused(path, digest(path), r"needs torch-fidelity: pip install '\.\[eval\]'")


class Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("the file was unpickled",))


@needs_fidelity
def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "trap.pth"
    torch.save({"x": Trap()}, path)
    refused(path, digest(path), "holds no weights")
    torch.save({"x": torch.zeros(2)}, path)
    refused(path, digest(path), "holds no weights")


def test_few_pictures_are_said_loudly() -> None:
    assert "192 and 15,000" in str(small_sample_note(192, 15_000))
    assert small_sample_note(2_048, 15_000) is None
