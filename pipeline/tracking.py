"""The one door to MLflow: a run is described and opened here and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pipeline.knobs import flatten
from pipeline.params import Params, to_dict
from pipeline.provenance import PROCESS_TAG, origin, run_name, this_process
from pipeline.tracking_run import FLUSH_ENTRIES, Run, text_of
from pipeline.tracking_store import (
    compare_link,
    last_runs,
    relocate,
    ui_command,
)
from pipeline.workspace import Workspace

__all__ = [
    "FLUSH_ENTRIES",
    "Run",
    "compare_link",
    "describe",
    "enter_run",
    "existing",
    "last_runs",
    "relocate",
    "ui_command",
]


def describe(
    workspace: Workspace,
    params: Params,
    tags: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    """All that opens a run, as plain JSON; needs neither MLflow nor a network.

    Args:
        tags: of the run; ``stage`` (or ``$DVC_STAGE``) is the stage that records.
    """
    tags = dict(tags or {})
    stage = str(tags.pop("stage", "") or os.environ.get("DVC_STAGE", ""))
    flat = flatten(to_dict(params))
    return {
        "name": name or run_name(workspace),
        "experiment": params.tracking.experiment,
        "stage": stage,
        "params": {k: text_of(v) for k, v in flat.items() if not k.startswith("tracking.")},
        "origin": origin(workspace, stage),
        "tags": {k: text_of(v) for k, v in tags.items()} | {PROCESS_TAG: this_process()},
    }


def enter_run(
    client: Any,
    experiment_id: str,
    base: str,
    about: Mapping[str, Any],
    *,
    run_id: str | None = None,
    created: Mapping[str, Any] | None = None,
    strict: bool = False,
) -> Run:
    """Make the run that ``about`` (see ``describe``) is about, or go on with ``run_id``.

    Params are recorded flattened, each group by the stage it belongs to: ``evaluate.*`` only by
    the stage ``evaluate``, the rest by whoever opens the run. If ``evaluate`` comes back to a run
    with other ``evaluate.*`` values, it gets a run of its own under that one, since MLflow's
    params never change.

    Args:
        base: address of the UI.
        created: ``start_time`` and ``tags`` that a new run has from its first moment.
        strict: as in ``Run``.

    Returns:
        The run; ``.continued`` says whether ``run_id`` was still there and is written on.
    """
    values = _of_stage(about["params"], about["stage"])
    known = existing(client, run_id) if run_id else None
    if known is not None and not _evaluated_otherwise(known, values):
        found = known.info
        run = Run(client, found.run_id, found.experiment_id, base, continued=True, strict=strict)
        client.update_run(found.run_id, status="RUNNING")
        run.log_params(values)
        kept = {k: v for k, v in about["origin"].items() if k not in known.data.tags}
        run.set_tags(kept | about["tags"])
        return run
    tags = dict(about["origin"]) | about["tags"]
    if known is not None:
        tags["mlflow.parentRunId"] = run_id
        values = _of_stage(about["params"], "")
    made = client.create_run(experiment_id, run_name=about["name"], **(created or {}))
    run = Run(client, made.info.run_id, experiment_id, base, strict=strict)
    run.set_tags(tags)
    run.log_params(values)
    return run


def _of_stage(params: Mapping[str, str], stage: str) -> dict[str, str]:
    """The params a stage records: what shaped its result."""
    if stage == "evaluate":  # train recorded the rest
        return {key: value for key, value in params.items() if key.startswith("evaluate.")}
    if stage == "train":
        return {key: value for key, value in params.items() if not key.startswith("evaluate.")}
    return dict(params)


def _evaluated_otherwise(known: Any, values: Mapping[str, str]) -> bool:
    return any(
        key.startswith("evaluate.") and known.data.params.get(key, value) != value
        for key, value in values.items()
    )


def existing(client: Any, run_id: str) -> Any:
    """The run, or None if the store has it no more (deleted, or another store)."""
    from mlflow import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return run if run.info.lifecycle_stage == "active" else None
