"""An MLflow server that is silent, slow, broken, or loses its answers, while a stage records."""

from __future__ import annotations

import os

import pytest
from clone import Project, wait_for
from faulty_proxy import BROKEN, LOST, PASS, SILENT, SLOW, FaultyProxy
from mlflow_server import Server, free_port
from outs import outs_of
from spooled import begin, content, write

from pipeline import recording, spool
from pipeline.doctor import CHECKS
from pipeline.tracking_store import import_mlflow
from pipeline.workspace import Workspace

FAULTS = [SILENT, BROKEN, LOST, SLOW]


def test_every_fault_in_one_run_and_the_store_holds_it_once(
    stored_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, port = stored_workspace, free_port()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setattr(recording, "END_SECONDS", 120.0)
    with Server(workspace, port), FaultyProxy(port, SILENT) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.url)
        record = begin(workspace)
        for step, mode in enumerate(FAULTS, 1):
            proxy.mode = mode
            write(record, workspace.here, [10 * step])
            wait_for(lambda mode=mode: proxy.asked[mode] >= 3, f"three requests while {mode}")
        proxy.mode = PASS
        record.end()
        assert record.run_id and list(spool.home(workspace).iterdir()) == []
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        found = content(workspace)
    steps = [10 * step for step in range(1, len(FAULTS) + 1)]
    assert found["status"] == "FINISHED" and found["all models"] == len(steps)
    assert [x[:2] for x in found["metrics"]["train/loss"]] == [(step, 1 / step) for step in steps]
    assert [step for step, _ in found["checkpoints"]] == steps
    assert len([name for name in found["files"] if name.startswith("images/")]) == 2 * len(steps)


@pytest.mark.parametrize("mode", [SILENT, BROKEN])
def test_the_doctor_says_that_a_server_does_not_answer(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """And gives it up: MLflow by itself would ask for a quarter of an hour."""
    import_mlflow()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "30"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with FaultyProxy(0, mode) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.url)
        found = CHECKS["MLflow store"](workspace, False)
        assert found.level == "bad" and proxy.url in found.text and "\n" not in found.text
        assert "start that server" in found.mend
        assert 1 <= proxy.asked[mode] <= 2


@pytest.mark.chaos
@pytest.mark.parametrize("mode", FAULTS)
def test_a_training_ends_well_beside_a_faulty_server(
    project: Project, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through DVC: exit code 0, the same weights, one line; what was kept arrives later, once."""
    before = outs_of(project)
    project.pipeline("deliver")  # what a busy machine could not when the template was made
    [first] = project.runs()
    space, port = Workspace(project.root, project.root), free_port()
    monkeypatch.chdir(project.root)
    with Server(space, port), FaultyProxy(port, mode, delay=1.0) as proxy:
        project.env |= {"MLFLOW_TRACKING_URI": proxy.url}
        said = project.dvc("repro", "-f", "-s", "train")
        assert "Traceback" not in said and proxy.asked[mode] > 0
        assert outs_of(project) == before
        waiting = spool.spools(project.root / ".cache" / "spool")
        lines = [line for line in said.splitlines() if "the run is kept in" in line]
        about = [line for line in said.splitlines() if "MLflow:" in line or line in lines]
        assert len(lines) == len(waiting) <= 1 and len(about) <= 2, said
        assert waiting or mode in (SLOW, LOST)
        proxy.mode = PASS
        project.pipeline("deliver")
        project.pipeline("deliver")
        assert spool.spools(project.root / ".cache" / "spool") == []
    del project.env["MLFLOW_TRACKING_URI"]
    [_, run] = project.runs()
    assert run.info.run_id != first.info.run_id and run.info.status == "FINISHED"
    for key in ("train/loss", "train/lr"):
        old, new = (
            [(x.step, x.value) for x in project.client.get_metric_history(one.info.run_id, key)]
            for one in (first, run)
        )
        assert new == old
    models = [project.client.get_logged_model(one.model_id) for one in run.outputs.model_outputs]
    assert sorted(int(model.tags["step"]) for model in models) == [80, 160, 240, 320]
