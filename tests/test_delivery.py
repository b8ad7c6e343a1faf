"""From a spool to a real MLflow store: once, however often it dies on the way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from local_store import (
    client_of,
    history,
    workspace_with,
)
from PIL import Image
from spooled import begin, content, training, write

from pipeline import delivery, recording, spool
from pipeline.delivery import SPOOL_TAG, deliver
from pipeline.errors import PipelineError
from pipeline.params import from_document
from pipeline.recording import open_record
from pipeline.spool import Cursor
from pipeline.tracking_store import last_runs, zombies
from pipeline.workspace import Workspace, exclusive


@pytest.fixture
def workspace(stored_workspace: Workspace) -> Workspace:
    return stored_workspace


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process delivers what a record writes."""
    monkeypatch.setattr(recording, "start_delivery", lambda *_: None)


# ------------------------------------------------------------------ one delivery


def test_a_run_arrives_with_all_that_was_recorded(workspace: Workspace, alone: None) -> None:
    folder = training(workspace)
    sent = deliver(workspace, folder)
    assert not folder.exists(), "a delivered spool is removed"
    assert sent.counts == {
        "metric value": 5, "image": 2, "checkpoint": 2, "artifact": 1, "table": 1, "dataset": 1,
    }  # fmt: skip
    assert "5 metric values, " in str(sent) and not sent.refused
    found = content(workspace)
    assert found["status"] == "FINISHED" and found["tags"][SPOOL_TAG] == folder.name
    assert found["params"]["seed"] == "3" and "evaluate.steps" not in found["params"]
    assert [x[:2] for x in found["metrics"]["train/loss"]] == [(10, 0.1), (20, 0.05)]
    assert [step for step, _ in found["checkpoints"]] == [10, 20]
    assert found["files"]["checkpoints/000000010/weights"] == b"weights of 10"
    assert found["files"]["model/weights"] == b"weights of 20"
    [picture] = [name for name in found["files"] if "+step+20+" in name and name.endswith("png")]
    [row] = last_runs(workspace, 1)
    with Image.open(client_of(workspace).download_artifacts(row.run_id, picture)) as image:
        assert image.getpixel((0, 0)) == (20, 20, 20)
    assert sent.url.endswith(row.run_id)


def test_delivered_twice_from_copies_elsewhere_is_delivered_once(
    workspace: Workspace, alone: None, tmp_path: Path
) -> None:
    folder = training(workspace)
    copies = [tmp_path / where / folder.name for where in ("usb stick", "mail")]
    for copy in copies:
        shutil.copytree(folder, copy)
    deliver(workspace, copies[0])
    once = content(workspace)
    assert deliver(workspace, copies[1]).counts["metric value"] == 0
    deliver(workspace, folder)
    assert content(workspace) == once


class Killed(BaseException):
    """Where the process dies: nothing of it is caught on the way."""


STORE_CALLS = (
    "create_run", "update_run", "log_batch", "log_inputs", "log_artifact", "log_artifacts",
    "create_logged_model", "finalize_logged_model", "log_outputs", "set_tag", "log_dict",
    "set_terminated",
)  # fmt: skip


@pytest.mark.parametrize("anew", [True, False])
def test_dying_after_any_single_step_changes_nothing(
    anew: bool, workspace: Workspace, alone: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every call to the store, every note of the cursor: each is once the last thing done.

    Then it goes on by its cursor, or all over again from a copy of the spool.
    """
    folder = training(workspace, [10])
    second = workspace_with(workspace.mlruns, tmp_path / "undisturbed")
    copies = [tmp_path / name / folder.name for name in ("one", "two")]
    for copy in copies:
        shutil.copytree(folder, copy)
    deliver(second, copies[0])

    left = [0]

    def dying(function: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            result = function(*args, **more)
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return result

        return call

    client = delivery.import_mlflow().MlflowClient
    for name in STORE_CALLS:
        monkeypatch.setattr(client, name, dying(getattr(client, name)))
    monkeypatch.setattr(Cursor, "save", dying(Cursor.save))
    deaths = 0
    while True:
        left[0] = deaths + 1
        try:
            deliver(workspace, folder)
            break
        except Killed:
            deaths += 1
            if anew:
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(copies[1], folder)
    assert deaths > (15 if anew else 5)
    died, undisturbed = content(workspace), content(second)
    assert died == undisturbed


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from pipeline import delivery
from pipeline.spool import Cursor
from pipeline.workspace import Workspace
folder, root = map(Path, sys.argv[1:])
for number in range(1, 100):
    child = os.fork()  # mlflow is imported once for all
    if child == 0:
        left, save = [number], Cursor.save
        def dies_between_sending_and_saving(self, folder):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            save(self, folder)
        Cursor.save = dies_between_sending_and_saving
        delivery.deliver(Workspace(root, root), folder)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code, flush=True)
    if code == 0:
        break
"""


def test_killed_between_sending_and_noting_it(workspace: Workspace, alone: None) -> None:
    folder = training(workspace, [10])
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT, str(folder), str(workspace.here)],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    codes = [int(line) for line in done.stdout.split()]
    assert codes[-1] == 0 and set(codes[:-1]) == {-9} and len(codes) >= 4, done.stderr
    found = content(workspace)
    assert found["status"] == "FINISHED" and found["all models"] == 1
    assert [x[:2] for x in found["metrics"]["train/loss"]] == [(10, 0.1)]
    assert len(found["metrics"]["result"]) == 1


