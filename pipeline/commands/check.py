"""``pipeline doctor``."""

from __future__ import annotations

import sys

import click

from pipeline.commands.common import example
from pipeline.errors import printable
from pipeline.workspace import Workspace

COLOURS = {"ok": "green", "warn": "yellow", "bad": "red"}


@click.command(epilog=example("pipeline doctor", "pipeline doctor --fix", "pipeline doctor --deep"))
@click.option(
    "--fix",
    is_flag=True,
    help="Mend what can be mended here: moved store, dead runs, notes of a killed DVC; with --deep "
    "damaged objects.",
)
@click.option("--deep", is_flag=True, help="Read all of DVC's cache to find damaged objects.")
def doctor(fix: bool, deep: bool) -> None:
    """Check what the pipeline needs, say how to mend it.

    Exit code 1 if something is bad.
    """
    from pipeline.doctor import CHECKS, examine

    workspace = Workspace.find()
    width = max(map(len, CHECKS))
    levels = []
    for finding in examine(workspace, fix, deep):
        levels.append(finding.level)
        level = click.style(f"{finding.level:<4}", fg=COLOURS[finding.level], bold=True)
        click.echo(f"{level}  {finding.subject:<{width}}  {printable(finding.text)}")
        if finding.mend:
            click.echo(
                f"{'':{width + 6}}  {click.style('mend:', bold=True)} {printable(finding.mend)}"
            )
    if "bad" in levels:
        sys.exit(1)
