"""From a spool to MLflow, once in effect: delivered again, from any copy, nothing changes.

Every event has an identity that the store knows too: a run its spool's name (a tag it is made
with), a metric its key and step, a picture its name, a checkpoint its step. So a delivery may die
anywhere, also between sending and noting that it has sent; the next one goes over the same events
again. The cursor only saves work.

``python -m pipeline.delivery`` delivers while a stage still writes (see ``pipeline.recording``);
``pipeline deliver`` what is left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline import spool
from pipeline.candidate import Candidate
from pipeline.errors import PipelineError
from pipeline.provenance import PROCESS_TAG
from pipeline.spool import Cursor, Event
from pipeline.stamp import name_in
from pipeline.tracking import Run, enter_run, existing
from pipeline.tracking_store import import_mlflow, open_store, store_uri, ui_base
from pipeline.workspace import Workspace, exclusive, waiting_lock

SPOOL_TAG = "pipeline.spool"
POLL_SECONDS = 0.5
LONGEST_PAUSE = 15.0

MlflowException: type[Exception] = import_mlflow().MlflowException
_TROUBLE = (MlflowException, PipelineError, OSError, sqlite3.Error)
# What MLflow answers when the fault is the event's own: sent again, it would be refused again.
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


@dataclass
class Sent:
    """What a delivery came to. ``counts`` by kind of event; ``refused`` and ``said`` (what was
    decided on the way) a line each."""

    name: str
    url: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f"{n:,} {kind}{'s' * (n > 1)}" for kind, n in self.counts.items() if n]
        return f"{self.name}: {', '.join(parts) or 'nothing new'}  {self.url}"


def deliver(workspace: Workspace, folder: Path) -> Sent:
    """Hand over all that ``folder`` holds, and delete it unless a stage still writes to it.

    A run whose process died is closed as KILLED.

    Raises:
        PipelineError: another process delivers it, or the store does not take it; nothing is lost.
    """
    with exclusive(folder / spool.LOCK, f"the delivery of {folder.name}"):
        delivery = Delivery(workspace, folder)
        try:
            delivery.step()
            if not delivery.ended and not spool.is_written(folder):
                delivery.close_dead()
        except _TROUBLE as error:
            raise PipelineError(f"{folder}: not delivered, and kept: {line_of(error)}") from error
        spool.remove(folder)
        return delivery.sent


class Delivery:
    """Sends a spool's events to one store, as far as they are written."""

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        self.workspace = workspace
        self.folder = folder
        self.sent = Sent(folder.name)
        self._run: Run | None = None
        self._cursor = Cursor.load(folder)

    @property
    def ended(self) -> bool:
        """Whether the last event sent was the run's end."""
        return self._cursor.ended

    def step(self) -> None:
        """Send what is new. After an error the next step begins behind what surely arrived."""
        try:
            if self._run is None:
                self._attach()
            last: Event = {}
            for event, offset in spool.read(self.folder, self._cursor.offset):
                if event["do"] != "metrics":
                    self._flush()
                self._send(event)
                self._cursor.offset = offset
                self._cursor.ended = event["do"] == "end"
                if event["do"] != "metrics":
                    self._advance(event)
                last = event
            if last.get("do") == "metrics":
                self._flush()
                self._advance(last)
        except _TROUBLE as error:
            self._run = None
            with contextlib.suppress(OSError):
                self._cursor = Cursor.load(self.folder)
                self._cursor.problem = line_of(error)
                self._cursor.save(self.folder)
            raise

    def close_dead(self) -> None:
        """Mark the run KILLED: its process is gone without a word.

        Unless the same stage, started again, writes to it by now: then it is that one's to end.
        """
        if self._run is None:
            return
        about = next(spool.read(self.folder))[0]["about"]
        tags = self._client.get_run(self._run.run_id).data.tags
        if tags.get(PROCESS_TAG) == about["tags"].get(PROCESS_TAG):
            self._run.end("KILLED")

    # ------------------------------------------------------------------ the run

    def _attach(self) -> None:
        """Open the store, and the run where the cursor says that it has begun."""
        first = next(spool.read(self.folder), None)
        if first is None or first[0]["do"] != "open":
            raise PipelineError(f"{self.folder / spool.EVENTS}: its beginning is lost")
        about = first[0]["about"]
        self.sent.name = about["name"]
        self._client, self._experiment = open_store(self.workspace, about["experiment"])
        uri = store_uri(self.workspace)
        cursor = Cursor.load(self.folder)
        known = existing(self._client, cursor.run_id) if cursor.run_id else None
        if cursor.store == uri and known is not None:
            info, base = known.info, ui_base(self.workspace)
            self._adopt(Run(self._client, info.run_id, info.experiment_id, base, True, True))
            self._cursor = cursor
        else:  # a new spool, a copy, another store, or a run that somebody deleted
            self._cursor = Cursor(store=uri)

    def _enter(self, event: Event) -> None:
        """The run of an open event, made now or found."""
        created = {"start_time": event["at"], "tags": {SPOOL_TAG: self.folder.name}}
        self._adopt(
            enter_run(
                self._client,
                self._experiment,
                ui_base(self.workspace),
                event["about"],
                run_id=self._tagged(self.folder.name) or self._joined(event["of"]),
                created=created,
                strict=True,
            )
        )

    def _adopt(self, run: Run) -> None:
        self._run = run
        self.sent.url = run.url

    def _tagged(self, name: str) -> str | None:
        """The run that was made from the spool ``name``."""
        ids = [item.experiment_id for item in self._client.search_experiments()]
        found = self._client.search_runs(ids, f"tags.`{SPOOL_TAG}` = '{name}'", max_results=1)
        return found[0].info.run_id if found else None

    def _joined(self, of: Mapping[str, str]) -> str | None:
        """The run that this spool writes to in place of one of its own, delivered before it."""
        name = name_in(of, "spool")
        other = self.folder.parent / name if name else None
        if other and (other / spool.EVENTS).is_file() and other != self.folder:
            deliver(self.workspace, other)
        if of.get("run_id") and existing(self._client, of["run_id"]):
            return of["run_id"]
        return self._tagged(name) if name else None

    # ------------------------------------------------------------------ its events

    def _send(self, event: Event) -> None:
        if event["do"] == "open":
            self._enter(event)
            return
        assert self._run is not None
        if event["do"] == "metrics":
            with self._singly():
                self._run.log_metrics(event["values"], event["step"], at=event["at"])
            return
        with self._refusals(event):
            if line := send(self._run, event, self.folder):
                self.sent.said.append(line)
                self._cursor.said.append(line)
            if event["do"] != "end":
                self.sent.counts[event["do"]] += 1

    def _flush(self) -> None:
        if self._run is not None:
            with self._singly():
                self._run.flush()
            self.sent.counts["metric value"] += self._run.written
            self._run.written = 0

    @contextlib.contextmanager
    def _singly(self) -> Iterator[None]:
        """Metrics go in batches; one value that is refused must not keep back the others."""
        try:
            yield
        except MlflowException as error:
            if self._run is None or not is_refusal(error):
                raise
            self.sent.refused += self._run.flush_singly(is_refusal)

    def _advance(self, event: Event) -> None:
        """Note what has arrived, then delete the files it named."""
        assert self._run is not None
        self._cursor.run_id = self._run.run_id
        self._cursor.experiment_id = self._run.experiment_id
        self._cursor.problem = ""
        self._cursor.save(self.folder)
        if "file" in event:
            delete_file(self.folder, event["file"])

    @contextlib.contextmanager
    def _refusals(self, event: Event) -> Iterator[None]:
        """An event that can never be taken is said and left out: it must not stop the rest."""
        try:
            yield
        except FileNotFoundError as error:
            self.sent.refused.append(f"{event['do']}: its file is not in the spool: {error}")
        except (KeyError, TypeError, ValueError) as error:
            self.sent.refused.append(f"{event['do']}: {line_of(error)}")
        except MlflowException as error:
            if not is_refusal(error):
                raise
            self.sent.refused.append(f"{event['do']}: {line_of(error)}")