def test_two_deliverers_do_not_interfere(workspace: Workspace, alone: None) -> None:
    folder = training(workspace)
    with (
        exclusive(folder / spool.LOCK, "the delivery"),
        pytest.raises(PipelineError, match="already running"),
    ):
        deliver(workspace, folder)
    deliver(workspace, folder)


# ------------------------------------------------------------------ stopped and resumed


def test_a_resumed_training_goes_on_with_its_run(workspace: Workspace, alone: None) -> None:
    """Delivered between or not: one run, no step doubled, and the older value stays."""
    with pytest.raises(KeyboardInterrupt), begin(workspace) as record:
        write(record, workspace.here, [10, 20])
        raise KeyboardInterrupt
    folder = spool.home(workspace) / record.spool
    deliver(workspace, folder)
    assert content(workspace)["status"] == "KILLED" and not folder.exists()

    again = begin(workspace, record.spool)
    again.log_metrics({"train/loss": 9.0, "train/lr": 0.1}, step=20)
    write(again, workspace.here, [20, 30])
    again._journal.close()  # and then it is killed
    with begin(workspace, record.spool) as last:
        write(last, workspace.here, [30, 40])
    deliver(workspace, folder)
    found = content(workspace)
    assert found["status"] == "FINISHED"
    assert [x[:2] for x in found["metrics"]["train/loss"]] == [
        (step, 1 / step) for step in (10, 20, 30, 40)
    ]
    assert [step for step, _ in found["checkpoints"]] == [10, 20, 30, 40]
    assert len([name for name in found["files"] if name.startswith("images/")]) == 4 * 2
    assert found["data"] == ["ab" * 16]


def test_a_run_whose_process_died_is_killed_not_running(workspace: Workspace, alone: None) -> None:
    record = begin(workspace)
    record.log_metrics({"train/loss": 1.0}, step=1)
    folder = spool.home(workspace) / record.spool
    deliver(workspace, folder)
    assert content(workspace)["status"] == "RUNNING" and folder.exists(), "it still writes"
    record._journal.close()
    with (folder / spool.EVENTS).open("ab") as file:
        file.write(b'{"do": "metrics", "val')  # torn
    deliver(workspace, folder)
    assert content(workspace)["status"] == "KILLED" and zombies(workspace) == []


def test_a_finished_run_is_not_taken_for_dead(workspace: Workspace, alone: None) -> None:
    """Killed after the last note and before the spool was removed."""
    folder = training(workspace)
    work = delivery.Delivery(workspace, folder)
    work.step()
    deliver(workspace, folder)
    assert content(workspace)["status"] == "FINISHED"


def test_an_evaluation_finds_the_run_that_is_not_delivered_yet(
    workspace: Workspace, alone: None
) -> None:
    folder = training(workspace)
    reference = {"run_id": "", "spool": folder.name}
    places = []
    for steps in (18, 50):
        params = from_document({"seed": 3, "evaluate": {"steps": steps}})
        with open_record(workspace, params, of=reference, tags={"stage": "evaluate"}) as row:
            row.log_metrics({"eval/swd": 2.0})
        places.append(spool.home(workspace) / row.spool)
    deliver(workspace, places[0])  # the training's goes first by itself
    assert not folder.exists()
    found = content(workspace)
    assert found["params"]["evaluate.steps"] == "18" and "eval/swd" in found["metrics"]
    deliver(workspace, places[1])
    child, trained = last_runs(workspace, 5)
    assert child.tags["mlflow.parentRunId"] == trained.run_id
    assert child.params["evaluate.steps"] == "50"


