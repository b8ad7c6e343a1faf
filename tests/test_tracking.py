"""Runs in a real MLflow store on SQLite, in a fresh folder each."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from local_store import history, start_run, stored
from PIL import Image

from pipeline import tracking
from pipeline.errors import Interrupted, PipelineError
from pipeline.params import Params, from_document
from pipeline.provenance import PROCESS_TAG, is_dead, this_process
from pipeline.tracking_store import (
    compare_link,
    database,
    import_mlflow,
    last_runs,
    moved_from,
    relocate,
    store_uri,
    zombies,
)
from pipeline.workspace import Workspace

mlflow = import_mlflow()
PICTURE = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture
def workspace(stored_workspace: Workspace) -> Workspace:
    return stored_workspace


# ------------------------------------------------------------------ one run


def test_a_run_holds_params_metrics_pictures_checkpoints_and_its_data(workspace: Workspace) -> None:
    weights = workspace.here / "weights.bin"
    weights.write_bytes(b"w")
    checkpoint = workspace.here / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "weights.safetensors").write_bytes(b"averaged")
    with start_run(workspace, Params(seed=3), tags={"stage": "train", "data.digest": "d1"}) as run:
        run.log_metrics({"train/loss": 0.5}, step=16)
        run.log_metrics({"train/loss": 0.25}, step=32)
        run.log_image(PICTURE, "samples", step=32)
        run.log_checkpoint(32, checkpoint, {"loss": 0.25})
        run.log_dataset("dogs", "ab" * 32, "data/dataset")
        run.log_artifact(weights, "files")
    found = stored(workspace, run.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params["seed"] == "3"
    assert found.data.params["train.net.width"] == "32"
    assert found.data.tags["data.digest"] == "d1"
    assert history(workspace, run.run_id, "train/loss") == [(16, 0.5), (32, 0.25)]
    assert [item.dataset.name for item in found.inputs.dataset_inputs] == ["dogs"]
    assert [item.step for item in found.outputs.model_outputs] == [32]
    client = mlflow.MlflowClient(store_uri(workspace))
    model = client.get_logged_model(found.outputs.model_outputs[0].model_id)
    assert model.tags["step"] == "32"
    kept = mlflow.artifacts.download_artifacts(
        f"{model.tags['path']}/weights.safetensors", tracking_uri=store_uri(workspace)
    )
    assert Path(kept).read_bytes() == b"averaged"
    assert {metric.key: metric.value for metric in model.metrics} == {"train/checkpoint_loss": 0.25}
    files = [item.path for item in client.list_artifacts(run.run_id, "images")]
    assert any(path.startswith("images/samples+step+32+") for path in files)


def test_artifacts_lie_in_the_main_repository_also_from_a_temporary_checkout(
    workspace: Workspace, tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    with start_run(Workspace(checkout, workspace.shared), Params()) as run:
        run.log_image(PICTURE, "samples", step=1)
    found = list((workspace.mlruns / "artifacts").rglob("*.png"))
    assert len(found) == 1 and not list(checkout.rglob("*.png"))


def test_the_run_is_named_after_the_dvc_experiment(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "loamy-froe")
    monkeypatch.setenv("DVC_STAGE", "train")
    run = start_run(workspace, Params())
    found = stored(workspace, run.run_id)
    assert found.info.run_name == "loamy-froe"
    assert found.data.tags["dvc.exp"] == "loamy-froe" and found.data.tags["dvc.stage"] == "train"


def test_outside_dvc_the_run_is_named_after_the_commit_and_says_if_code_was_changed(
    workspace: Workspace,
) -> None:
    git = ["git", "-C", str(workspace.here), "-c", "user.name=t", "-c", "user.email=t@t"]
    (workspace.here / "code.py").write_text("1\n")
    (workspace.here / "params.yaml").write_text("seed: 0\n")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "code.py", "params.yaml"], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    commit = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    (workspace.here / "params.yaml").write_text("seed: 1\n")  # what every `-S` does
    clean = stored(workspace, start_run(workspace, Params()).run_id)
    assert clean.info.run_name == f"workspace-{commit[:7]}"
    assert clean.data.tags["git.commit"] == commit and clean.data.tags["git.dirty"] == "false"
    (workspace.here / "code.py").write_text("2\n")
    dirty = stored(workspace, start_run(workspace, Params()).run_id)
    assert dirty.data.tags["git.dirty"] == "true"


def test_metrics_are_buffered_and_written_in_order(workspace: Workspace) -> None:
    with start_run(workspace, Params()) as run:
        for step in range(1200):
            run.log_metrics({"loss": 1 / (step + 1)}, step=step)
        assert len(run._buffer) < tracking.FLUSH_ENTRIES
        assert run.last_step("loss") == 1199
        assert run.last_step("nothing") == -1
    assert history(workspace, run.run_id, "loss") == [(i, 1 / (i + 1)) for i in range(1200)]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("bad"), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (Interrupted(signal.SIGTERM, "stopped"), "KILLED"),
    ],
)
def test_a_run_ends_as_what_ended_it(
    workspace: Workspace, error: BaseException, status: str
) -> None:
    with pytest.raises(type(error)), start_run(workspace, Params()) as run:
        run.log_metrics({"loss": 1.0}, step=7)
        raise error
    assert stored(workspace, run.run_id).info.status == status
    assert history(workspace, run.run_id, "loss") == [(7, 1.0)]


def test_a_store_that_fails_later_costs_a_warning_and_the_values_wait(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start_run(workspace, Params())

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(run._client, "log_batch", full)
        run.log_metrics({"loss": 1.0}, step=1)
        run.flush()
    assert "No space left" in caplog.text
    run.end()
    assert history(workspace, run.run_id, "loss") == [(1, 1.0)]


# ------------------------------------------------------------------ going on with a run


def test_a_continued_run_doubles_no_step_picture_or_checkpoint(workspace: Workspace) -> None:
    first = start_run(workspace, Params(), tags={"stage": "train"})
    checkpoint = workspace.here / "checkpoint"
    checkpoint.mkdir()
    for again in (False, True):
        run = start_run(workspace, Params(), run_id=first.run_id) if again else first
        assert run.run_id == first.run_id and run.continued is again
        for step in (10, 20, 30)[: 3 if again else 2]:
            run.log_metrics({"loss": float(step)}, step=step)
            run.log_image(PICTURE, "samples", step=step)
            run.log_checkpoint(step, checkpoint, {})
        run.flush()  # and then the process is killed: nothing ends the run
    run.end()
    assert history(workspace, run.run_id, "loss") == [(10, 10.0), (20, 20.0), (30, 30.0)]
    found = stored(workspace, run.run_id)
    assert sorted(item.step for item in found.outputs.model_outputs) == [10, 20, 30]
    pictures = mlflow.MlflowClient(store_uri(workspace)).list_artifacts(run.run_id, "images")
    assert len(pictures) == 3 * 2  # each as PNG and as a small WebP
    assert found.info.status == "FINISHED"


def test_evaluated_again_a_run_shows_the_newer_picture(tmp_path: Path, fresh_store: Path) -> None:
    """Also where the path holds characters that a URI writes otherwise."""
    folder = tmp_path / "my dogs"
    shutil.copytree(fresh_store, folder / "mlruns")
    workspace = Workspace(folder, folder)
    run_id = None
    for shade in (10, 200):
        with start_run(workspace, Params(), run_id=run_id) as run:
            run.log_image(np.full((8, 8, 3), shade, np.uint8), "eval/samples", step=320)
            run_id = run.run_id
    [path] = (workspace.mlruns / "artifacts").rglob("*.png")
    with Image.open(path) as image:
        assert image.getpixel((0, 0)) == (200, 200, 200)


def test_a_table_logged_again_is_replaced_not_appended_to(workspace: Workspace) -> None:
    with start_run(workspace, Params()) as run:
        run.log_table([{"breed": "pug", "failed": 3}, {"breed": "puli", "failed": 0}], "s/t.json")
    with start_run(workspace, Params(), run_id=run.run_id) as again:
        again.log_table([{"breed": "pug", "failed": 1}], "s/t.json")
    client = mlflow.MlflowClient(store_uri(workspace))
    table = json.loads(Path(client.download_artifacts(run.run_id, "s/t.json")).read_text())
    assert table == {"columns": ["breed", "failed"], "data": [["pug", 1]]}
    assert "s/t.json" in client.get_run(run.run_id).data.tags["mlflow.loggedArtifacts"]


def test_a_run_that_is_gone_gives_a_new_one(workspace: Workspace) -> None:
    run = start_run(workspace, Params(), run_id="0" * 32)
    assert run.run_id != "0" * 32 and not run.continued


def test_train_and_evaluate_share_one_row(workspace: Workspace) -> None:
    with start_run(workspace, Params(), tags={"stage": "train"}) as trained:
        trained.log_metrics({"train/loss": 0.1}, step=5)
    assert "evaluate.steps" not in stored(workspace, trained.run_id).data.params
    tags = {"stage": "evaluate"}
    for _ in range(2):  # the second evaluation has equal params: same row
        with start_run(workspace, Params(), tags=tags, run_id=trained.run_id) as evaluated:
            evaluated.log_metrics({"eval/distance": 2.0})
    found = stored(workspace, trained.run_id)
    assert evaluated.run_id == trained.run_id
    assert found.data.metrics == {"train/loss": 0.1, "eval/distance": 2.0}
    assert found.data.params["evaluate.steps"] == "18"
    assert found.data.tags["dvc.stage"] == "train"


def test_an_evaluation_with_other_params_is_a_run_under_the_trained_one(
    workspace: Workspace,
) -> None:
    with start_run(workspace, Params(), tags={"stage": "train"}) as trained:
        pass
    tags = {"stage": "evaluate"}
    with start_run(workspace, Params(), tags=tags, run_id=trained.run_id):
        pass
    other = from_document({"evaluate": {"steps": 50}})
    with start_run(workspace, other, tags=tags, run_id=trained.run_id) as run:
        assert not run.continued
    found = stored(workspace, run.run_id)
    assert found.data.tags["mlflow.parentRunId"] == trained.run_id
    assert found.data.params["evaluate.steps"] == "50"
    assert found.data.params["train.lr"] == "0.002"  # the row compares on its own
    assert stored(workspace, trained.run_id).data.params["evaluate.steps"] == "18"


def test_a_param_changed_between_stop_and_resume_is_noted_not_refused(
    workspace: Workspace,
) -> None:
    before = from_document({"train": {"log_every": 400}})
    first = start_run(workspace, before, tags={"stage": "train"})
    changed = from_document({"train": {"log_every": 100}})
    run = start_run(workspace, changed, tags={"stage": "train"}, run_id=first.run_id)
    found = stored(workspace, run.run_id)
    assert found.data.params["train.log_every"] == "400"
    assert found.data.tags["params.changed"] == "train.log_every: 400 -> 100"


# ------------------------------------------------------------------ a store that is none


def test_a_store_that_cannot_be_opened_is_one_line(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    database(workspace).write_bytes(b"this is no database" * 100)
    with pytest.raises(PipelineError, match=r"cannot be opened .*pipeline doctor"):
        start_run(workspace, Params())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{workspace.here}/files")
    with pytest.raises(PipelineError, match="cannot be opened"):
        start_run(workspace, Params())


# ------------------------------------------------------------------ the store


def _open(folder: Path) -> None:
    workspace = Workspace(folder, folder)
    with start_run(workspace, Params()) as run:
        run.log_metrics({"loss": 1.0}, step=1)


def test_two_processes_may_be_the_first_to_use_a_store(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    started = [spawn.Process(target=_open, args=(tmp_path,)) for _ in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join(120)
    assert [process.exitcode for process in started] == [0, 0]
    runs = last_runs(Workspace(tmp_path, tmp_path), 10)
    assert [run.status for run in runs] == ["FINISHED", "FINISHED"]
    assert {run.experiment_id for run in runs} == {runs[0].experiment_id}


def test_a_moved_repository_finds_its_artifacts_again(workspace: Workspace, tmp_path: Path) -> None:
    with start_run(workspace, Params()) as run:
        run.log_image(PICTURE, "samples", step=1)
        run.log_checkpoint(1, tmp_path, {})
    new = Workspace(tmp_path / "new home", tmp_path / "new home")
    new.here.mkdir()
    workspace.mlruns.rename(new.mlruns)
    assert len(moved_from(new)) >= 1
    assert relocate(new) and moved_from(new) == [] and relocate(new) == []
    pictures = mlflow.MlflowClient(store_uri(new)).list_artifacts(run.run_id, "images")
    assert len(pictures) == 2
    with start_run(new, Params()) as later:
        later.log_image(PICTURE, "samples", step=1)
    assert not workspace.mlruns.exists()


def test_artifact_locations_a_user_chose_are_left_alone(workspace: Workspace) -> None:
    client = mlflow.MlflowClient(store_uri(workspace))
    theirs = client.create_experiment("theirs", artifact_location="s3://bucket/theirs")
    relocate(workspace)
    assert client.get_experiment(theirs).artifact_location == "s3://bucket/theirs"


def test_a_deleted_experiment_is_taken_back(workspace: Workspace) -> None:
    client = mlflow.MlflowClient(store_uri(workspace))
    client.delete_experiment(client.get_experiment_by_name("dogs").experiment_id)
    with start_run(workspace, Params()) as run:
        pass
    assert stored(workspace, run.run_id).info.status == "FINISHED"


def test_runs_of_dead_processes_are_found_and_ended(workspace: Workspace) -> None:
    alive = start_run(workspace, Params(), name="alive")
    dead = start_run(workspace, Params(), name="dead")
    host, pid, started = this_process().split(" ")
    dead.set_tags({PROCESS_TAG: f"{host} {pid} {int(started) - 1}"})  # the id was given out again
    assert zombies(workspace) == ["dead"]
    assert zombies(workspace, end=True) == ["dead"] and zombies(workspace) == []
    assert stored(workspace, dead.run_id).info.status == "KILLED"
    assert stored(workspace, alive.run_id).info.status == "RUNNING"


def test_only_processes_that_are_certainly_gone_count_as_dead() -> None:
    host = this_process().split(" ")[0]
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert is_dead(f"{host} {gone.pid} 1")
    assert not is_dead(this_process())
    assert not is_dead(f"another-machine {os.getpid()} 1")
    assert not is_dead("")


# ------------------------------------------------------------------ links and lists


def test_last_runs_are_newest_first_and_name_their_params(workspace: Workspace) -> None:
    for seed in (1, 2, 3):
        with start_run(workspace, Params(seed=seed)):
            pass
    assert [run.params["seed"] for run in last_runs(workspace, 2)] == ["3", "2"]
    assert last_runs(workspace, 2, "no such experiment") == []


def test_before_the_first_run_the_error_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="dvc repro"):
        last_runs(Workspace(tmp_path, tmp_path), 1)


def test_the_compare_link_is_percent_encoded_json() -> None:
    assert compare_link("http://h:1/", "7", ["a", "b"]) == (
        "http://h:1/#/compare-runs?runs=%5B%22a%22%2C%20%22b%22%5D&experiments=%5B%227%22%5D"
    )
    assert compare_link("http://h:1", "7", ["a"]) == "http://h:1/#/experiments/7/runs/a"
    assert compare_link("http://h:1", "7", []) == "http://h:1/#/experiments/7/runs"