def send(run: Run, event: Event, folder: Path) -> str:
    """One event to the run. Returns what is to be said of it, mostly nothing."""
    at = event["at"]
    if "file" in event:
        path = (folder / event["file"]).resolve()
        if not path.is_relative_to(folder.resolve()):  # a spool may come from anywhere
            raise ValueError(f"{event['file']} lies outside of the spool")
        if not path.exists():
            raise FileNotFoundError(event["file"])
    match event["do"]:
        case "image":
            run.log_image(read_picture(folder / event["file"]), event["key"], event["step"])
        case "checkpoint":
            run.log_checkpoint(event["step"], folder / event["file"], event["values"], at=at)
        case "model":
            return run.log_model(folder / event["file"], Candidate.from_json(event), at)
        case "artifact":
            run.log_artifact(folder / event["file"], event["folder"])
        case "table":
            run.log_table(event["rows"], event["name"])
        case "dataset":
            run.log_dataset(event["name"], event["digest"], event["source"], event["context"])
        case "end":
            run.end(event["status"], at=at)
    return ""


def read_picture(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture)
    except (OSError, SyntaxError) as error:  # power loss may leave half a file
        raise ValueError(f"{path.name} is no whole picture: {error}") from error


def delete_file(folder: Path, name: str) -> None:
    """A delivered file and the folder of its own that it lay in."""
    place = (folder / name).parent
    if place.parent == folder / spool.FILES:
        shutil.rmtree(place, ignore_errors=True)


def is_refusal(error: Exception) -> bool:
    return getattr(error, "error_code", "") in _REFUSALS


def line_of(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:300] if text else type(error).__name__


# --------------------------------------------------------------------------- while a stage runs


def follow(workspace: Workspace, folder: Path, parent: int) -> int:
    """Deliver until the run's end or until the process ``parent`` is gone; the exit code.

    A store that does not answer is asked again, after longer and longer pauses.
    """
    with waiting_lock(folder / spool.LOCK):
        delivery, pause = Delivery(workspace, folder), 1.0
        while (folder / spool.EVENTS).is_file():
            gone = os.getppid() != parent  # asked first: what it wrote last is then seen below
            try:
                delivery.step()
                pause = 1.0
                if delivery.ended:
                    return 0
                if gone:
                    if not spool.is_written(folder):  # else it was started again already
                        delivery.close_dead()
                    spool.remove(folder)  # else the process that wrote it does
                    return 0
                rest(POLL_SECONDS, parent)
            except _TROUBLE as error:
                print(line_of(error), file=sys.stderr, flush=True)
                if gone:
                    return 1
                rest(pause, parent)
                pause = min(2 * pause, LONGEST_PAUSE)
        return 0


def rest(seconds: float, parent: int) -> None:
    """Sleep, but not longer than ``parent`` lives."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and os.getppid() == parent:
        time.sleep(min(POLL_SECONDS, seconds))


def main() -> None:
    folder, here, shared, parent = sys.argv[1:]
    sys.exit(follow(Workspace(Path(here), Path(shared)), Path(folder), int(parent)))


if __name__ == "__main__":
    main()
