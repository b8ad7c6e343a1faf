"""MLflow's server as docs/scaling.md starts it: on PostgreSQL, with served files; both killed."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlparse

import postgres
import pytest
from mlflow_server import Server, documented, free_port
from spooled import begin, content, wait_for, write
from tiny_model import make_model

from pipeline import recording, spool
from pipeline.model_names import find_model
from pipeline.params import Params
from pipeline.recording import open_record
from pipeline.registry import Candidate, Result
from pipeline.spool import Cursor
from pipeline.tracking_store import last_runs
from pipeline.workspace import Workspace

CANDIDATE = Candidate(
    "dogs",
    {"eval/swd": 0.5},
    Result("swd", 0.5, 0.01, "lower"),
    {"sampler": "ddim", "steps": 3, "guidance": 1.5},
)


def test_two_runs_at_once_arrive_once_although_server_and_database_are_killed(
    database: postgres.Postgres,
    stored_workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workspace, files, port = stored_workspace, tmp_path / "served", free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(recording, "END_SECONDS", 120.0)
    command = documented(database.uri, files, port)
    with Server(workspace, port, command):
        records = [begin(workspace), begin(workspace)]
        for record in records:
            write(record, workspace.here, [10])
        wait_for(lambda: all(record.run_id for record in records))
    database.kill()
    for record in records:
        write(record, workspace.here, [20])
    cursors = [spool.home(workspace) / record.spool for record in records]
    wait_for(lambda: all(Cursor.load(folder).problem for folder in cursors))
    database.start()
    with Server(workspace, port, command):
        wait_for(lambda: not any(Cursor.load(folder).problem for folder in cursors))
        database.kill()  # under a server that lives and keeps its dead connections
        for record in records:
            write(record, workspace.here, [30])
        wait_for(lambda: all(Cursor.load(folder).problem for folder in cursors))
        database.start()
        for record in records:
            record.end()
        assert list(spool.home(workspace).iterdir()) == []
        runs = last_runs(workspace, 10)
        assert {run.run_id for run in runs} == {record.run_id for record in records}
        assert len(runs) == 2
        for run in runs:
            found = content(workspace, run.run_id)
            assert found["status"] == "FINISHED"
            for key in ("train/loss", "train/lr"):
                assert [entry[0] for entry in found["metrics"][key]] == [10, 20, 30], key
            assert [step for step, _ in found["checkpoints"]] == [10, 20, 30]
            for step in (10, 20, 30):
                weights = found["files"][f"checkpoints/{step:09}/weights"]
                assert weights == f"weights of {step}".encode()
        assert found["all models"] == 6

        make_model(workspace.models)
        with open_record(workspace, Params(), tags={"stage": "evaluate"}) as record:
            record.log_model(workspace.models, CANDIDATE)
        assert record.said == ["dogs version 1: swd 0.5 ± 0.01; it is the champion, as the first"]
        champion = find_model(workspace, "models:/dogs@champion")
        for name in ("model.json", "weights.safetensors"):
            assert (champion / name).read_bytes() == (workspace.models / name).read_bytes()
        assert not champion.is_relative_to(workspace.models)
    kept = [path.name for path in files.rglob("*") if path.is_file()]
    assert kept.count("weights") == 6 and "weights.safetensors" in kept
    assert unquote(urlparse(database.uri).path) == "/mlflow"  # and nothing went to SQLite
