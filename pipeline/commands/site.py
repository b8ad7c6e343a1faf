"""``pipeline gallery``: the embedded image-search site, for a person to look at."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline import params as schema
from pipeline.commands.common import COUNT, example
from pipeline.workspace import Workspace


@click.command(epilog=example("pipeline gallery", "pipeline gallery --images ~/Pictures/dogs"))
@click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Serve the pictures of this folder in place of drawn dogs.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="Port (0: any free).")
@click.option("--host", default="127.0.0.1", help="Interface to listen on.")
@click.option("--per-breed", type=COUNT, default=100, help="Results a breed.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the drawings.")
def gallery(images: Path | None, port: int, host: str, per_breed: int, seed: int) -> None:
    """Serve the project's own image-search site."""
    from pipeline.scraping.breeds import load_breeds
    from pipeline.scraping.gallery import Gallery, run

    workspace = Workspace.find()
    mine = schema.load(workspace.params).scrape.gallery
    known = load_breeds(workspace.breeds)
    names, phrases = [b.name for b in known], {b.name: b.queries for b in known}
    site = Gallery(names, seed, per_breed, mine.planted, images, phrases, mine.faults)

    def ready(url: str) -> None:
        click.echo(url)
        click.echo("Ctrl-C ends it.", err=True)

    run(site, host, port, ready)
