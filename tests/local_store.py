"""A real MLflow store on SQLite, and what tests read from it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.params import Params
from pipeline.tracking import Run, describe, enter_run
from pipeline.tracking_store import import_mlflow, open_store, relocate, store_uri, ui_base
from pipeline.workspace import Workspace


def forget_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)


def empty_store(folder: Path) -> Path:
    """A migrated, empty store: the migration takes seconds, a copy of it none."""
    workspace = Workspace(folder, folder)
    open_store(workspace, "dogs")
    return workspace.mlruns


def workspace_with(store: Path, folder: Path) -> Workspace:
    shutil.copytree(store, folder / "mlruns")
    workspace = Workspace(folder, folder)
    relocate(workspace)  # else a server on it would write into the copied one
    return workspace


def client_of(workspace: Workspace) -> Any:
    return import_mlflow().MlflowClient(store_uri(workspace))


def stored(workspace: Workspace, run_id: str) -> Any:
    return client_of(workspace).get_run(run_id)


def history(workspace: Workspace, run_id: str, key: str) -> list[tuple[int, float]]:
    found = client_of(workspace).get_metric_history(run_id, key)
    return [(entry.step, entry.value) for entry in found]


def start_run(workspace: Workspace, params: Params, **how: Any) -> Run:
    """A run in the store itself, without a spool between: ``tags``, ``name``, ``run_id``."""
    client, experiment_id = open_store(workspace, params.tracking.experiment)
    about = describe(workspace, params, how.get("tags"), how.get("name"))
    return enter_run(client, experiment_id, ui_base(workspace), about, run_id=how.get("run_id"))
