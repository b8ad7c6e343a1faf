"""`dvc repro`: everything once, nothing twice, only what changed."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from clone import Project, Template, stages_run
from PIL import Image

STAGES = ["scrape", "dedupe", "resize", "train", "evaluate"]


def test_one_command_runs_all_five_stages(template: Template) -> None:
    assert stages_run(template.repro) == STAGES
    assert "Traceback" not in template.repro


def test_the_artefacts_hold_what_the_rooms_agreed_on(template: Template) -> None:
    root = template.project.root
    manifest = pd.read_parquet(root / "data/raw/manifest.parquet")
    decisions = pd.read_parquet(root / "data/clean/decisions.parquet")
    index = pd.read_parquet(root / "data/dataset/index.parquet")
    images = np.load(root / "data/dataset/images.npy")
    assert set(decisions["path"]) == set(manifest["path"].dropna())
    assert set(index["path"]) == set(decisions.loc[decisions["keep"], "path"])
    assert images.shape == (len(index), 32, 32, 3) and images.dtype == np.uint8
    assert set(index["split"]) == {"train", "held_out"}
    dataset = template.project.json("data/dataset/dataset.json")
    model = template.project.json("models/model.json")
    assert dataset["digest"] in str(model)
    for name in ("samples", "denoising", "nearest", "seen", "sweep", "interpolation"):
        with Image.open(root / "reports" / f"{name}.png") as image:
            image.load()
    page = (root / "reports/index.html").read_text()
    asked = re.findall(r"""<(?!a\b)[^>]*\s(?:src|srcset|href)=["'](?:https?:)?//""", page)
    assert not asked, "the page works offline"
    commit = template.project.git("rev-parse", "HEAD~1").strip()
    [run] = template.project.runs()
    assert f"git checkout {commit}\n" in page and f"/runs/{run.info.run_id}" in page


def test_git_sees_only_what_a_user_would_commit(template: Template) -> None:
    written = ["dedupe.json", "loss.csv", "metrics.json", "scrape.csv", "scrape.json"]
    assert template.changed == ["dvc.lock", *(f"reports/{name}" for name in written)]


def test_a_second_repro_does_nothing_and_says_so(project: Project) -> None:
    said = project.dvc("repro")
    assert "Data and pipelines are up to date." in said and stages_run(said) == []
    assert project.changed() == []


def test_another_evaluation_leaves_the_model_and_gets_a_run_under_it(project: Project) -> None:
    said = project.dvc("exp", "run", "-S", "evaluate.steps=3")
    assert stages_run(said) == ["evaluate"]
    trained, evaluated = project.runs()
    assert evaluated.data.tags["mlflow.parentRunId"] == trained.info.run_id
    assert evaluated.data.params["evaluate.steps"] == "3"
    assert trained.data.params["evaluate.steps"] == "4"
    assert "eval/" in " ".join(evaluated.data.metrics)
    assert evaluated.data.metrics["scrape/fetched"] > 0
    assert "scrape/outcomes.json" in evaluated.data.tags["mlflow.loggedArtifacts"]


def test_one_experiment_is_one_row_that_holds_everything(template: Template) -> None:
    [run] = template.project.runs()
    client = template.project.client
    assert run.info.status == "FINISHED"
    commit = template.project.git("rev-parse", "HEAD~1").strip()
    assert run.data.tags["git.commit"] == commit and run.data.tags["git.dirty"] == "false"
    assert (
        run.data.tags["data.digest"] == template.project.json("data/dataset/dataset.json")["digest"]
    )
    assert run.data.params["train.net.width"] == "16" and run.data.params["evaluate.steps"] == "4"
    assert {"train/loss", "train/images_per_second"} <= set(run.data.metrics)
    assert any(key.startswith("eval/") for key in run.data.metrics)
    steps = [entry.step for entry in client.get_metric_history(run.info.run_id, "train/loss")]
    assert steps == sorted(set(steps)) and steps[-1] == 320
    models = [client.get_logged_model(item.model_id) for item in run.outputs.model_outputs]
    steps = sorted((model.model_type, int(model.tags["step"])) for model in models)
    assert steps == [*(("checkpoint", step) for step in (80, 160, 240, 320)), ("generator", 320)]
    assert len(run.inputs.dataset_inputs) == 1
    names = [item.path for item in client.list_artifacts(run.info.run_id, "images")]
    grids = {int(step) for name in names for step in re.findall(r"samples\+step\+(\d+)", name)}
    assert {160, 320} <= grids
    assert template.project.json("models/run.json")["run_id"] == run.info.run_id


def test_the_model_is_registered_ranked_and_drawn_from_by_its_name(project: Project) -> None:
    figures = project.json("reports/metrics.json")
    version = project.client.get_model_version_by_alias("dogs", "champion")
    assert version.tags["primary.metric"] == "swd"
    assert float(version.tags["primary.value"]) == figures["swd"]
    assert float(version.tags["primary.noise"]) == figures["swd_noise"] > 0
    arguments = ["--no-strip", "-n", "1", "--seed", "7"]
    project.pipeline("generate", "--fname", "plots/a", *arguments)
    # In a copied repository too, although MLflow's own locations are absolute.
    project.pipeline("doctor", "--fix", code=None)
    project.pipeline(
        "generate", "--fname", "plots/b", "--model", "models:/dogs@champion", *arguments
    )
    one, two = (
        np.asarray(Image.open(project.root / f"plots/{name}0.png")).astype(int) for name in "ab"
    )
    assert np.abs(one - two).max() <= 1
    said = project.pipeline("lineage", "plots/b0.png")
    [run] = project.runs()
    assert run.info.run_id in said and run.data.tags["git.commit"] in said


def test_a_copied_repository_writes_to_its_own_store(project: Project, template: Template) -> None:
    """MLflow's artifact locations are absolute; the copy must not write into the original."""
    before = sorted(template.project.root.joinpath("mlruns").rglob("*.png"))
    project.dvc("repro", "-f", "-s", "train")
    assert sorted(template.project.root.joinpath("mlruns").rglob("*.png")) == before
    for run in project.runs():
        assert run.info.artifact_uri.startswith(f"file://{project.root}/mlruns/artifacts/")
        assert project.client.list_artifacts(run.info.run_id, "images")
