"""The MLflow store itself: where it lies, opened safely, mended after a move, listed and linked.

``pipeline.tracking`` writes runs; this file is what it, ``pipeline ui``, ``pipeline compare`` and
``pipeline doctor`` share. MLflow takes seconds to import, so it is imported only where needed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

from pipeline.errors import PipelineError
from pipeline.provenance import PROCESS_TAG, is_dead
from pipeline.workspace import Workspace, waiting_lock

DEFAULT_PORT = 5000
_NOTE = (
    "One run an experiment: `train` opens it, `evaluate` adds its metrics to the same row. "
    "Sample grids by step are in the chart view, checkpoints under *Models*."
)


# Without these a server that takes a request and never answers is asked for a quarter of an hour.
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


def import_mlflow() -> ModuleType:
    """MLflow, with telemetry and its start-up chatter off, and with little patience. Raises
    ImportError where missing."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # importing mlflow sets it anew
    return mlflow


def database(workspace: Workspace) -> Path:
    """The default store's file. It lies in the main repository, also for queued experiments."""
    return workspace.mlruns / "mlflow.db"


def artifacts(workspace: Workspace) -> Path:
    return workspace.mlruns / "artifacts"


def store_uri(workspace: Workspace) -> str:
    """``$MLFLOW_TRACKING_URI``, or the SQLite store under ``mlruns/``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{database(workspace)}"


def is_own_store(workspace: Workspace) -> bool:
    return store_uri(workspace) == f"sqlite:///{database(workspace)}"


def open_store(workspace: Workspace, experiment: str) -> tuple[Any, str]:
    """A client for the store and the id of ``experiment``, made if it is not there yet.

    The lock is for the first use: two processes that both migrate a fresh SQLite file leave it
    broken for ever. The artifact location is explicit because MLflow's default is under the
    current directory, which DVC deletes after a queued experiment.

    Raises:
        PipelineError: the store cannot be opened.
        ImportError: MLflow is not installed.
    """
    mlflow = import_mlflow()
    uri = store_uri(workspace)
    try:
        with waiting_lock(workspace.mlruns / ".lock"):
            if is_own_store(workspace):
                _set_wal(database(workspace))
                relocate(workspace)
            client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
            return client, _experiment_id(client, experiment, uri, artifacts(workspace))
    except (mlflow.MlflowException, sqlite3.Error, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PipelineError(
            f"MLflow store {uri}: cannot be opened ({reason}); `pipeline doctor` looks closer, "
            "-S tracking.enabled=false runs without it"
        ) from error


@contextlib.contextmanager
def current_store(uri: str) -> Iterator[None]:
    """For those of MLflow's calls that take no client: ``uri`` as the store of the environment."""
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, uri))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _experiment_id(client: Any, name: str, uri: str, folder: Path) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        return found.experiment_id
    # A server keeps artifacts where its own configuration says.
    location = None if uri.startswith(("http://", "https://")) else (folder / name).as_uri()
    return client.create_experiment(
        name, artifact_location=location, tags={"mlflow.note.content": _NOTE}
    )


def _set_wal(path: Path) -> None:
    """Write-ahead logging stays on in the file: readers (the UI) no longer block the writer."""
    with contextlib.closing(sqlite3.connect(path, timeout=20)) as connection:
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode=wal")


# --------------------------------------------------------------------------- a moved repository

_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)


# What this project gives, as a URI, and where MLflow puts its own experiment, as a path.
_OURS = re.compile(r"((?:file://)?/(?:.*/)?mlruns/)(?:artifacts/|\d+$)")


def moved_from(workspace: Workspace) -> list[str]:
    """The ``mlruns/`` folders, other than this repository's, that the store points to.

    MLflow writes artifact locations as absolute paths: after the repository was moved or copied
    they name the old place, where nothing is listed and new pictures would go.
    """
    if not database(workspace).is_file():
        return []
    found = set()
    with contextlib.closing(sqlite3.connect(database(workspace), timeout=20)) as connection:
        for table, column in _present(connection):
            for (location,) in connection.execute(f"SELECT DISTINCT {column} FROM {table}"):
                match = _OURS.match(location or "")
                if match and match[1] != _beside(workspace, match[1]):
                    found.add(match[1])
    return sorted(found)


def _beside(workspace: Workspace, place: str) -> str:
    """This repository's ``mlruns/``, written as ``place`` is."""
    here = workspace.mlruns
    return f"{here.as_uri() if place.startswith('file:') else here}/"


def mend_after_move(workspace: Workspace) -> None:
    """``relocate`` the project's own store, beside other processes that may open it.

    Raises:
        PipelineError: it is no database, or may not be written.
    """
    try:
        if is_own_store(workspace) and moved_from(workspace):
            with waiting_lock(workspace.mlruns / ".lock"):
                relocate(workspace)
    except sqlite3.Error as error:
        raise PipelineError(
            f"{database(workspace)}: cannot be read ({error}); `pipeline doctor` looks closer"
        ) from None


