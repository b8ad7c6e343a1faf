"""One MLflow run: what can be written to it, and how it ends.

Metrics are buffered and written in batches (SQLite takes 50 to 100 times more that way). Whatever
is written again changes nothing: known steps are passed over, pictures keep their name,
checkpoints their step.
"""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import numpy as np
from PIL import Image

from pipeline.candidate import Candidate
from pipeline.ending import Ending
from pipeline.tracking_store import compare_link

FLUSH_ENTRIES = 1000  # the most that MLflow takes at once
FLUSH_SECONDS = 5.0
_LONGEST_PARAM = 6000  # MLflow refuses longer values
_DIGEST_LENGTH = 32  # ... and data set digests over 36
_TABLES = "mlflow.loggedArtifacts"  # what MLflow's page shows as tables
_THUMBNAIL = (256, 256)

logger = logging.getLogger(__name__)


class Run(Ending):
    """One MLflow run. As a context manager it ends FINISHED, FAILED or (by a signal) KILLED.

    Attributes:
        run_id: MLflow's id.
        url: its page in the UI (at the address ``pipeline ui`` serves by default).
        continued: whether this run existed before and is being written on.
        written: metric values that the store has taken.

    Args:
        strict: raise what the store does not take; else it costs a warning, never the training.
    """

    def __init__(
        self,
        client: Any,
        run_id: str,
        experiment_id: str,
        base: str,
        continued: bool = False,
        strict: bool = False,
    ) -> None:
        self.run_id = run_id
        self.experiment_id = experiment_id
        self.continued = continued
        self.written = 0
        self.url = compare_link(base, experiment_id, [run_id])
        self.uri = f"runs:/{run_id}"
        self._strict = strict
        self._client = client
        self._buffer: list[Any] = []
        self._flushed = time.monotonic()
        self._last: dict[str, int] = {}
        self._results: dict[str, float] | None = None  # by key: the last of the whole run
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
            texts = {key: text_of(value) for key, value in params.items()}
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
            entities = [RunTag(key, text_of(value)) for key, value in tags.items()]
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

    def log_metrics(
        self, metrics: Mapping[str, float], step: int | None = None, at: int | None = None
    ) -> None:
        """Buffer values at ``step`` (images seen, in training); None for a result of the whole run.

        Steps up to the last one of a key are skipped: MLflow appends, so a training that resumes
        from its last checkpoint would draw every curve twice. Values without a step are known by
        their time, ``at`` (milliseconds since 1970); one that is the run's last already, from a
        stage that was killed behind it, is not written again.
        """
        from mlflow.entities import Metric

        at = at or _now()
        for key, value in metrics.items():
            if step is not None:
                if key not in self._last:
                    self._last[key] = self.last_step(key) if self.continued else -1
                if step <= self._last[key]:
                    continue
                self._last[key] = step
            elif self._says(key, float(value)):
                continue
            self._buffer.append(Metric(key, float(value), at, step or 0))
        late = time.monotonic() - self._flushed > FLUSH_SECONDS
        if len(self._buffer) >= FLUSH_ENTRIES or late:
            self.flush()

    def _says(self, key: str, value: float) -> bool:
        """Whether ``value`` is the last that the run has of ``key``; from now on it is."""
        if self._results is None:
            self._results = {}
            if self.continued:
                with self._mishaps("metrics"):
                    self._results = dict(self._client.get_run(self.run_id).data.metrics)
        before = self._results.get(key)
        self._results[key] = value
        return repr(before) == repr(value)  # NaN too

    def flush(self) -> None:
        """Write the buffer. What the store does not take now is tried again at the next flush."""
        self._flushed = time.monotonic()
        with self._mishaps("metrics"):
            while self._buffer:
                batch = self._buffer[:FLUSH_ENTRIES]
                self._client.log_batch(self.run_id, metrics=batch)
                del self._buffer[: len(batch)]
                self.written += len(batch)

    def flush_singly(self, is_refusal: Callable[[Exception], bool]) -> list[str]:
        """Write the buffer value by value, leaving out what the store refuses: a line for each."""
        refused = []
        while self._buffer:
            try:
                self._client.log_batch(self.run_id, metrics=self._buffer[:1])
            except Exception as error:
                if not is_refusal(error):
                    raise
                refused.append(f"{self._buffer[0].key}: {str(error).splitlines()[0]}")
            del self._buffer[0]
        return refused

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
        with self._mishaps(f"image {key}"), tempfile.TemporaryDirectory() as folder:
            picture = Image.fromarray(image)
            small = picture.copy()
            small.thumbnail(_THUMBNAIL)
            # The names MLflow's page reads. Its own end in a time and a random number; equal ones
            # let a picture that is made again replace the older one, in any kind of store.
            unique = uuid5(NAMESPACE_OID, f"{key} {step}")
            name = f"{key.replace('/', '~')}+step+{step}+timestamp+1+{unique}"
            for form, file in ((picture, f"{name}.png"), (small, f"{name}+compressed.webp")):
                form.save(Path(folder) / file)
                self._client.log_artifact(self.run_id, str(Path(folder) / file), "images")
            self._client.set_tag(self.run_id, "mlflow.loggedImages", "True")

    def log_table(self, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        """Show ``rows`` as a table of the run, to filter and to compare with other runs'.

        Args:
            rows: equal keys, plain values.
            name: path of the artifact, as ``scrape/outcomes.json``.
        """
        columns = list(rows[0]) if rows else []
        table = {"columns": columns, "data": [list(row.values()) for row in rows]}
        shown = {"path": name, "type": "table"}
        with self._mishaps(f"table {name}"):
            # Not the client's log_table, which adds the rows to those that are there.
            self._client.log_dict(self.run_id, table, name)
            tags = self._client.get_run(self.run_id).data.tags
            tables = json.loads(tags.get(_TABLES, "[]"))
            if shown not in tables:
                self._client.set_tag(self.run_id, _TABLES, json.dumps([*tables, shown]))

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Copy a file into the run, under ``folder``."""
        with self._mishaps(f"artifact {path.name}"):
            self._client.log_artifact(self.run_id, str(path), folder or None)

    def log_checkpoint(
        self, step: int, path: Path, metrics: Mapping[str, float], at: int | None = None
    ) -> None:
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
            model = self._model_of(step) or self._client.create_logged_model(
                self.experiment_id,
                name=f"checkpoint-{step}",
                source_run_id=self.run_id,
                tags={"step": str(step), "path": place, "mlflow.model.isExternal": "true"},
                params={"step": str(step)},
                model_type="checkpoint",
            )
            self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
            at = at or _now()
            entries = [
                Metric(f"train/checkpoint_{key}", float(value), at, step, model_id=model.model_id)
                for key, value in metrics.items()
            ]
            self._client.log_batch(self.run_id, metrics=entries)
            # Last, because this is what says that the checkpoint is there.
            self._client.log_outputs(self.run_id, [LoggedModelOutput(model.model_id, step)])
            self._last["checkpoint"] = step

    def log_model(self, path: Path, candidate: Candidate, at: int | None = None) -> str:
        """Keep the model folder ``path`` as a version of the registered model.

        Returns:
            One line that says which version is the champion and why; empty if it failed.
        """
        from pipeline.registry import register  # which imports torch

        where = self.run_id, self.experiment_id
        with self._mishaps("the model"):
            self.flush()
            return register(self._client, *where, path, candidate, at or _now())
        return ""

    def _model_of(self, step: int) -> Any:
        """The checkpoint of ``step`` that an earlier delivery did not finish, or None."""
        if not self.continued:
            return None
        wanted = f"source_run_id = '{self.run_id}' AND name = 'checkpoint-{step}'"
        found = self._client.search_logged_models([self.experiment_id], filter_string=wanted)
        return found[0] if found else None

    def _last_checkpoint(self) -> int:
        if not self.continued:
            return -1
        outputs = self._client.get_run(self.run_id).outputs
        return max((item.step for item in outputs.model_outputs), default=-1) if outputs else -1

    # ------------------------------------------------------------------ how it ends

    def end(self, status: str = "FINISHED", at: int | None = None) -> None:
        """Flush and close the run as FINISHED, FAILED or KILLED. A second call does nothing."""
        if self._ended:
            return
        self._ended = True
        self.flush()
        with self._mishaps("the end of the run"):
            # A clock that went back must not leave a run that ends before it begins.
            begun = self._client.get_run(self.run_id).info.start_time
            end_time = max(at or _now(), begun)
            self._client.set_terminated(self.run_id, status=status, end_time=end_time)
        if self._buffer:
            logger.warning("MLflow: %d metric values could not be written", len(self._buffer))

    @contextlib.contextmanager
    def _mishaps(self, what: str) -> Iterator[None]:
        """A store that fails now (full disk, server gone) must not end hours of training."""
        from mlflow import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            if self._strict:
                raise
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            logger.warning("MLflow did not take %s: %s", what, reason)


def text_of(value: Any) -> str:
    """``value`` as MLflow keeps params and tags."""
    text = "null" if value is None else str(value)
    return text if len(text) <= _LONGEST_PARAM else text[: _LONGEST_PARAM - 1] + "…"


def _now() -> int:
    return int(time.time() * 1000)
