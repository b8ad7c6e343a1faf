"""The one door to MLflow: a run is opened, written to and closed here and nowhere else.

Metrics are buffered and written in batches (SQLite takes 50 to 100 times more that way), and a
store that fails in the middle of a run costs a warning, never the training.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from pipeline.errors import Interrupted
from pipeline.knobs import flatten
from pipeline.params import Params, to_dict
from pipeline.provenance import PROCESS_TAG, origin, run_name, this_process
from pipeline.tracking_store import (
    compare_link,
    import_mlflow,
    last_runs,
    open_store,
    relocate,
    ui_base,
    ui_command,
)
from pipeline.workspace import Workspace

__all__ = [
    "NullRun",
    "Run",
    "compare_link",
    "last_runs",
    "relocate",
    "start_run",
    "ui_command",
]

FLUSH_ENTRIES = 500
FLUSH_SECONDS = 5.0
_LONGEST_PARAM = 6000  # MLflow refuses longer values
_DIGEST_LENGTH = 32  # ... and data set digests over 36

logger = logging.getLogger(__name__)


class Run:
    """One MLflow run. As a context manager it ends FINISHED, FAILED or (by a signal) KILLED.

    Attributes:
        run_id: MLflow's id; empty where nothing is recorded.
        url: its page in the UI (at the address ``pipeline ui`` serves by default).
        continued: whether this run existed before and is being written on.
    """

    def __init__(
        self, client: Any, run_id: str, experiment_id: str, base: str, continued: bool = False
    ) -> None:
        self.run_id = run_id
        self.experiment_id = experiment_id
        self.continued = continued
        self.url = compare_link(base, experiment_id, [run_id]) if run_id else ""
        self.uri = f"runs:/{run_id}" if run_id else ""
        self._client = client
        self._buffer: list[Any] = []
        self._flushed = time.monotonic()
        self._last: dict[str, int] = {}
        self._ended = False

    def reference(self) -> dict[str, str]:
        """What ``models/run.json`` holds: enough to find the run again."""
        return {"run_id": self.run_id, "experiment_id": self.experiment_id}

    # ------------------------------------------------------------------ what a run is

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record values by dotted key. A key already there keeps its value: MLflow's params never
        change; a different value now is noted in the tag ``params.changed``."""
        from mlflow.entities import Param

        with self._mishaps("params"):
            known = self._client.get_run(self.run_id).data.params if self.continued else {}
            texts = {key: _text(value) for key, value in params.items()}
            new = [Param(key, value) for key, value in texts.items() if key not in known]
            for start in range(0, len(new), 100):
                self._client.log_batch(self.run_id, params=new[start : start + 100])
            changed = [
                f"{key}: {known[key]} -> {value}"
                for key, value in texts.items()
                if known.get(key, value) != value
            ]
            if changed:
                self.set_tags({"params.changed": "; ".join(changed)})

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        from mlflow.entities import RunTag

        with self._mishaps("tags"):
            entities = [RunTag(key, _text(value)) for key, value in tags.items()]
            self._client.log_batch(self.run_id, tags=entities)

    def log_dataset(self, name: str, digest: str, source: str, context: str = "training") -> None:
        """Record the data set the run read as its input."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        with self._mishaps("the data set"):
            where = json.dumps({"uri": source})
            data = Dataset(name, digest[:_DIGEST_LENGTH], "local", where)
            tag = InputTag("mlflow.data.context", context)
            self._client.log_inputs(self.run_id, [DatasetInput(data, [tag])])

    # ------------------------------------------------------------------ what it measures

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Buffer values at ``step`` (images seen, in training); None for a result of the whole run.

        In a continued run, steps the store already holds are skipped: MLflow appends, so a
        training that resumes from its last checkpoint would draw every curve twice.
        """
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        for key, value in metrics.items():
            if step is not None and self.continued:
                if key not in self._last:
                    self._last[key] = self.last_step(key)
                if step <= self._last[key]:
                    continue
            self._buffer.append(Metric(key, float(value), now, step or 0))
        late = time.monotonic() - self._flushed > FLUSH_SECONDS
        if len(self._buffer) >= FLUSH_ENTRIES or late:
            self.flush()

    def flush(self) -> None:
        """Write the buffer. What the store does not take now is tried again at the next flush."""
        self._flushed = time.monotonic()
        with self._mishaps("metrics"):
            while self._buffer:
                batch = self._buffer[:FLUSH_ENTRIES]
                self._client.log_batch(self.run_id, metrics=batch)
                del self._buffer[: len(batch)]

    def last_step(self, key: str) -> int:
        """The highest step recorded for ``key``, or -1."""
        self.flush()
        with self._mishaps("metrics"):
            history = self._client.get_metric_history(self.run_id, key)
            return max((entry.step for entry in history), default=-1)
        return -1

    # ------------------------------------------------------------------ what it makes

    def log_image(self, image: np.ndarray, key: str, step: int) -> None:
        """Show a picture under ``key`` with a slider over its steps, run beside run.

        Args:
            image: uint8, H×W×3.
            key: letters, digits and ``_-./``, as ``samples``.
            step: images seen.
        """
        with self._mishaps(f"image {key}"):
            old = self._images_at(key, step) if self.continued else []
            self._client.log_image(self.run_id, image, key=key, step=step)
            for path in old:  # resumed or evaluated again: the newer one replaces it
                path.unlink(missing_ok=True)

    def _images_at(self, key: str, step: int) -> list[Path]:
        """Files of the pictures under ``key`` at ``step``; none where artifacts are not local."""
        root = urlsplit(self._client.get_run(self.run_id).info.artifact_uri)
        if root.scheme not in ("", "file"):
            return []
        name = f"{key.replace('/', '~')}+step+{step}+"
        folder = Path(unquote(root.path)) / "images"
        return [path for path in folder.glob("*") if path.name.startswith(name)]

    def log_table(self, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        """Show ``rows`` as a table of the run, to filter and to compare with other runs'.

        Args:
            rows: equal keys, plain values.
            name: path of the artifact, as ``scrape/outcomes.json``.
        """
        columns = list(rows[0]) if rows else []
        data = {key: [row[key] for row in rows] for key in columns}
        with self._mishaps(f"table {name}"):
            tags = self._client.get_run(self.run_id).data.tags
            if name in tags.get("mlflow.loggedArtifacts", ""):  # MLflow would append to it
                split = {"columns": columns, "data": [list(row.values()) for row in rows]}
                self._client.log_dict(self.run_id, split, name)
            else:
                self._client.log_table(self.run_id, data, name)

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Copy a file into the run, under ``folder``."""
        with self._mishaps(f"artifact {path.name}"):
            self._client.log_artifact(self.run_id, str(path), folder or None)

    def log_checkpoint(self, step: int, path: Path, metrics: Mapping[str, float]) -> None:
        """Keep the model folder ``path`` as the checkpoint of ``step``.

        Its files become artifacts under ``checkpoints/<step>``, to sample from like any model; it
        shows under *Models* with its step, place and ``metrics``, which also appear in the run as
        ``train/checkpoint_<key>``.
        """
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric

        with self._mishaps("the checkpoint"):
            if step <= self._last.setdefault("checkpoint", self._last_checkpoint()):
                return
            self.flush()  # the curve up to a checkpoint is there before the checkpoint is
            folder = f"checkpoints/{step:09d}"
            self._client.log_artifacts(self.run_id, str(path), folder)
            place = f"runs:/{self.run_id}/{folder}"
            model = self._client.create_logged_model(
                self.experiment_id,
                name=f"checkpoint-{step}",
                source_run_id=self.run_id,
                tags={"step": str(step), "path": place, "mlflow.model.isExternal": "true"},
                params={"step": str(step)},
                model_type="checkpoint",
            )
            self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
            self._client.log_outputs(self.run_id, [LoggedModelOutput(model.model_id, step)])
            now = int(time.time() * 1000)
            entries = [
                Metric(f"train/checkpoint_{key}", float(value), now, step, model_id=model.model_id)
                for key, value in metrics.items()
            ]
            self._client.log_batch(self.run_id, metrics=entries)
            self._last["checkpoint"] = step

    def _last_checkpoint(self) -> int:
        if not self.continued:
            return -1
        outputs = self._client.get_run(self.run_id).outputs
        return max((item.step for item in outputs.model_outputs), default=-1) if outputs else -1

    # ------------------------------------------------------------------ how it ends

    def end(self, status: str = "FINISHED") -> None:
        """Flush and close the run as FINISHED, FAILED or KILLED. A second call does nothing."""
        if self._ended:
            return
        self._ended = True
        self.flush()
        with self._mishaps("the end of the run"):
            self._client.set_terminated(self.run_id, status=status)
        if self._buffer:
            logger.warning("MLflow: %d metric values could not be written", len(self._buffer))

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        if kind is None:
            self.end()
        else:
            killed = issubclass(kind, (Interrupted, KeyboardInterrupt))
            self.end("KILLED" if killed else "FAILED")

    @contextlib.contextmanager
    def _mishaps(self, what: str) -> Iterator[None]:
        """A store that fails now (full disk, server gone) must not end hours of training."""
        from mlflow import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            logger.warning("MLflow did not take %s: %s", what, reason)


class NullRun(Run):
    """A run that records nothing: tracking is off, or MLflow is not installed."""

    def __init__(self) -> None:
        super().__init__(None, "", "", "")

    def log_params(self, params: Mapping[str, Any]) -> None: ...
    def set_tags(self, tags: Mapping[str, Any]) -> None: ...
    def log_dataset(
        self, name: str, digest: str, source: str, context: str = "training"
    ) -> None: ...
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None: ...
    def flush(self) -> None: ...
    def log_image(self, image: np.ndarray, key: str, step: int) -> None: ...
    def log_table(self, rows: Sequence[Mapping[str, Any]], name: str) -> None: ...
    def log_artifact(self, path: Path, folder: str = "") -> None: ...
    def log_checkpoint(self, step: int, path: Path, metrics: Mapping[str, float]) -> None: ...
    def end(self, status: str = "FINISHED") -> None: ...

    def last_step(self, key: str) -> int:
        return -1


# --------------------------------------------------------------------------- opening a run


def start_run(
    workspace: Workspace,
    params: Params,
    *,
    name: str | None = None,
    tags: Mapping[str, Any] | None = None,
    run_id: str | None = None,
    parent_run_id: str | None = None,
) -> Run:
    """Open the run of this experiment, or go on with ``run_id``.

    Params are recorded flattened, each group by the stage it belongs to: ``evaluate.*`` only by
    the stage ``evaluate`` (``$DVC_STAGE`` or ``tags["stage"]``), the rest by whoever opens the run.
    If ``evaluate`` comes back to a run with other ``evaluate.*`` values, it gets a run of its own
    under that one, since MLflow's params never change.

    Returns:
        The run; ``.continued`` says whether ``run_id`` was still there and is written on.
        A ``NullRun`` if tracking is off or MLflow is not installed.
    """
    if not params.tracking.enabled:
        return NullRun()
    try:
        import_mlflow()
    except ImportError:
        logger.warning("mlflow is not installed: this run is not recorded")
        return NullRun()
    client, experiment_id = open_store(workspace, params.tracking.experiment)
    tags = dict(tags or {})
    stage = str(tags.pop("stage", "") or os.environ.get("DVC_STAGE", ""))
    values = _recorded(params, stage)
    about = origin(workspace, stage) | tags
    if run_id:
        known = _existing(client, run_id)
        if known is not None and not _evaluated_otherwise(known, values):
            run = Run(client, run_id, known.info.experiment_id, ui_base(workspace), continued=True)
            client.update_run(run_id, status="RUNNING")
            run.log_params(values)
            kept = {key: value for key, value in about.items() if key not in known.data.tags}
            run.set_tags(kept | tags | {PROCESS_TAG: this_process()})
            return run
        if known is not None:
            parent_run_id = parent_run_id or run_id
            values = _recorded(params, "")
    if parent_run_id:
        about["mlflow.parentRunId"] = parent_run_id
    made = client.create_run(experiment_id, run_name=name or run_name(workspace))
    run = Run(client, made.info.run_id, experiment_id, ui_base(workspace))
    run.set_tags(about | {PROCESS_TAG: this_process()})
    run.log_params(values)
    return run


def _recorded(params: Params, stage: str) -> dict[str, Any]:
    """The params a stage records: what shaped its result. ``tracking`` shapes none."""
    flat = flatten(to_dict(params))
    left_out: tuple[str, ...] = ("tracking.",)
    if stage == "train":
        left_out += ("evaluate.",)
    elif stage == "evaluate":  # train recorded the rest
        return {key: value for key, value in flat.items() if key.startswith("evaluate.")}
    return {key: value for key, value in flat.items() if not key.startswith(left_out)}


def _evaluated_otherwise(known: Any, values: Mapping[str, Any]) -> bool:
    return any(
        key.startswith("evaluate.") and known.data.params.get(key, _text(value)) != _text(value)
        for key, value in values.items()
    )


def _existing(client: Any, run_id: str) -> Any:
    """The run, or None if the store has it no more (deleted, or another store)."""
    from mlflow import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException:
        return None
    return run if run.info.lifecycle_stage == "active" else None


def _text(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= _LONGEST_PARAM else text[: _LONGEST_PARAM - 1] + "…"
