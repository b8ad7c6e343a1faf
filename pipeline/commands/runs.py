"""``pipeline ui``: looking at what MLflow remembers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import click

from pipeline import params as schema
from pipeline.commands.common import example
from pipeline.errors import PipelineError
from pipeline.workspace import Workspace

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
