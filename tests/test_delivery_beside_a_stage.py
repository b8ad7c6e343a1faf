"""Delivery while a stage still records: it never waits, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from local_store import (
    history,
    stored,
)
from mlflow_server import Server, free_port
from spooled import begin, content, wait_for, write

from pipeline import recording, spool
from pipeline.delivery import Delivery, deliver
from pipeline.params import from_document
from pipeline.recording import open_record
from pipeline.spool import Cursor
from pipeline.tracking_store import last_runs
from pipeline.workspace import Workspace


@pytest.fixture
def workspace(stored_workspace: Workspace) -> Workspace:
    return stored_workspace


# ------------------------------------------------------------------ while the stage runs


def test_a_stage_hands_its_run_over_and_knows_its_id_at_the_end(workspace: Workspace) -> None:
    with begin(workspace) as record:
        write(record, workspace.here, [10, 20])
    assert stored(workspace, record.run_id).info.status == "FINISHED"
    assert record.reference()["run_id"] == record.run_id != ""
    assert content(workspace)["checkpoints"][-1][0] == 20
    assert list(spool.home(workspace).iterdir()) == []


def test_a_killed_stage_leaves_a_killed_run_and_no_spool(workspace: Workspace) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from pipeline.params import Params
from pipeline.recording import open_record
from pipeline.workspace import Workspace
root = Path(sys.argv[1])
record = open_record(Workspace(root, root), Params())
for step in range(1, 51):
    record.log_metrics({"loss": 1.0}, step=step)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program, str(workspace.here)], check=False)
    assert done.returncode == -9
    wait_for(lambda: not list(spool.home(workspace).iterdir()))
    [run] = last_runs(workspace, 5)
    assert run.status == "KILLED" and len(history(workspace, run.run_id, "loss")) == 50


def test_a_server_that_stops_and_comes_back_misses_nothing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(recording, "END_SECONDS", 120.0)
    record = begin(workspace)  # no server yet
    write(record, workspace.here, [10])
    with Server(workspace, port):
        wait_for(lambda: record.run_id)
    write(record, workspace.here, [20])
    wait_for(lambda: Cursor.load(spool.home(workspace) / record.spool).problem)
    with Server(workspace, port):
        record.end()
        assert list(spool.home(workspace).iterdir()) == []
        found = content(workspace)
    assert found["status"] == "FINISHED"
    assert [x[:2] for x in found["metrics"]["train/loss"]] == [(10, 0.1), (20, 0.05)]
    assert [step for step, _ in found["checkpoints"]] == [10, 20]
    assert found["files"]["checkpoints/000000020/weights"] == b"weights of 20"


class SlowToEnd:
    """Stands for a delivery that has sent everything and takes its time to exit."""

    returncode: int | None = None

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        self.delivery = Delivery(workspace, folder)

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self.delivery.step()
            raise subprocess.TimeoutExpired("delivery", timeout or 0)
        return self.returncode

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self.returncode = -9


def test_what_was_sent_in_time_is_not_kept_although_its_delivery_was_stopped(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recording, "start_delivery", SlowToEnd)
    with begin(workspace) as record:
        write(record, workspace.here, [10])
    assert list(spool.home(workspace).iterdir()) == [] and "is kept" not in caplog.text
    assert content(workspace)["status"] == "FINISHED"


def test_a_server_out_of_reach_costs_nothing_but_the_wait_at_the_end(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(recording, "END_SECONDS", 0.2)
    with begin(workspace) as record:
        write(record, workspace.here, [10, 20])
    assert record.run_id == "" and "`pipeline deliver` hands it over" in caplog.text
    folder = spool.home(workspace) / record.spool
    assert record._sender is not None and record._sender.poll() is not None, (
        "nothing is left behind"
    )
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    deliver(workspace, folder)
    assert len(content(workspace)["checkpoints"]) == 2


def test_recording_asks_no_network_and_imports_no_mlflow(workspace: Workspace) -> None:
    """In the training's process: counted, not timed."""
    program = """
import socket, sys
from pathlib import Path
import numpy as np
from pipeline import recording
from pipeline.params import Params
from pipeline.workspace import Workspace
asked = []
socket.socket.connect = lambda *a: asked.append(a)
socket.getaddrinfo = lambda *a, **k: asked.append(a)
recording.END_SECONDS = 0.0
root = Path(sys.argv[1])
with recording.open_record(Workspace(root, root), Params()) as record:
    for step in range(1, 1001):
        record.log_metrics({"loss": 1.0}, step=step)
    record.log_image(np.zeros((8, 8, 3), np.uint8), "samples", 1000)
    record.flush()
print(len(asked), "mlflow" in sys.modules)
"""
    environment = os.environ | {"MLFLOW_TRACKING_URI": "http://192.0.2.1:5000"}  # nobody's
    done = subprocess.run(
        [sys.executable, "-c", program, str(workspace.here)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["0", "False"], done.stderr
    [folder] = spool.spools(spool.home(workspace))
    kinds = [event["do"] for event, _ in spool.read(folder)]
    assert kinds == ["open", *["metrics"] * 1000, "image", "end"]


def test_tracking_switched_off_leaves_nothing(tmp_path: Path) -> None:
    params = from_document({"tracking": {"enabled": False}})
    with open_record(Workspace(tmp_path, tmp_path), params) as record:
        record.log_dataset("dogs", "d", "here")
        record.log_metrics({"a": 1.0}, 1)
        record.log_image(np.zeros((8, 8, 3), np.uint8), "samples", 1)
        record.log_checkpoint(1, tmp_path, {})
        record.log_artifact(tmp_path, "x")
        record.log_table([{"a": 1}], "t.json")
        record.flush()
    assert record.run_id == "" and list(tmp_path.iterdir()) == []
