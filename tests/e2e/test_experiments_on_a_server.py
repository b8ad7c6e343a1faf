"""Two trainings at once into MLflow's server on PostgreSQL, both of which die in the middle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from clone import Project, wait_for
from mlflow_server import Server, documented, free_port
from postgres import Postgres
from test_experiments import queue_logs, settled

from pipeline.tracking_store import import_mlflow
from pipeline.workspace import Workspace

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

IMAGES, EVERY = 3200, 160


def checkpoints(project: Project) -> list[int]:
    """How many each training has written to its spool."""
    journals = (project.root / ".cache" / "spool").glob("*/events.jsonl")
    events = [
        [json.loads(line)["do"] for line in path.read_text().splitlines()] for path in journals
    ]
    return [one.count("checkpoint") for one in events]


def every_run(client: Any) -> list[Any]:
    ids = [item.experiment_id for item in client.search_experiments()]
    return list(client.search_runs(ids))


def test_two_trainings_are_whole_although_server_and_database_die(
    project: Project, database: Postgres, tmp_path: Path
) -> None:
    port, files = free_port(), tmp_path / "served"
    address = f"http://127.0.0.1:{port}"
    workspace = Workspace(project.root, project.root)
    command = documented(database.uri, files, port)
    client = import_mlflow().MlflowClient(address, address)
    project.env = project.env | {"MLFLOW_TRACKING_URI": address}
    project.dvc(
        "exp", "run", "--queue", "-S", "seed=5,6", "-S", f"train.images={IMAGES}",
        "-S", f"train.checkpoint_every={EVERY}",
    )  # fmt: skip
    with Server(workspace, port, command):
        assert project.start("dvc", "queue", "start", "-j", "2").wait() == 0
        wait_for(lambda: len(every_run(client)) == 2, "both runs to begin", 900)
    database.kill()
    before = checkpoints(project)
    wait_for(lambda: sum(checkpoints(project)) > sum(before) or settled(project), "training", 900)
    database.start()
    with Server(workspace, port, command):
        database.kill()  # and once more under a server that lives
        database.start()
        done = wait_for(lambda: settled(project), "the queue", 1800)
        assert done.count("Success") == 2 and "Failed" not in done, queue_logs(project, done)
        project.pipeline("deliver")
        runs = every_run(client)
        assert [run.info.status for run in runs] == ["FINISHED"] * 2
        assert {run.data.params["seed"] for run in runs} == {"5", "6"}
        for run in runs:
            entries = client.get_metric_history(run.info.run_id, "train/loss")
            assert [entry.step for entry in entries] == list(range(32, IMAGES + 1, 32))
            models = [client.get_logged_model(m.model_id) for m in run.outputs.model_outputs]
            steps = sorted(int(m.tags["step"]) for m in models if m.model_type == "checkpoint")
            assert steps == list(range(EVERY, IMAGES + 1, EVERY))
            assert any(key.startswith("eval/") for key in run.data.metrics)
        versions = client.search_model_versions("name = 'dogs'")
        assert {version.run_id for version in versions} == {run.info.run_id for run in runs}
        number = client.get_registered_model("dogs").aliases["champion"]
        (best,) = (version for version in versions if str(version.version) == str(number))
        project.pipeline("generate", "--model", "models:/dogs@champion", "--fname", "plots/served")
        project.dvc("exp", "apply", client.get_run(best.run_id).info.run_name)
        project.pipeline("generate", "--fname", "plots/pulled")
    for number in range(3):
        served, own = (
            (project.root / f"plots/{name}{number}.png").read_bytes()
            for name in ("served", "pulled")
        )
        assert served == own
    assert len(project.runs()) == 1  # the SQLite file has no more than before
