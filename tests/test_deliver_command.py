"""`pipeline deliver`: runs that another machine recorded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Pipeline, project_folder
from local_store import empty_store, history, stored
from mlflow_server import free_port

from pipeline import spool
from pipeline.tracking_store import last_runs
from pipeline.workspace import Workspace

REPOSITORY = Path(__file__).parents[1]

# A machine without MLflow: what a training records there.
BARE = """
import sys
sys.modules["mlflow"] = None
from pathlib import Path
import numpy as np
from pipeline import recording
from pipeline.params import Params
from pipeline.workspace import Workspace
root = Path(sys.argv[1])
for seed in (1, 2):
    tags = {"stage": "train"}
    with recording.open_record(Workspace(root, root), Params(seed=seed), tags=tags) as record:
        for step in range(1, 1301):
            record.log_metrics({"train/loss": 1 / step}, step=step)
        record.log_image(np.zeros((8, 8, 3), np.uint8), "samples", 1300)
"""


@pytest.fixture
def workspace(tmp_path: Path, fresh_store: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copytree(fresh_store, folder / "mlruns")
    return project_folder(folder, monkeypatch)


@pytest.fixture(scope="session")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `.cache/spool` of a machine without MLflow."""
    machine = tmp_path_factory.mktemp("gpu machine")
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(machine)], cwd=machine, check=False,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mlflow is not installed: the run is kept in" in done.stderr
    assert not (machine / "mlruns").exists()
    return machine / ".cache" / "spool"


def test_runs_of_a_machine_without_mlflow_are_handed_over_once(
    pipeline: Pipeline, workspace: Workspace, brought: Path, tmp_path: Path
) -> None:
    shutil.copytree(brought, tmp_path / "brought")
    done = pipeline("deliver", str(tmp_path / "brought"))
    assert done.code == 0 and done.err == ""
    lines = done.out.splitlines()
    assert len(lines) == 2
    runs = last_runs(workspace, 5)
    assert sorted(run.params["seed"] for run in runs) == ["1", "2"]
    for run, line in zip(reversed(runs), lines, strict=True):
        assert line.startswith(f"{run.name}: 1,300 metric values, 1 image  http://127.0.0.1:")
        assert line.endswith(run.run_id)
        assert stored(workspace, run.run_id).info.status == "FINISHED"
        curve = history(workspace, run.run_id, "train/loss")
        assert curve == [(step, 1 / step) for step in range(1, 1301)]
    assert list((tmp_path / "brought").iterdir()) == []
    shutil.copytree(brought, workspace.cache / "spool")  # once more, from the usual place
    assert pipeline("deliver").code == 0
    assert len(last_runs(workspace, 5)) == 2
    assert len(history(workspace, runs[0].run_id, "train/loss")) == 1300
    assert pipeline("deliver").out == "nothing to deliver\n"


def test_a_store_elsewhere_is_named_by_to(
    pipeline: Pipeline,
    workspace: Workspace,
    brought: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that does not answer keeps the spools, and the error is a line for each."""
    place = tmp_path / "brought"
    shutil.copytree(brought, place)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # --to sets it: for this test alone
    away = pipeline("deliver", str(place), "--to", f"http://127.0.0.1:{free_port()}")
    assert away.code == 1 and "Traceback" not in away.err and away.out == ""
    assert len(away.err.splitlines()) == 3
    assert "error: 2 of 2 not delivered" in away.err.splitlines()[-1]
    assert len(spool.spools(place)) == 2

    # Not a copy of the common one: its pictures would go where that one's experiment says.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    other = f"sqlite:///{empty_store(tmp_path / 'elsewhere') / 'mlflow.db'}"
    assert pipeline("deliver", str(place), "--to", other).code == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert last_runs(workspace, 5) == []


def test_a_folder_without_a_spool_is_one_line(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = pipeline("deliver", str(tmp_path / "empty"))
    assert done.code == 2 and "no spool (events.jsonl)" in done.err
    assert pipeline("deliver").out == "nothing to deliver\n"


def test_a_spool_without_its_beginning_is_one_line(
    pipeline: Pipeline, workspace: Workspace
) -> None:
    folder = workspace.cache / "spool" / "broken"
    folder.mkdir(parents=True)
    (folder / spool.EVENTS).write_text('{"do": "metrics", "at": 1, "values": {}, "step": 1}\n')
    done = pipeline("deliver")
    assert done.code == 1 and "its beginning is lost" in done.err and "Traceback" not in done.err