def test_an_evaluation_killed_at_its_end_and_made_again_is_there_once(
    workspace: Workspace, alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the delivery of the killed one, if it comes last, does not call the run KILLED."""
    deliver(workspace, training(workspace))
    [trained] = last_runs(workspace, 5)
    places = []
    for process, swd in (("one", 2.0), ("two", 2.0), ("three", 4.0)):
        monkeypatch.setattr("pipeline.tracking.this_process", lambda name=process: name)
        params, of = from_document({"seed": 3}), {"run_id": trained.run_id}
        row = open_record(workspace, params, of=of, tags={"stage": "evaluate"})
        row.log_metrics({"eval/swd": swd, "eval/kid": float("nan")})
        if process != "one":
            row.end()
        row._journal.close()
        places.append(spool.home(workspace) / row.spool)
    slow = delivery.Delivery(workspace, places[0])
    slow.step()
    deliver(workspace, places[1])
    slow.close_dead()
    assert content(workspace)["status"] == "FINISHED"
    assert len(history(workspace, trained.run_id, "eval/swd")) == 1
    deliver(workspace, places[2])  # another result is another result
    assert [value for _, value in history(workspace, trained.run_id, "eval/swd")] == [2.0, 4.0]
    assert len(history(workspace, trained.run_id, "eval/kid")) == 1


# ------------------------------------------------------------------ stores that fail


def test_an_event_that_mlflow_refuses_does_not_keep_back_the_others(
    workspace: Workspace, alone: None
) -> None:
    with begin(workspace) as record:
        record.log_metrics({"a": 1.0, "not/../allowed": 2.0, "b": float("nan")}, step=1)
        record.log_image(np.zeros((8, 8, 3), np.uint8), "samples", 1)
        record.log_image(np.zeros((8, 8, 3), np.uint8), "samples", 2)
        record.log_metrics({"a": 0.5}, step=2)
    folder = spool.home(workspace) / record.spool
    pictures = sorted((folder / spool.FILES).rglob("*.png"), key=os.path.getmtime)
    pictures[0].write_bytes(b"half a picture")
    pictures[1].unlink()
    sent = deliver(workspace, folder)
    assert len(sent.refused) == 3, sent.refused
    found = content(workspace)
    assert [x[:2] for x in found["metrics"]["a"]] == [(1, 1.0), (2, 0.5)] and "b" in found[
        "metrics"
    ]
    assert found["status"] == "FINISHED"


def test_a_store_that_fails_is_said_and_the_rest_is_sent_the_next_time(
    workspace: Workspace, alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = training(workspace)
    with monkeypatch.context() as broken:
        broken.setattr(delivery.Run, "log_checkpoint", fail)
        with pytest.raises(PipelineError, match="not delivered, and kept: no route to host"):
            deliver(workspace, folder)
    assert Cursor.load(folder).problem == "no route to host"
    deliver(workspace, folder)
    assert [step for step, _ in content(workspace)["checkpoints"]] == [10, 20]


def fail(*_: Any, **__: Any) -> None:
    raise OSError("no route to host")


def test_a_run_that_was_deleted_meanwhile_is_made_anew(workspace: Workspace, alone: None) -> None:
    folder = training(workspace)
    delivery.Delivery(workspace, folder).step()
    [row] = last_runs(workspace, 5)
    client_of(workspace).delete_run(row.run_id)
    deliver(workspace, folder)
    [new] = last_runs(workspace, 5)
    assert new.run_id != row.run_id and new.status == "FINISHED"
    assert history(workspace, new.run_id, "train/loss") == [(10, 0.1), (20, 0.05)]


def test_a_forged_spool_reads_no_file_outside_of_itself(workspace: Workspace, alone: None) -> None:
    (workspace.here / "secret").write_text("not yours")
    record = begin(workspace)
    record.flush()
    folder = spool.home(workspace) / record.spool
    event = {"do": "artifact", "at": 1, "file": "../../../secret", "folder": "stolen"}
    with (folder / spool.EVENTS).open("a") as file:
        file.write(json.dumps(event) + "\n")
    sent = deliver(workspace, folder)
    assert sent.refused == ["artifact: ../../../secret lies outside of the spool"]
    assert (workspace.here / "secret").read_text() == "not yours"
    assert not any("secret" in path for path in content(workspace)["files"])