def relocate(workspace: Workspace) -> list[str]:
    """Point artifact locations of a moved or copied repository at where they lie now.

    Only locations below a folder ``mlruns`` of this disk are touched.

    Returns:
        The places they pointed to before.
    """
    old = moved_from(workspace)
    if not old:
        return []
    # Entering the connection itself is one transaction: all tables or none.
    with (
        contextlib.closing(sqlite3.connect(database(workspace), timeout=20)) as connection,
        connection,
    ):
        for table, column in _present(connection):
            for place in old:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                    f"WHERE substr({column}, 1, ?) = ?",
                    (_beside(workspace, place), len(place) + 1, len(place), place),
                )
    return old


def _present(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    return [(table, column) for table, column in _LOCATIONS if table in names]


# --------------------------------------------------------------------------- runs of dead processes


def zombies(workspace: Workspace, end: bool = False) -> list[str]:
    """Names of runs that say RUNNING although their process is gone; ``end`` marks them KILLED."""
    client = import_mlflow().MlflowClient(tracking_uri=store_uri(workspace))
    ids = [item.experiment_id for item in client.search_experiments()]
    found = []
    for run in client.search_runs(ids, "attributes.status = 'RUNNING'", max_results=1000):
        if is_dead(run.data.tags.get(PROCESS_TAG, "")):
            found.append(run.info.run_name)
            if end:
                client.set_terminated(run.info.run_id, status="KILLED")
    return found


# --------------------------------------------------------------------------- looking at runs


@dataclass(frozen=True)
class RunSummary:
    """One row of the runs table. ``started`` is milliseconds since 1970."""

    run_id: str
    experiment_id: str
    name: str
    status: str
    started: int
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


def client_of(workspace: Workspace) -> Any:
    """A client for a store that is there already.

    Raises:
        PipelineError: there is no store yet.
        ImportError: MLflow is not installed.
    """
    if is_own_store(workspace) and not database(workspace).is_file():
        raise PipelineError(
            f"no runs yet: {database(workspace)} is made by the first training (`dvc repro`)"
        )
    uri = store_uri(workspace)
    return import_mlflow().MlflowClient(tracking_uri=uri, registry_uri=uri)


def last_runs(workspace: Workspace, n: int, experiment: str | None = None) -> list[RunSummary]:
    """The ``n`` newest runs, newest first, of one experiment or of all.

    Raises:
        PipelineError: there is no store yet.
    """
    client = client_of(workspace)
    experiments = client.search_experiments()
    ids = [item.experiment_id for item in experiments if experiment in (None, item.name)]
    if not ids:
        return []
    found = client.search_runs(ids, max_results=n, order_by=["attributes.start_time DESC"])
    return [
        RunSummary(
            run.info.run_id,
            run.info.experiment_id,
            run.info.run_name,
            run.info.status,
            run.info.start_time,
            dict(run.data.params),
            dict(run.data.metrics),
            dict(run.data.tags),
        )
        for run in found
    ]


def compare_link(base: str, experiment_ids: str | Sequence[str], run_ids: Sequence[str]) -> str:
    """The UI's compare page for ``run_ids``; its runs table for none, the run's page for one."""
    ids = (
        [experiment_ids] if isinstance(experiment_ids, str) else list(dict.fromkeys(experiment_ids))
    )
    base = base.rstrip("/")
    if not run_ids:
        return f"{base}/#/experiments/{ids[0]}/runs"
    if len(run_ids) == 1:
        return f"{base}/#/experiments/{ids[0]}/runs/{run_ids[0]}"
    runs, experiments = (quote(json.dumps(value)) for value in (list(run_ids), ids))
    return f"{base}/#/compare-runs?runs={runs}&experiments={experiments}"


def charts_link(base: str, experiment_id: str) -> str:
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs?compareRunsMode=CHART"


def ui_base(workspace: Workspace, port: int = DEFAULT_PORT, host: str = "127.0.0.1") -> str:
    """Address of the UI: the tracking server's where there is one, else the local one's."""
    uri = store_uri(workspace)
    return uri if uri.startswith(("http://", "https://")) else f"http://{host}:{port}"


def ui_command(workspace: Workspace, port: int, host: str = "127.0.0.1") -> list[str]:
    """The command line of the MLflow UI on this store."""
    return [
        sys.executable, "-m", "mlflow", "server",
        "--backend-store-uri", store_uri(workspace),
        "--default-artifact-root", artifacts(workspace).as_uri(),
        "--host", host, "--port", str(port), "--workers", "1",
    ]  # fmt: skip


def ui_environment() -> dict[str, str]:
    """Environment for ``ui_command``: no telemetry, none of the job workers it would start."""
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return {**os.environ, **quiet}
