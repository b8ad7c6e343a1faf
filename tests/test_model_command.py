"""``pipeline model``: which net a name means, and what is printed of it."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.model import Architecture, initialise, save_model
from pipeline.params import from_document

REPOSITORY = Path(__file__).parents[1]
Model = Callable[..., tuple[int, str, str]]


@pytest.fixture
def model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Model]:
    """Run ``pipeline model`` in a project folder: (exit code, standard output, error output)."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    shutil.copytree(REPOSITORY / "presets", tmp_path / "presets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pipeline", "model", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    yield run
    signal.signal(signal.SIGTERM, before)


def rows(out: str) -> dict[str, list[str]]:
    """The table by its first column."""
    return {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}


def test_without_a_name_it_is_params_yaml(model: Model) -> None:
    code, out, err = model()
    assert (code, err) == (0, "")
    assert rows(out)["total"] == ["1,108,176", "201.8"]
    assert rows(out)["stem"] == ["Conv2d", "32", "x", "16", "x", "16", "13,856", "7.1"]
    assert "params.yaml: unet, 64x64 pictures, told 6 labels\n" in out
    assert "1,108,176 parameters; 4.4 MB in float32\n" in out
    assert "0.20 GFLOP forward for one picture (2 a multiply-add;" in out


def test_a_seeds_net_by_options_and_its_layer_that_is_never_called(model: Model) -> None:
    code, out, _ = model("-S", "train.net.kind=dogs", "-S", "train.net.width=64")
    assert code == 0
    assert rows(out)["total"][0] == "93,417,859"
    assert rows(out)["unused"] == ["Attention", "never", "called", "25,216", "0.0"]
    assert "params.yaml: dogs, 64x64 pictures, unconditional\n" in out
    assert "93,417,859 parameters, 25,216 of them never called; 373.7 MB" in out
    assert max(map(len, out.splitlines())) <= 100


def test_labels_are_the_breeds_or_as_many_as_said(model: Model) -> None:
    context = [f"-Strain.net.{pair}" for pair in ("kind=context", "width=64")] + [
        "-Sresize.size=16"
    ]
    assert "1,480,963 parameters" in model(*context, "--classes", "5")[1]
    assert "1,480,963 parameters" in model(*context, "-Sscrape.breeds=[a, b, c, d, e]")[1]
    assert "told 6 labels" in model(*context)[1]


def test_a_name_is_a_preset_a_file_or_a_folder(model: Model, tmp_path: Path) -> None:
    assert model("demo")[1].splitlines()[:-3] == model()[1].splitlines()[:-3]
    assert "demo: unet" in model("demo")[1]
    (tmp_path / "own.yaml").write_text("train: {net: {kind: smol, width: 64}}\n")
    assert "own.yaml: smol" in model("own.yaml")[1] and "22,790,115" in model("own.yaml")[1]

    document = {"resize": {"size": 16}, "train": {"net": {"kind": "context", "width": 8}}}
    architecture = Architecture.of(from_document(document), 16, ["a", "b"])
    net = initialise(architecture, 0).net
    save_model(tmp_path / "models", architecture, net, {})
    code, out, _ = model("models")
    assert code == 0 and "models: context, 16x16 pictures, told 2 labels" in out
    assert f"{sum(p.numel() for p in net.parameters()):,} parameters;" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["demmo"],
            "demmo: no preset, params file or folder with a saved model; did you mean demo",
        ),
        (["zzz"], "zzz: no preset, params file or folder with a saved model; presets are demo, "),
        (["presets"], "presets: no saved model in this folder (model.json is missing)"),
        (["-Strain.net.kind=vit"], "train.net.kind: got 'vit', expected one of unet, simple"),
        (["-Strain.net.kind=simple", "-Sresize.size=24"], "expected a multiple of 16"),
        (["--classes", "0"], "0 is not in the range"),
        (["demo", "-S", "nosuch=1"], "nosuch: unknown parameter"),
    ],
)
def test_a_mistake_is_one_line(model: Model, arguments: list[str], says: str) -> None:
    code, out, err = model(*arguments)
    assert (code, out) == (2, "")
    assert says in err and err.startswith("error: ") and err.count("\n") == 1


def test_a_saved_model_takes_no_options(model: Model, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model.json").write_text("{}")
    code, _, err = model("models", "-S", "train.net.width=16")
    assert code == 2 and "a saved model is as it is" in err
    code, _, err = model("models")
    assert code == 1 and err.count("\n") == 1
