"""``pipeline lineage``: every step back is the one that was really taken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import Pipeline
from local_store import empty_store, start_run, workspace_with
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from small_dataset import make_dataset
from tiny_model import make_model

from pipeline.evaluation.montage import write_png
from pipeline.params import Params
from pipeline.raw import MANIFEST
from pipeline.stamp import KEY, read_note
from pipeline.workspace import Workspace

DIGEST = "d" * 64
QUICK = ["--sampler", "ddim", "--steps", "3", "--guidance", "1.5", "--no-strip", "--fname", "p"]


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return empty_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def run_id(workspace: Workspace, fresh_store: Path) -> str:
    """A trained project: data with its manifest, models/ and the run that made it."""
    workspace_with(fresh_store, workspace.here)
    make_dataset(workspace.dataset)
    about = workspace.dataset / "dataset.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"digest": DIGEST}))
    workspace.raw.mkdir(parents=True)
    pd.DataFrame(
        {
            "sha256": [f"{k % 30:064x}" for k in range(31)],  # the first was found twice
            "source": ["gallery"] * 20 + ["commons"] * 11,
            "licence": ["CC0"] * 20 + [None] * 11,
            "author": ["A"] * 31,
            "image_url": [f"https://example.org/{k}.jpg" for k in range(31)],
            "page_url": [None] * 31,
        }
    ).to_parquet(workspace.raw / MANIFEST)
    make_model(workspace.models, 3, ["beagle", "poodle"])
    tags = {"stage": "train", "train.fingerprint": "f" * 64, "data.digest": DIGEST}
    with start_run(workspace, Params(seed=3), name="loamy-froe", tags=tags) as run:
        for file in ("model.json", "weights.safetensors"):
            run.log_artifact(workspace.models / file, "model")
        run.set_tags({"git.commit": "c0ffee", "git.dirty": "true"})
    (workspace.models / "run.json").write_text(json.dumps(run.reference()))
    return run.run_id


def traced(pipeline: Pipeline, *arguments: str) -> dict:
    result = pipeline("lineage", *arguments, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)


def test_from_a_picture_to_its_run_and_the_sources_of_its_nearest(
    pipeline: Pipeline, workspace: Workspace, run_id: str
) -> None:
    assert pipeline("generate", "-n", "2", "--seed", "7", *QUICK).code == 0
    # A picture of which the nearest training picture is known: the mirror image of row 7.
    note = read_note(Path("p1.png"))
    images = np.load(workspace.dataset / "images.npy")
    changed = images[7, :, ::-1].astype(int) + np.random.default_rng(0).integers(-3, 4, (16, 16, 3))
    write_png(Path("p1.png"), changed.clip(0, 255).astype(np.uint8), note)
    found = traced(pipeline, "p1.png", "--nearest", "2")
    assert (found["picture"]["breed"], found["picture"]["seed"]) == ("poodle", 8)
    assert found["run"]["run_id"] == run_id and found["run"]["commit"] == "c0ffee"
    assert found["params"]["seed"] == "3" and found["data"]["digest"] == DIGEST
    first, second = found["nearest"]
    assert first["path"] == "x/07.png" and first["mirrored"] and first["distance"] < 4
    assert second["distance"] > 50
    assert [s["image_url"] for s in first["sources"]] == ["https://example.org/7.jpg"]
    assert first["sources"][0]["licence"] == "CC0" and found["missing"] == []
    shown = pipeline("lineage", "p1.png").out
    for text in (
        "poodle, seed 8, ddim, 3 steps",
        f"loamy-froe {run_id} (finished)",
        "seed=3",
        "c0ffee (and changes",
        "x/07.png",
        "CC0",
        "https://example.org/7.jpg",
    ):
        assert text in shown


def test_a_model_and_a_run_lead_to_all_their_sources(
    pipeline: Pipeline, workspace: Workspace, run_id: str
) -> None:
    for name in ("models", run_id, "loamy-froe", f"runs:/{run_id}"):
        found = traced(pipeline, name)
        assert found["run"]["name"] == "loamy-froe"
        # Rows 0 to 3 are held out.
        assert found["sources"] == [
            {"source": "gallery", "licence": "CC0", "pictures": 16},
            {"source": "commons", "licence": "not known", "pictures": 10},
        ]
    assert "26" not in pipeline("lineage", "models").out.splitlines()[-1]


def test_what_is_not_there_any_more_is_said(
    pipeline: Pipeline, workspace: Workspace, run_id: str
) -> None:
    assert pipeline("generate", "-n", "1", *QUICK).code == 0
    make_model(workspace.models, 9, ["beagle", "poodle"])  # trained anew: MLflow has the old one
    found = traced(pipeline, "p0.png")
    assert found["run"]["run_id"] == run_id and found["missing"] == []
    make_dataset(workspace.dataset, seed=1)
    (workspace.here / "mlruns").rename(workspace.here / "elsewhere")
    found = traced(pipeline, "p0.png")
    assert found["run"] == {} and "nearest" not in found
    assert found["data"]["digest"] == DIGEST  # the picture itself knows
    said = pipeline("lineage", "p0.png").out
    assert "not found: the run" in said and "data/dataset is another set" in said


def test_mistakes_are_one_line(pipeline: Pipeline, workspace: Workspace) -> None:
    Image.new("RGB", (16, 16)).save("plain.png")
    Path("note.txt").write_text("hello")
    for name, said in {
        "plain.png": "says nothing of where it comes from",
        "note.txt": "not a picture",
        "nothing": "no runs yet",
    }.items():
        result = pipeline("lineage", name)
        assert result.code == 1 and said in result.err and result.err.count("\n") == 1


def test_a_note_from_outside_cannot_steer_the_terminal(
    pipeline: Pipeline, workspace: Workspace
) -> None:
    chunks = PngInfo()
    chunks.add_itxt(KEY, json.dumps({"breed": "\x1b[31mred", "seed": {"a": 1}, "run_id": 5}))
    Image.new("RGB", (16, 16)).save("evil.png", pnginfo=chunks)
    result = pipeline("lineage", "evil.png")
    assert result.code == 0 and "\x1b" not in result.out and "[31mred" in result.out
