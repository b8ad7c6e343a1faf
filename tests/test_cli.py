"""The command line: what reaches the stages, what a person reads, what mistakes cost."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from command_line import Pipeline
from local_store import start_run
from PIL import Image

from pipeline import cli
from pipeline.errors import Interrupted, PipelineError
from pipeline.params import Params, load
from pipeline.workspace import Workspace

REPOSITORY = Path(__file__).parents[1]
STAGES = ("scrape", "dedupe", "resize", "train", "evaluate")


@pytest.fixture(autouse=True)
def same_signal_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@dataclass
class Calls:
    """What a stage was called with, and what it does then."""

    params: list[Params] = field(default_factory=list)
    arguments: list[dict[str, Any]] = field(default_factory=list)
    error: BaseException | None = None


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """All five stages stand in; the real ones are tested with their rooms and end to end."""
    calls = Calls()

    def run(params: Params, workspace: Workspace, **arguments: Any) -> dict[str, Any]:
        calls.params.append(params)
        calls.arguments.append(arguments)
        if calls.error:
            raise calls.error
        return {"found": 12, "rate": {"kept": 0.5}}

    import stages

    for name in STAGES:
        module = types.ModuleType(f"stages.{name}")
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"stages.{name}", module)
        monkeypatch.setattr(stages, name, module, raising=False)
    return calls


@pytest.mark.parametrize("said", ["one: 1\ntwo: 2", ["one: 1", "two: 2"]], ids=["text", "lines"])
def test_a_stages_own_summary_is_printed_as_lines(
    pipeline: Pipeline, stage: Calls, said: str | list[str]
) -> None:
    sys.modules["stages.dedupe"].summary = lambda metrics: said  # type: ignore[attr-defined]
    assert pipeline("dedupe").out == "one: 1\ntwo: 2\n"


# ------------------------------------------------------------------ help


def every_command() -> list[tuple[str, ...]]:
    paths: list[tuple[str, ...]] = [()]
    for name, command in cli.cli.commands.items():
        paths.append((name,))
        if isinstance(command, click.Group):
            paths += [(name, inner) for inner in command.commands]
    return paths


@pytest.mark.parametrize("path", every_command(), ids=lambda path: " ".join(path) or "pipeline")
def test_every_command_explains_itself_with_an_example(
    pipeline: Pipeline, path: tuple[str, ...]
) -> None:
    short, long = pipeline(*path, "-h"), pipeline(*path, "--help")
    assert short.code == 0 and short == long
    assert "Example:\n" in short.out and short.err == ""


def test_help_answers_at_once() -> None:
    """Nothing heavy is imported for it."""
    command = [sys.executable, "-X", "importtime", "-m", "pipeline.cli", "-h"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {"torch", "mlflow", "pandas", "numpy", "selenium", "PIL", "ruamel.yaml"}


def test_help_shows_defaults(pipeline: Pipeline) -> None:
    assert "[default: 3;" in pipeline("generate", "-h").out
    assert "[default: 5000;" in pipeline("ui", "-h").out


# ------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trian"], "no command 'trian'; did you mean train?"),
        (["xyz"], "there are scrape, dedupe"),
        (["train", "--frsh"], "--fresh"),
        (["generate", "-n", "0"], "0 is not in the range"),
        (["generate", "-n", "many"], "'many' is not a valid integer"),
        (["generate", "--sampler", "euler"], "'euler' is not one of"),
        (["train", "-S", "scheduler=banana"], "scheduler: got 'banana', expected one of linear"),
        (["train", "-S", "nosuch=1"], "nosuch: unknown parameter"),
        (["train", "-S", "train.lr"], "expected key=value"),
        (["scrape", "--breeds", "0"], "scrape.breeds: got 0"),
        (["scrape", "--breeds", "2", "--breed", "beagle"], "give one of the two"),
        (["scrape", "--images", "0"], "scrape.sources: got {'gallery': 0}"),
        (["dedupe", "--input", "."], "--input and --output belong together"),
        (["dedupe", "--output", "x.csv"], "--input and --output belong together"),
        (["dedupe", "--input", "nowhere", "--output", "x.csv"], "'nowhere' does not exist"),
        (["import"], "Missing argument 'PATH...'"),
        (["import", "nowhere.tar"], "nowhere.tar: is not there"),
        (["preset", "apply", "demmo"], "did you mean demo?"),
        (["preset", "shwo"], "did you mean show?"),
        (["params", "trian"], "no knob starts with 'trian'"),
        (["ui", "--port", "70000"], "70000 is not in the range"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2_and_touches_nothing(
    pipeline: Pipeline, stage: Calls, workspace: Workspace, arguments: list[str], says: str
) -> None:
    before = sorted(workspace.here.rglob("*")), workspace.params.read_bytes()
    result = pipeline(*arguments)
    assert result.code == 2, result
    assert says in result.err and result.err.startswith("error: ") and result.err.count("\n") == 1
    assert result.out == "" and stage.params == []
    assert (sorted(workspace.here.rglob("*")), workspace.params.read_bytes()) == before


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (PipelineError("data/raw: is empty"), 1, "data/raw: is empty"),
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C"),
        (Interrupted(signal.SIGTERM, "saved, and stopped"), 143, "saved, and stopped"),
        (Interrupted(signal.SIGINT, "saved, and stopped"), 130, "saved, and stopped"),
    ],
)
def test_a_stage_that_fails_is_one_line_and_its_exit_code(
    pipeline: Pipeline, stage: Calls, error: BaseException, code: int, says: str
) -> None:
    stage.error = error
    result = pipeline("train")
    assert (result.code, result.err.strip()) == (code, f"error: {says}")


def test_outside_a_clone_it_says_so(
    pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    result = pipeline("train")
    assert result.code == 1 and "inside a clone of the project" in result.err


# ------------------------------------------------------------------ stages


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_runs_with_params_yaml_and_overrides(
    pipeline: Pipeline, stage: Calls, workspace: Workspace, name: str
) -> None:
    result = pipeline(name, "-S", "train.lr=1e-5", "--set", "seed=4")
    assert result.code == 0
    [params] = stage.params
    assert params == load(workspace.params, ["train.lr=1e-5", "seed=4"])
    assert (params.train.lr, params.seed) == (1e-5, 4)
    assert "found      12" in result.out and "rate.kept  0.5" in result.out


@pytest.mark.parametrize("name", STAGES)
def test_without_overrides_dvc_commit_records_the_result(
    pipeline: Pipeline, stage: Calls, name: str
) -> None:
    assert f"`dvc commit -f {name}`" in pipeline(name).err


def test_with_overrides_the_advice_names_what_params_yaml_says(
    pipeline: Pipeline, stage: Calls
) -> None:
    said = pipeline("train", "-S", "scheduler=cosine", "-S", "seed=0").err
    assert "scheduler: linear there, cosine here" in said
    assert "seed:" not in said  # the same value as in the file is no difference
    assert "dvc exp run -S scheduler=cosine" in said


def test_scrape_options_are_params(pipeline: Pipeline, stage: Calls, workspace: Workspace) -> None:
    (workspace.here / "my pictures").mkdir()
    assert pipeline("scrape", "--breeds", "26", "--images", "7").code == 0
    arguments = ["--breed", "beagle", "--breed", "boxer", "--gallery-url", "http://h:1/"]
    assert pipeline("scrape", *arguments, "--gallery-images", "my pictures").code == 0
    first, second = (params.scrape for params in stage.params)
    assert (first.breeds, first.sources) == (26, {"gallery": 7})
    assert second.breeds == ["beagle", "boxer"] and second.gallery.url == "http://h:1/"
    assert second.gallery.images == str(workspace.here / "my pictures")


def test_train_fresh_reaches_the_stage(pipeline: Pipeline, stage: Calls) -> None:
    pipeline("train")
    pipeline("train", "--fresh")
    assert stage.arguments == [{"fresh": False}, {"fresh": True}]


def test_dedupe_judges_any_folder_and_touches_nothing_else(
    pipeline: Pipeline, workspace: Workspace
) -> None:
    folder = workspace.here / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), np.uint8)
    Image.fromarray(noise[0]).save(folder / "a.png")
    shutil.copy(folder / "a.png", folder / "b.png")
    Image.fromarray(noise[1]).save(folder / "c.png")
    (folder / "d.jpg").write_bytes(b"<html>")
    table = folder / "decisions.csv"
    for _ in range(2):  # the second time its own table lies in the folder
        arguments = ["--input", str(folder), "--output", str(table), "-S", "dedupe.workers=1"]
        ran = pipeline("dedupe", *arguments)
        assert ran.code == 0 and ran.out.startswith("2 of 4 files kept\nreasons: corrupt 1")
        header, *rows = table.read_text().splitlines()
        assert header == "path,keep,reason,cluster,nearest,distance"
        reasons = {row.split(",")[0]: row.split(",")[2] for row in rows}
        assert reasons["c.png"] == "kept" and reasons["d.jpg"] == "corrupt" and len(reasons) == 4
        assert sorted([reasons["a.png"], reasons["b.png"]]) == ["exact_duplicate", "kept"]
    split = pipeline("dedupe", *arguments, "-S", "dedupe.collage=split")
    assert "collages are dropped, not split" in split.err
    assert not (workspace.here / "data").exists() and len(list(folder.iterdir())) == 5


# ------------------------------------------------------------------ params.yaml


def test_import_remembers_the_data_set_and_shows_it(
    pipeline: Pipeline, stage: Calls, workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    inside = workspace.here / "dogs.tar"
    outside = tmp_path_factory.mktemp("data") / "dogs.zip"
    for path in (inside, outside):
        path.touch()
    result = pipeline("import", "dogs.tar")
    assert stage.params[0].scrape.import_path == "dogs.tar"
    assert load(workspace.params).scrape.import_path == "dogs.tar"  # holds on another machine
    assert "+  import_path: dogs.tar" in result.out.splitlines() and "dvc repro" in result.err
    pipeline("import", str(outside))
    assert load(workspace.params).scrape.import_path == str(outside)


def test_import_remembers_several_sets_and_what_belongs_to_them(
    pipeline: Pipeline, stage: Calls, workspace: Workspace
) -> None:
    for name in ("a.npy", "b.npy", "c.tar"):
        (workspace.here / name).touch()
    pipeline("import", "a.npy", "c.tar", "--labels", "b.npy", "--classes", "hero, food")
    remembered = load(workspace.params).scrape
    assert remembered == stage.params[0].scrape
    assert remembered.import_path == ["a.npy", "c.tar"] and remembered.import_labels == "b.npy"
    assert remembered.import_classes == ["hero", "food"]
    pipeline("import", "torchvision:CIFAR10", "--root", "sets")
    remembered = load(workspace.params).scrape
    assert (remembered.import_path, remembered.import_root) == ("torchvision:CIFAR10", "sets")
    assert remembered.import_labels is None and remembered.import_classes == []


def test_an_import_that_fails_leaves_params_yaml(
    pipeline: Pipeline, stage: Calls, workspace: Workspace
) -> None:
    (workspace.here / "dogs.tar").touch()
    before = workspace.params.read_bytes()
    stage.error = PipelineError("dogs.tar: is not a tar")
    assert pipeline("import", "dogs.tar").code == 1
    assert workspace.params.read_bytes() == before


def test_presets_are_listed_shown_and_applied(pipeline: Pipeline, workspace: Workspace) -> None:
    listed = pipeline("preset").out.splitlines()
    assert any(line.startswith("* demo") for line in listed)
    assert any(line.startswith("  tiny") for line in listed)
    tiny = (workspace.here / "presets" / "tiny.yaml").read_text()
    assert pipeline("preset", "show", "tiny").out == tiny
    result = pipeline("preset", "apply", "tiny")
    assert "-  breeds: 6" in result.out and workspace.params.read_text() == tiny
    assert any(line.startswith("* tiny") for line in pipeline("preset", "list").out.splitlines())
    assert "already" in pipeline("preset", "apply", "tiny").err


def test_params_lists_value_range_and_meaning(pipeline: Pipeline) -> None:
    every = pipeline("params").out
    assert "noise schedule (one of linear, cosine, sigmoid, karras)" in every
    some = pipeline("params", "train.net", "-S", "train.net.width=48").out.splitlines()
    width = next(k for k, line in enumerate(some) if line.startswith("* "))
    assert some[width].startswith("* train.net.width") and some[width].endswith("48")
    assert "default 32" in some[width + 1]
    assert not any("train.lr" in line for line in some)


# ------------------------------------------------------------------ runs


def test_compare_shows_what_differs_and_the_link(pipeline: Pipeline, workspace: Workspace) -> None:
    assert "dvc repro" in pipeline("compare").err
    ids = []
    for scheduler in ("linear", "cosine"):
        params = load(workspace.params, [f"scheduler={scheduler}"])
        with start_run(workspace, params, name=f"{scheduler}-run") as run:
            run.log_metrics({"eval/distance": 2.0})
        ids.append(run.run_id)
    result = pipeline("compare")
    assert result.code == 0
    lines = [line.split() for line in result.out.splitlines()]
    assert ["scheduler", "cosine", "linear"] in lines  # newest first
    assert ["eval/distance", "2", "2"] in lines
    assert not any(line[:1] == ["train.lr"] for line in lines)  # equal in both
    assert "/#/compare-runs?runs=" in result.out and all(name in result.out for name in ids)
    one = pipeline("compare", "linear-run").out
    assert f"/runs/{ids[0]}" in one
    both = pipeline("compare", ids[0][:8], "cosine-run").out
    assert both.index(ids[0][:8]) < both.index(ids[1][:8])
    wrong = pipeline("compare", "nosuch")
    assert wrong.code == 2 and "the last ones are cosine-run, linear-run" in wrong.err
