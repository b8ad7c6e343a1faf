"""``pipeline export``: what is written answers as the source net does, and what does not is not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Pipeline
from tiny_model import make_model

from pipeline import export as module
from pipeline.errors import PipelineError
from pipeline.export import export, random_inputs
from pipeline.model import Architecture, Model, initialise, load_model, save_model
from pipeline.params import NetParams
from pipeline.workspace import Workspace

WITHOUT = [name for name in module.NEEDS["onnx"] if importlib.util.find_spec(name) is None]
onnx = pytest.mark.skipif(bool(WITHOUT), reason=f"not installed: {', '.join(WITHOUT)}")
KINDS = [
    NetParams(width=16, patch=2, multipliers=[1, 2], blocks=1, attention=[4]),
    NetParams(kind="context", width=16),
    NetParams(kind="simple", width=8),
]


def model_of(folder: Path, shape: NetParams) -> Model:
    """A saved model whose weights are no zeros, of 16x16 pictures (the other kinds': 64x64)."""
    size = 16 if shape.kind == "unet" else 64
    architecture = Architecture(shape, size, ["beagle", "pug"], "cosine", 1000, "x0")
    net = initialise(architecture, 0).net
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in net.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=generator)
    save_model(folder, architecture, net, {})
    return load_model(folder, "cpu")


@pytest.mark.parametrize("shape", KINDS, ids=lambda shape: shape.kind)
def test_the_torch_program_of_every_kind_of_net_answers_alike(
    tmp_path: Path, shape: NetParams
) -> None:
    model = model_of(tmp_path / "model", shape)
    [done] = export(tmp_path / "model", tmp_path / "to", ["torch"])
    assert done.files == ["net.pt2"] and done.difference <= 1e-4
    net = torch.export.load(tmp_path / "to/net.pt2").module()
    inputs = random_inputs(model, 7, 99)
    assert torch.allclose(net(*inputs), model.denoiser.net(*inputs), atol=1e-4)


@onnx
@pytest.mark.parametrize("shape", KINDS, ids=lambda shape: shape.kind)
def test_the_onnx_file_answers_alike_in_a_runtime_without_torch(
    tmp_path: Path, shape: NetParams
) -> None:
    import onnxruntime

    model = model_of(tmp_path / "model", shape)
    [done] = export(tmp_path / "model", tmp_path / "to", ["onnx"])
    assert done.files == ["net.onnx"] and done.inputs == 8
    session = onnxruntime.InferenceSession(str(tmp_path / "to/net.onnx"))
    inputs = random_inputs(model, 7, 99)
    named = dict(zip(module.INPUTS, (value.numpy() for value in inputs), strict=True))
    [found] = session.run(None, {item.name: named[item.name] for item in session.get_inputs()})
    expected = model.denoiser.net(*inputs).numpy()
    assert np.abs(found - expected).max() <= 1e-4 * max(1, np.abs(expected).max())


def test_safetensors_and_config_are_a_model_again(pipeline: Pipeline, workspace: Workspace) -> None:
    make_model(workspace.models)
    result = pipeline("export", "--to", "out", "--format", "safetensors,torch")
    assert result.code == 0, result.err
    assert "largest difference 0\n" in result.out and "net.pt2: equal" in result.out
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "model.json", "net.pt2", "weights.safetensors",
    ]  # fmt: skip
    one, two = (load_model(folder, "cpu") for folder in (workspace.models, Path("out")))
    labels = torch.tensor([0, 2])
    assert (one.sample(labels, [1, 2]) == two.sample(labels, [1, 2])).all()


def test_what_answers_otherwise_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_model(tmp_path / "model")
    real = module.program_of

    def spoilt(model: Model) -> torch.export.ExportedProgram:
        other = load_model(tmp_path / "model", "cpu")
        with torch.no_grad():
            next(other.denoiser.net.parameters()).add_(0.01)
        return real(other)

    monkeypatch.setattr(module, "program_of", spoilt)
    with pytest.raises(PipelineError, match=r"torch: differs from the source net by .*not written"):
        list(export(tmp_path / "model", tmp_path / "to", ["torch"]))
    assert list((tmp_path / "to").iterdir()) == []


def test_mistakes_are_one_line_and_write_nothing(
    pipeline: Pipeline, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no trained model here" in pipeline("export", "--to", "out", "--format", "torch").err
    make_model(workspace.models)
    Path("file").write_text("")
    monkeypatch.setitem(module.NEEDS, "onnx", ("onnx_of_nobody",))
    for arguments, said in (
        (["--to", "out", "--format", "safetensors,onnx"], "needs onnx_of_nobody: pip install"),
        (["--to", "out", "--format", "pickle"], "expected some of safetensors, onnx, torch"),
        (["--to", "models", "--format", "torch"], "the model itself is there"),
        (["--to", "file/x", "--format", "torch"], "cannot be written"),
    ):
        result = pipeline("export", *arguments)
        assert result.code and said in result.err and result.err.count("\n") == 1
        assert not Path("out").exists()
    result = pipeline("export", "--to", "out")  # what can be
    assert result.code == 0 and "no onnx, which needs onnx_of_nobody: pip install" in result.err
    assert result.out.count("equal to the source net") == 2
