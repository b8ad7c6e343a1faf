"""A recorded training in a spool, and all that a real MLflow store holds of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from local_store import (
    client_of,
)

from pipeline import spool
from pipeline.params import Params
from pipeline.recording import Record, open_record
from pipeline.tracking_store import last_runs
from pipeline.workspace import Workspace


def begin(workspace: Workspace, name: str = "") -> Record:
    return open_record(workspace, Params(seed=3), name=name, tags={"stage": "train"})


def write(record: Record, folder: Path, steps: list[int]) -> None:
    """What a training records at these steps."""
    snapshot = folder / "snapshot"
    snapshot.mkdir(exist_ok=True)
    record.log_dataset("dogs", "ab" * 32, "data/dataset")
    for step in steps:
        record.log_metrics({"train/loss": 1 / step, "train/lr": 0.1}, step=step)
        record.log_image(np.full((8, 8, 3), step, np.uint8), "samples", step)
        (snapshot / "weights").unlink(missing_ok=True)
        (snapshot / "weights").write_text(f"weights of {step}")
        record.log_checkpoint(step, snapshot, {"loss": 1 / step})


def training(workspace: Workspace, steps: list[int] = [10, 20]) -> Path:  # noqa: B006
    """The spool of a finished training that nothing has delivered."""
    with begin(workspace) as record:
        write(record, workspace.here, steps)
        record.log_metrics({"result": 7.0})
        record.log_table([{"breed": "pug", "failed": 3}], "scrape/outcomes.json")
        record.log_artifact(workspace.here / "snapshot" / "weights", "model")
    return spool.home(workspace) / record.spool


def content(workspace: Workspace, run_id: str = "") -> dict[str, Any]:
    """Everything a run in the store holds, the only one or ``run_id``, without its random ids."""
    [row] = [run for run in last_runs(workspace, 10) if run_id in ("", run.run_id)]
    client = client_of(workspace)
    run = client.get_run(row.run_id)
    models = [client.get_logged_model(item.model_id) for item in run.outputs.model_outputs]
    found = client.search_logged_models([row.experiment_id])
    files = artifacts(client, row.run_id)
    return {
        "status": row.status,
        "times": (run.info.start_time, run.info.end_time),
        "params": row.params,
        "tags": {k: v for k, v in row.tags.items() if k != "mlflow.runName"},
        "metrics": {
            key: [
                (m.step, m.value, m.timestamp) for m in client.get_metric_history(row.run_id, key)
            ]
            for key in row.metrics
        },
        "checkpoints": sorted(
            (int(m.tags["step"]), sorted((x.key, x.value, x.step) for x in m.metrics))
            for m in models
        ),
        "all models": len(found),
        "data": [item.dataset.digest for item in run.inputs.dataset_inputs],
        "files": {path: file_content(client, row.run_id, path) for path in files},
    }


def file_content(client: Any, run_id: str, path: str) -> Any:
    data = Path(client.download_artifacts(run_id, path)).read_bytes()
    return json.loads(data) if path.endswith(".json") else data  # spaces do not count


def artifacts(client: Any, run_id: str, folder: str = "") -> list[str]:
    found = []
    for item in client.list_artifacts(run_id, folder or None):
        found += artifacts(client, run_id, item.path) if item.is_dir else [item.path]
    return sorted(found)


def wait_for(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
