"""What a stage records of its run: written to a spool here, sent to MLflow by another process.

The stage never waits for MLflow, and needs neither MLflow nor a network: what was not delivered
when it ends stays in ``.cache/spool`` for ``pipeline deliver``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline import spool
from pipeline.candidate import Candidate
from pipeline.ending import Ending
from pipeline.errors import PipelineError, refused
from pipeline.params import Params
from pipeline.spool import Cursor, Journal
from pipeline.tracking import describe
from pipeline.workspace import Workspace

# How long the end of a run waits for its delivery: a finished one, and one that was stopped,
# where a person or a scheduler waits for the process.
END_SECONDS = 30.0
STOP_SECONDS = 10.0
_SILENT_SECONDS = 3.0

logger = logging.getLogger(__name__)


class Record(Ending):
    """One run, as a stage writes it. As a context manager it ends FINISHED, FAILED or KILLED.

    A spool that cannot be written (full disk) costs a warning, never the training.

    Args:
        journal: of the run's spool.
        sender: the process that delivers it, or None.
    """

    def __init__(self, journal: Journal, sender: subprocess.Popen[bytes] | None) -> None:
        self.spool = journal.folder.name
        self._journal = journal
        self._sender = sender
        self._cursor = Cursor()
        self._warned: set[str] = set()
        self._ended = False

    @property
    def said(self) -> list[str]:
        """After the end: what the delivery has to say of what it did, a line each."""
        return self._cursor.said

    @property
    def run_id(self) -> str:
        """MLflow's id of the run, or empty while MLflow has not made it."""
        if not self._cursor.run_id:
            self._cursor = Cursor.load(self._journal.folder)
        return self._cursor.run_id

    def reference(self) -> dict[str, str]:
        """What ``models/run.json`` holds: enough to find the run, delivered or not yet."""
        return {
            "run_id": self.run_id,
            "experiment_id": self._cursor.experiment_id,
            "spool": self.spool,
        }

    # ------------------------------------------------------------------ what is recorded

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Values at ``step`` (images seen, in training); None for a result of the whole run.

        Steps that the run already has are not recorded twice, whatever is written here.
        """
        values = {key: float(value) for key, value in metrics.items()}
        self._write("metrics", values=values, step=step)

    def log_image(self, image: np.ndarray, key: str, step: int) -> None:
        """A picture (uint8, H×W×3) under ``key``, with a slider over its steps."""
        with self._mishaps("image"):
            path = self._journal.place("image.png")
            Image.fromarray(image).save(path)
            self._journal.write("image", file=self._journal.within(path), key=key, step=step)

    def log_checkpoint(self, step: int, path: Path, metrics: Mapping[str, float]) -> None:
        """The model folder ``path`` as the checkpoint of ``step``; it may change afterwards."""
        values = {key: float(value) for key, value in metrics.items()}
        with self._mishaps("checkpoint"):
            kept = self._journal.keep(path)
            self._journal.write("checkpoint", sync=True, file=kept, step=step, values=values)

    def log_model(self, path: Path, candidate: Candidate) -> None:
        """The model folder ``path`` as a version of the registered model."""
        moment = self._journal.now()  # one, so that the run has each value once
        fields = candidate.as_json()
        self._write("metrics", values=fields["metrics"], step=None, at=moment)
        with self._mishaps("model"):
            kept = self._journal.keep(path)
            self._journal.write("model", sync=True, at=moment, file=kept, **fields)

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """A file, shown under ``folder``."""
        with self._mishaps("artifact"):
            self._journal.write("artifact", file=self._journal.keep(path), folder=folder)

    def log_table(self, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        """``rows`` (equal keys, plain values) as a table, as ``scrape/outcomes.json``."""
        self._write("table", rows=[dict(row) for row in rows], name=name)

    def log_dataset(self, name: str, digest: str, source: str, context: str = "training") -> None:
        """The data set the run reads as its input."""
        self._write("dataset", name=name, digest=digest, source=source, context=context)

    def flush(self) -> None:
        """Say once what keeps the delivery. Nothing here waits for a flush."""
        problem = Cursor.load(self._journal.folder).problem
        if problem and problem not in self._warned:
            self._warned.add(problem)
            logger.warning("MLflow: %s; the run waits in %s", problem, self._journal.folder)

    # ------------------------------------------------------------------ how it ends

    def end(self, status: str = "FINISHED") -> None:
        """Close the run, and give its delivery a limited time. A second call does nothing."""
        if self._ended:
            return
        self._ended = True
        self._write("end", sync=True, status=status)
        self._journal.close()
        if self._sender is not None:
            self._wait(END_SECONDS if status == "FINISHED" else STOP_SECONDS)

    def _wait(self, seconds: float) -> None:
        assert self._sender is not None
        folder = self._journal.folder
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._sender.wait(min(seconds, _SILENT_SECONDS))
            if self._sender.poll() is None:
                print(f"handing the run over to MLflow (at most {seconds:.0f} s)", file=sys.stderr)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._sender.wait(seconds - _SILENT_SECONDS)
        finally:
            if self._sender.poll() is None:
                self._sender.kill()  # it may die anywhere: see pipeline/delivery.py
                self._sender.wait()
        self._cursor = Cursor.load(folder)
        # On a busy machine it may have sent everything and not be gone yet.
        if self._sender.returncode == 0 or spool.is_delivered(folder):
            spool.remove(folder)
        else:
            reason = self._cursor.problem or "MLflow has not taken all of it"
            logger.warning("%s: the run is kept in %s; %s", reason, folder, _LATER)

    def _write(self, do: str, *, sync: bool = False, **fields: Any) -> None:
        with self._mishaps(do):
            self._journal.write(do, sync=sync, **fields)

    @contextlib.contextmanager
    def _mishaps(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if what not in self._warned:
                logger.warning("not recorded: %s: %s", what, error)
            self._warned.add(what)


_LATER = "`pipeline deliver` hands it over"


class NoRecord(Record):
    """Records nothing: ``tracking.enabled`` is false, or another process of the training does."""

    def __init__(self) -> None:
        self.spool = ""
        self._cursor = Cursor()

    @property
    def run_id(self) -> str:
        return ""

    def reference(self) -> dict[str, str]:
        return {"run_id": "", "experiment_id": "", "spool": ""}

    def log_image(self, image: np.ndarray, key: str, step: int) -> None: ...
    def log_checkpoint(self, step: int, path: Path, metrics: Mapping[str, float]) -> None: ...
    def log_artifact(self, path: Path, folder: str = "") -> None: ...
    def log_model(self, path: Path, candidate: Candidate) -> None: ...
    def flush(self) -> None: ...
    def end(self, status: str = "FINISHED") -> None: ...
    def _write(self, do: str, *, sync: bool = False, **fields: Any) -> None: ...


# --------------------------------------------------------------------------- opening


def open_record(
    workspace: Workspace,
    params: Params,
    *,
    tags: Mapping[str, Any] | None = None,
    name: str = "",
    of: Mapping[str, str] | None = None,
) -> Record:
    """Begin the record of a run, or go on with one, and start its delivery.

    Args:
        tags: of the run; ``stage`` says which stage records.
        name: of the spool to go on with, from an earlier ``Record.spool``; empty for a new run.
        of: the ``reference`` of a run to write to in place of a new one.

    Returns:
        The record; a ``NoRecord`` if tracking is off.
    """
    if not params.tracking.enabled:
        return NoRecord()
    folder = spool.home(workspace) / (name or spool.new_name())
    try:
        journal = Journal(folder)
        about = describe(workspace, params, tags)
        journal.write("open", sync=True, about=about, of=dict(of or {}))
    except OSError as error:
        error.filename = error.filename or str(folder)
        raise PipelineError(
            f"{refused(error)}; -S tracking.enabled=false records nothing"
        ) from error
    sender = None
    if importlib.util.find_spec("mlflow") is None:
        logger.warning("mlflow is not installed: the run is kept in %s; %s", journal.folder, _LATER)
    else:
        sender = start_delivery(workspace, journal.folder)
    return Record(journal, sender)


def start_delivery(workspace: Workspace, folder: Path) -> subprocess.Popen[bytes]:
    """A process that delivers ``folder`` until its end event, or until this process is gone.

    A process, not a thread: importing MLflow and waiting for it would hold up the training's own
    thread. Its group is its own, so that Ctrl-C stops the training and not the delivery.
    """
    command = [
        sys.executable, "-m", "pipeline.delivery", str(folder),
        str(workspace.here), str(workspace.shared), str(os.getpid()),
    ]  # fmt: skip
    package = str(Path(__file__).resolve().parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    # It may be killed: its temporary files go with the spool.
    (folder / spool.SCRAPS).mkdir(exist_ok=True)
    environment["TMPDIR"] = str(folder / spool.SCRAPS)
    with (folder / "delivery.log").open("ab") as log:
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
