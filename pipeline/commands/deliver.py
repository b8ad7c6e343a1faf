"""``pipeline deliver``: what a machine without MLflow or network has recorded."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pipeline.commands.common import example
from pipeline.errors import ParamsError, PipelineError, printable
from pipeline.workspace import Workspace


@click.command(
    epilog=example(
        "pipeline deliver",
        "pipeline deliver ~/from-the-gpu-machine/.cache/spool",
        "pipeline deliver --to http://mlflow.example:5000",
    )
)
@click.argument(
    "folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--to", "uri", metavar="URI", help="MLflow store in place of the usual one.")
def deliver(folder: Path | None, uri: str | None) -> None:
    """Hand runs that wait in .cache/spool over to MLflow, and delete them here.

    FOLDER is a spool, or a folder of spools, also one copied from another machine. Delivering
    again what MLflow already has changes nothing.
    """
    from pipeline import spool

    workspace = Workspace.find()
    waiting = spool.spools(folder or spool.home(workspace))
    if not waiting:
        if folder is not None:
            raise ParamsError(f"{folder}: no spool ({spool.EVENTS}) in it or in its folders")
        click.echo("nothing to deliver")
        return
    if uri:
        os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        from pipeline import delivery
    except ImportError as error:
        raise PipelineError(
            f"MLflow does not import ({error}): copy {waiting[0].parent} to a machine that has it"
        ) from None
    failed = []
    for place in waiting:
        if not (place / spool.EVENTS).is_file():  # delivered meanwhile, before one that joins it
            continue
        try:
            sent = delivery.deliver(workspace, place)
        except PipelineError as error:
            failed.append(str(error))
            click.echo(printable(f"kept: {error}"), err=True)
            continue
        click.echo(printable(str(sent)))
        for text in sent.said:
            click.echo(printable(f"  {text}"))
        for text in sent.refused:
            click.echo(printable(f"  MLflow refused {text}"), err=True)
    if failed:
        raise PipelineError(
            f"{len(failed)} of {len(waiting)} not delivered; the first: {failed[0]}"
        )
