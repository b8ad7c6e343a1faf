"""`pipeline train` with the flags of seed 004: which knobs they turn, and what --examples draws."""

from __future__ import annotations

import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from small_dataset import make_dataset

from pipeline.cli import cli
from pipeline.errors import PipelineError
from pipeline.params import Params, load

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a packed set of 30 pictures, 26 of them to train on."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    make_dataset(tmp_path / "data" / "dataset", least=60)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    return tmp_path


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Params]:
    """The params that a training was started with; none is run."""
    calls: list[Params] = []

    def run(params: Params, space: Any, fresh: bool) -> dict[str, Any]:
        calls.append(params)
        return {"images": params.train.images}

    module = types.ModuleType("stages.train")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "stages.train", module)
    return calls


def train(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["train", *arguments])


@pytest.mark.parametrize("dash", ["_", "-"])
def test_the_seeds_flags_turn_knobs(place: Path, trained: list[Params], dash: str) -> None:
    spelt = [f"--batch{dash}size", "32", f"--save{dash}frequency", "5", "--T", "2000"]
    result = train(*spelt, "--lr", "3e-4", "--epochs", "500", "--samples", "10", "--device", "cpu")
    assert result.exit_code == 0, result.output
    [params] = trained
    assert params == load(
        place / "params.yaml",
        [
            "train.batch_size=32",
            "train.timesteps=2000",
            "train.lr=3e-4",
            f"train.images={500 * 26}",
            "train.grid=10",
            f"train.checkpoint_every={5 * 26}",
            f"train.sample_every={5 * 26}",
            "train.device=cpu",
        ],
    )
    assert not (place / "reports").exists()
    assert "-S train.batch_size=32" in result.output  # the advice says how to let DVC do it


def test_without_flags_params_yaml_holds_and_set_wins(place: Path, trained: list[Params]) -> None:
    train()
    train("--lr", "0.5", "-S", "train.lr=0.25")
    assert trained[0] == load(place / "params.yaml")
    assert trained[1].train.lr == 0.25


@pytest.mark.parametrize("damage", ["missing", "no JSON", "no count"])
@pytest.mark.parametrize("flag", ["--epochs", "--save_frequency"])
def test_epochs_of_an_unknown_set_are_one_line(
    place: Path, trained: list[Params], flag: str, damage: str
) -> None:
    summary = place / "data" / "dataset" / "dataset.json"
    if damage == "missing":
        summary.unlink()
    else:
        summary.write_text("{" if damage == "no JSON" else "{}")
    result = train(flag, "3")
    assert isinstance(result.exception, PipelineError) and not trained
    assert "dvc repro resize" in str(result.exception) and "\n" not in str(result.exception)
    assert train("--lr", "1e-3").exit_code == 0  # what needs no epochs needs no data set


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--epochs", "0"], "0 is not in the range"),
        (["--T", "1"], "train.timesteps: got 1"),
        (["--samples", "0"], "train.grid: got 0"),
        (["--device", "gpu"], "train.device: got 'gpu', expected one of auto, cpu"),
        (["--examples", "False"], "unexpected extra argument"),  # seed 004: False meant True
    ],
)
def test_a_flag_that_does_not_fit_is_refused(
    place: Path, trained: list[Params], arguments: list[str], says: str
) -> None:
    result = train(*arguments)
    assert result.exit_code != 0 and not trained
    assert says in result.output + str(result.exception)


def test_examples_draws_the_data_and_the_forward_process_and_then_trains(
    place: Path, trained: list[Params]
) -> None:
    result = train("--examples", "--samples", "4", "--T", "50")
    assert result.exit_code == 0 and len(trained) == 1, result.output
    assert "wrote reports/examples.png" in result.output
    sizes = {}
    for name in ("examples", "forward"):
        with Image.open(place / "reports" / f"{name}.png") as image:
            sizes[name] = image.size
    assert sizes["examples"][1] == 2 * 12 + 2 * 32 + 4  # two breeds
    assert sizes["forward"][0] > 10 * 32
