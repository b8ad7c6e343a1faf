"""``pipeline ui`` and ``pipeline compare``: looking at what MLflow remembers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline import params as schema
from pipeline.commands.common import COUNT, example
from pipeline.errors import ParamsError, PipelineError
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.tracking_store import RunSummary

PORT = 5000


@click.command(epilog=example("pipeline ui", "pipeline ui --port 8080"))
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, help="Port to listen on.")
@click.option("--host", default="127.0.0.1", help="Interface to listen on.")
def ui(port: int, host: str) -> None:
    """Serve the MLflow UI on this project's runs."""
    from pipeline import tracking_store as store

    workspace = Workspace.find()
    if port_is_taken(host, port):
        raise PipelineError(f"port {port} is in use: is the UI open already? else give --port")
    # Opening the store first makes it, if this is its first use, and mends it after a move.
    experiment = schema.load(workspace.params).tracking.experiment
    _, experiment_id = store.open_store(workspace, experiment)
    base = store.ui_base(workspace, port, host)
    log = workspace.cache / "ui.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(
            store.ui_command(workspace, port, host),
            env=store.ui_environment(),
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end the whole group
        )
    try:
        wait_until_up(process, host, port, log)
        click.echo(f"runs    {store.compare_link(base, experiment_id, [])}")
        click.echo(f"charts  {store.charts_link(base, experiment_id)}")
        click.echo("Ctrl-C ends it.", err=True)
        process.wait()
    except KeyboardInterrupt:
        pass  # how a person ends it
    finally:
        end_group(process)


def port_is_taken(host: str, port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        return probe.connect_ex((host, port)) == 0


def wait_until_up(
    process: subprocess.Popen[bytes], host: str, port: int, log: Path, limit: float = 120
) -> None:
    """Return when the server takes connections."""
    click.echo("starting the MLflow UI ...", err=True)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if process.poll() is not None:
            raise PipelineError(f"the MLflow UI did not start; {log} says why")
        if port_is_taken(host, port):
            return
        time.sleep(0.1)
    raise PipelineError(f"the MLflow UI did not answer on {host}:{port} within {limit:.0f} s")


def end_group(process: subprocess.Popen[bytes]) -> None:
    for signum in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
            return


@click.command(epilog=example("pipeline compare", "pipeline compare loamy-froe 3f2a91"))
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("-n", "count", type=COUNT, default=5, help="Without RUN: how many of the last runs.")
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, help="Port of `pipeline ui`.")
def compare(runs: tuple[str, ...], count: int, port: int) -> None:
    """Show what differs between runs, and link to compare them.

    RUN is a run's name or the start of its id.
    """
    from pipeline import tracking_store as store

    workspace = Workspace.find()
    experiment = schema.load(workspace.params).tracking.experiment
    known = store.last_runs(workspace, 1000 if runs else count, experiment)
    chosen = [pick(known, text) for text in runs] or known
    if not chosen:
        raise PipelineError(f"experiment {experiment!r} has no runs yet; `dvc repro` makes one")
    show_table(chosen)
    ids = list(dict.fromkeys(run.experiment_id for run in chosen))
    base = store.ui_base(workspace, port)
    click.echo(store.compare_link(base, ids, [run.run_id for run in chosen]))
    if not port_is_taken("127.0.0.1", port) and base.endswith(f"127.0.0.1:{port}"):
        click.echo("(the link opens while `pipeline ui` runs)", err=True)


def pick(known: list[RunSummary], text: str) -> RunSummary:
    """The newest run named ``text`` or whose id starts with it."""
    for run in known:
        if run.name == text or (len(text) >= 4 and run.run_id.startswith(text)):
            return run
    names = ", ".join(dict.fromkeys(run.name for run in known[:8])) or "none"
    raise ParamsError(f"no run {text!r}; the last ones are {names}")


def show_table(runs: list[RunSummary]) -> None:
    """One column a run: the params that differ, then the metrics of the result."""
    keys = sorted({key for run in runs for key in run.params})
    # A run that was not evaluated has no evaluate.*: that is no difference.
    values = {key: {run.params[key] for run in runs if key in run.params} for key in keys}
    differing = [key for key in keys if len(values[key]) > 1]
    metrics = sorted({key for run in runs for key in run.metrics if not key.startswith("system/")})
    rows = [["", *(run.name for run in runs)], ["", *(run.run_id[:8] for run in runs)]]
    rows.append(["status", *(run.status.lower() for run in runs)])
    rows += [[key, *(run.params.get(key, "-") for run in runs)] for key in differing]
    for key in metrics:
        results = [run.metrics.get(key) for run in runs]
        rows.append([key, *("-" if value is None else f"{value:.4g}" for value in results)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
    click.echo()
