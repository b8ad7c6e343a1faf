"""The evaluate stage on a tiny real model: what it writes, what it refuses, where it records."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from local_store import start_run
from PIL import Image

from pipeline import knobs
from pipeline import params as schema
from pipeline.errors import PipelineError
from pipeline.model import Architecture, initialise, load_model, save_model
from pipeline.params import Params
from pipeline.report import pictures
from pipeline.results import summary, training_run
from pipeline.tracking_store import open_store
from pipeline.workspace import Workspace
from stages import evaluate
from stages.evaluate import run

SIZE = 16
CLASSES = ["beagle", "<b>poodle</b>"]
PICTURES = ("samples.png", "denoising.png", "nearest.png", "confusion.png", *pictures.MADE)
MADE = ("metrics.json", *PICTURES, "index.html")


def params(**chosen: Any) -> Params:
    settings = {"samples": 8, "grid": 3, "steps": 2, "neighbours": 4, "batch_size": 3}
    return schema.from_document(
        {
            "resize": {"size": SIZE},
            "train": {"net": {"width": 16, "multipliers": [1], "blocks": 1, "attention": []}},
            "evaluate": {**settings, "device": "cpu", **chosen},
            "tracking": {"enabled": False},
        }
    )


def make_dataset(folder: Path, held_out: int = 6, classes: list[str] = CLASSES) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    count = 30
    images = np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    np.save(folder / "images.npy", images)
    pd.DataFrame(
        {
            "path": [f"x/{k:02d}.png" for k in range(count)],
            "breed": [classes[k % 2] for k in range(count)],
            "label": [k % 2 for k in range(count)],
            "split": ["held_out" if k < held_out else "train" for k in range(count)],
            "cluster": range(count),
            "sha256": [f"{k:064x}" for k in range(count)],
        }
    ).to_parquet(folder / "index.parquet", index=False)
    about = {
        "size": SIZE, "count": count, "train": count - held_out, "held_out": held_out,
        "classes": classes, "mean": [0.0] * 3, "std": [0.5] * 3, "sigma_data": 0.5,
        "digest": "d" * 64,
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(about))


def make_model(folder: Path, classes: list[str] = CLASSES, size: int = SIZE) -> None:
    architecture = Architecture.of(params(), size, classes)
    net = initialise(architecture, 0).net
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # a fresh net answers 0 to everything: its last layer starts at zero
        for weight in net.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator)
    save_model(folder, architecture, net, {"images": 64, "seed": 3})


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr("pipeline.evaluation.features.STEPS", (8, 8))
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    space = Workspace(tmp_path, tmp_path)
    make_dataset(space.dataset)
    make_model(space.models)
    return space


def test_it_writes_figures_pictures_and_a_page(space: Workspace):
    figures = run(params(), space)
    assert sorted(item.name for item in space.reports.iterdir()) == sorted(MADE)
    assert json.loads((space.reports / "metrics.json").read_text()) == figures
    assert (figures["n_samples"], figures["n_train"], figures["n_held_out"]) == (8, 24, 6)
    assert "<b>poodle" not in (space.reports / "index.html").read_text()
    for name in PICTURES:
        with Image.open(space.reports / name) as picture:
            picture.load()


def test_the_grid_shows_what_the_model_draws_from_the_planned_noise(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
):
    sheets: dict[str, tuple[Any, ...]] = {}
    for name in ("sample_grid", "denoising_strip"):
        original = getattr(evaluate.montage, name)

        def remember(*arguments: Any, _name: str = name, _original: Any = original, **more: Any):
            sheets[_name] = arguments
            return _original(*arguments, **more)

        monkeypatch.setattr(evaluate.montage, name, remember)
    run(params(), space)
    images, labels, _ = sheets["sample_grid"]
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    model = load_model(space.models, "cpu")
    plan = evaluate.plan_samples(np.array([12, 12]), 8, 3, 0)
    chosen = params().evaluate
    again, _speed = evaluate.draw_samples(model, plan, chosen)
    assert (images == again[plan.shown]).all()
    assert len(np.unique(images, axis=0)) == 6  # each from noise of its own
    last_clean = sheets["denoising_strip"][1][-1]
    assert np.abs(last_clean.astype(int) - images[0]).max() <= 1  # the film ends at the sample


def test_equal_params_give_equal_bytes(space: Workspace):
    run(params(), space)
    first = {name: (space.reports / name).read_bytes() for name in MADE}
    run(params(), space)
    assert {name: (space.reports / name).read_bytes() for name in MADE} == first


def test_the_batch_size_changes_no_figure(space: Workspace):
    three, eight = (knobs.flatten(run(params(batch_size=n), space)) for n in (3, 8))
    assert three == pytest.approx(eight, rel=0.01, abs=1e-6)


def test_another_seed_gives_other_samples(space: Workspace):
    drawn = []
    for seed in (1, 2):
        run(params(seed=seed), space)
        drawn.append((space.reports / "samples.png").read_bytes())
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "heun"])
def test_every_solver_samples(space: Workspace, sampler: str):
    assert run(params(sampler=sampler), space)["n_samples"] == 8


def test_without_held_out_pictures_the_page_says_so(space: Workspace):
    make_dataset(space.dataset, held_out=0)
    figures = run(params(), space)
    assert "swd" in figures and "swd_held_out" not in figures
    assert "No real pictures were held out" in (space.reports / "index.html").read_text()
    assert all("real" not in line for line in summary(figures).splitlines())


def refused(space: Workspace, chosen: Params, pattern: str) -> None:
    with pytest.raises(PipelineError, match=pattern) as caught:
        run(chosen, space)
    assert "\n" not in str(caught.value)
    assert not space.reports.exists()


def test_no_model_is_one_line(space: Workspace):
    (space.models / "model.json").unlink()
    refused(space, params(), r"no model in .*models.*dvc repro train")


def test_no_data_set_is_one_line(space: Workspace):
    (space.dataset / "images.npy").unlink()
    refused(space, params(), r"images\.npy: no such file")


def test_a_model_of_other_breeds_is_one_line_that_names_them(space: Workspace):
    make_model(space.models, ["beagle", "boxer"])
    refused(space, params(), r"breeds differ \(<b>poodle</b>, boxer\)")


def test_a_model_of_another_size_is_one_line(space: Workspace):
    make_model(space.models, size=2 * SIZE)
    refused(space, params(), r"pictures of 32 and 16 pixels")


def test_a_primary_figure_that_is_none_is_one_line(space: Workspace):
    refused(space, params(primary="fid"), r"evaluate\.primary: got 'fid', expected one of swd")


def test_too_few_samples_is_one_line(space: Workspace):
    refused(space, params(samples=3), r"evaluate\.samples: got 3.*at least 4")


def test_too_few_training_pictures_is_one_line(space: Workspace):
    make_dataset(space.dataset, held_out=28)
    refused(space, params(), r"2 training pictures are too few")


# --------------------------------------------------------------------------- the record


def recorded(space: Workspace) -> Params:
    tracked = schema.to_dict(params()) | {"tracking": {"enabled": True, "experiment": "test"}}
    return schema.from_document(tracked)


def train_run(space: Workspace, chosen: Params) -> str:
    """A finished MLflow run, as the train stage leaves one behind."""
    with start_run(space, chosen, tags={"stage": "train"}) as row:
        (space.models / "run.json").write_text(json.dumps(row.reference()))
    return row.run_id


def test_the_figures_join_the_row_of_the_training(space: Workspace, mlflow_home: None):
    chosen = recorded(space)
    run_id = train_run(space, chosen)
    figures = run(chosen, space)
    client, experiment = open_store(space, "test")
    row = client.get_run(run_id)
    assert row.info.status == "FINISHED"
    assert row.data.metrics["eval/swd"] == figures["swd"]
    assert row.data.metrics["eval/swd_noise"] == figures["swd_noise"] > 0
    assert client.get_model_version_by_alias("test", "champion").run_id == run_id
    assert row.data.metrics["eval/images_per_second"] > 0
    assert row.data.params["evaluate.samples"] == "8"
    files = {item.path for item in client.list_artifacts(run_id, "reports")}
    assert {"reports/index.html", "reports/metrics.json"} <= files
    assert client.list_artifacts(run_id, "images")
    assert len(client.search_runs([experiment])) == 1


def test_other_evaluate_params_get_a_row_of_their_own_under_it(space: Workspace, mlflow_home: None):
    chosen = recorded(space)
    run_id = train_run(space, chosen)
    run(chosen, space)
    document = schema.to_dict(chosen)
    document["evaluate"]["guidance"] = 1.0
    run(schema.from_document(document), space)
    client, experiment = open_store(space, "test")
    rows = {row.info.run_id: row for row in client.search_runs([experiment])}
    (child,) = (row for key, row in rows.items() if key != run_id)
    assert child.data.tags["mlflow.parentRunId"] == run_id
    assert child.data.params["evaluate.guidance"] == "1.0"
    assert "eval/swd" in child.data.metrics


@pytest.fixture
def mlflow_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "DVC_STAGE", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("text", [None, "", "[]", '{"run_id": ""}', "{"])
def test_a_training_without_a_known_run_is_no_obstacle(tmp_path: Path, text: str | None):
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    assert training_run(tmp_path) == {}


def test_the_command_prints_each_figure_beside_its_floor(
    space: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    chosen = knobs.flatten({"evaluate": {"samples": 8, "steps": 2, "device": "cpu"}})
    lines = ["resize: {size: 16}", "train: {net: {attention: []}}", "tracking: {enabled: false}"]
    lines += [f"evaluate: {{{', '.join(f'{k[9:]}: {v}' for k, v in chosen.items())}}}"]
    space.params.write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(space.here)
    monkeypatch.setattr(sys, "argv", ["evaluate"])
    evaluate.main()
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "measuring 8 samples against 24 pictures"
    assert any(line.startswith("swd ") and " real " in line for line in shown)
    assert any(line.startswith("  kid_local ") and line.endswith(" s") for line in shown)
    assert shown[-1].endswith("index.html")
