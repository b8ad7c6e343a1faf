"""What a name of a model means: a folder, a run, a checkpoint, ``models:/dogs@champion``."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from pipeline.errors import PipelineError
from pipeline.workspace import Workspace, fingerprint, waiting_lock

if TYPE_CHECKING:
    from pipeline.tracking_store import RunSummary

INFO = "model.json"
# Where a folder of MLflow's holds the model's own: a training's run, the final model's pyfunc.
_INSIDE = ("", "model", "artifacts/model")
_VERSION = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<number>\d+|latest))$")
_LOGGED = re.compile(r"models:/(?P<id>m-[0-9a-f]+)$")
_RUN = re.compile(r"runs:/(?P<id>[0-9a-f]{32})(?:/(?P<path>.+))?$")


def find_model(workspace: Workspace, name: str | None) -> Path:
    """The folder with model.json and weights that ``name`` means; None: ``models/``.

    Args:
        name: a folder; a run's id, the start of one or its name; ``runs:/ID``,
            ``runs:/ID/checkpoints/…``; ``models:/dogs@champion``, ``models:/dogs/3``,
            ``models:/m-…``. What lies on a server is copied to ``.cache/models`` first.

    Raises:
        PipelineError: there is no such thing, or no model in it.
    """
    if name is None or (Path(name) / INFO).is_file():
        folder = workspace.models if name is None else Path(name)
        if not (folder / INFO).is_file():
            raise PipelineError(f"{folder}: no trained model here; `dvc repro` makes one")
        return folder
    if Path(name).is_dir():
        raise PipelineError(f"{name}: no trained model here ({INFO} is missing)")
    if "/" in name.replace(":/", "") and not name.startswith(("models:", "runs:")):
        raise PipelineError(f"{name}: no such folder")
    from pipeline import tracking_store as store

    try:
        client = store.client_of(workspace)
        store.mend_after_move(workspace)  # else a copy would read from the original
    except ImportError:
        raise PipelineError(f"{name}: no such folder, and MLflow is not installed") from None
    from mlflow import MlflowException

    try:
        return _inside(_folder_of(workspace, client, name), name)
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise PipelineError(f"{name}: MLflow has no such model: {reason}") from None


def _inside(folder: Path, name: str) -> Path:
    for place in _INSIDE:
        if (folder / place / INFO).is_file():
            return folder / place
    raise PipelineError(f"{name}: there is no {INFO} in it, so it is no model of this project")


def _folder_of(workspace: Workspace, client: Any, name: str) -> Path:
    if match := _VERSION.match(name):
        found = version_of(client, **match.groupdict())
        return _source(workspace, client, found.source)
    if name.startswith("models:") and not _LOGGED.match(name):
        raise PipelineError(
            f"{name}: expected models:/NAME@ALIAS, models:/NAME/VERSION or models:/m-…"
        )
    if name.startswith(("models:", "runs:")):
        return _source(workspace, client, name)
    return _source(workspace, client, f"runs:/{run_named(workspace, name).run_id}/model")


def version_of(client: Any, name: str, alias: str | None, number: str | None) -> Any:
    """The version of the registered model ``name``.

    Raises:
        PipelineError: it has none of that number or alias.
    """
    versions = client.search_model_versions(f"name = '{name}'")
    if not versions:
        known = ", ".join(model.name for model in client.search_registered_models())
        raise PipelineError(
            f"models:/{name}: no registered model of that name; there are: {known or 'none'} "
            "(`dvc repro evaluate` registers one)"
        )
    aliases = dict(client.get_registered_model(name).aliases)
    numbers = {str(version.version): version for version in versions}
    wanted = number
    if alias is not None:
        if alias not in aliases:
            raise PipelineError(
                f"models:/{name}@{alias}: no such alias; there are: {', '.join(aliases) or 'none'}"
            )
        wanted = str(aliases[alias])
    elif number == "latest":
        wanted = max(numbers, key=int)
    if wanted not in numbers:
        known = ", ".join(sorted(numbers, key=int))
        raise PipelineError(f"models:/{name}/{wanted}: no such version; there are: {known}")
    return numbers[str(wanted)]


def run_named(workspace: Workspace, text: str) -> RunSummary:
    """The newest run named ``text`` or whose id starts with it.

    Raises:
        PipelineError: there is none.
    """
    from pipeline.tracking_store import last_runs

    known = last_runs(workspace, 1000)
    for run in known:
        if run.name == text or (len(text) >= 4 and run.run_id.startswith(text)):
            return run
    names = ", ".join(dict.fromkeys(run.name for run in known[:8])) or "none"
    raise PipelineError(
        f"{text}: no such folder, and no run of that name or id; last runs: {names}"
    )


# --------------------------------------------------------------------------- artifacts


def _source(workspace: Workspace, client: Any, uri: str) -> Path:
    """The folder that ``runs:/…`` or ``models:/m-…`` means, on this disk."""
    if match := _LOGGED.match(uri):
        model = client.get_logged_model(match["id"])
        # A checkpoint: its files are artifacts of the run.
        if _RUN.match(str(model.tags.get("path", ""))):
            return _source(workspace, client, model.tags["path"])
        return _local(workspace, client, uri, model.artifact_location)
    match = _RUN.match(uri)
    if not match:
        raise PipelineError(f"{uri}: expected runs:/ID or runs:/ID/PATH, with an id of 32 digits")
    base = client.get_run(match["id"]).info.artifact_uri
    path = match["path"] or "model"
    if ".." in Path(path).parts:
        raise PipelineError(f"{uri}: a path outside the run")
    return _local(workspace, client, f"runs:/{match['id']}/{path}", f"{base.rstrip('/')}/{path}")


def _local(workspace: Workspace, client: Any, uri: str, location: str) -> Path:
    """``location`` if it is on this disk, else a copy of ``uri`` in the cache."""
    parsed = urlparse(location)
    if parsed.scheme in ("", "file"):
        folder = Path(unquote(parsed.path))
        if not folder.is_dir():
            raise PipelineError(f"{uri}: nothing is at {folder}")
        return folder
    from pipeline.tracking_store import current_store, import_mlflow

    folder = workspace.cache / "models" / fingerprint([client.tracking_uri, uri])[:16]
    with waiting_lock(folder.with_suffix(".lock")):
        if not folder.is_dir():
            coming = folder.with_suffix(".part")
            shutil.rmtree(coming, ignore_errors=True)
            with current_store(client.tracking_uri):
                mlflow = import_mlflow()
                got = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(coming))
            Path(got).rename(folder)
            shutil.rmtree(coming, ignore_errors=True)
    return folder
