"""``pipeline sources``: the sites that can be scraped, and one real visit to one of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline import params as schema
from pipeline.commands.common import COUNT, Group, example, set_option
from pipeline.errors import PipelineError, printable
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.scraping.trial import Trial


@click.group(
    cls=Group,
    invoke_without_command=True,
    epilog=example("pipeline sources", "pipeline sources check gallery"),
)
@click.pass_context
def sources(ctx: click.Context) -> None:
    """List the sites that can be scraped, or try one.

    A site is one YAML file; your own go to sources/ beside params.yaml and win over those that
    ship. How to write one: docs/sources.md.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_sources)


@sources.command("list", epilog=example("pipeline sources list"))
def list_sources() -> None:
    """Name every source, with what proves it and the site's terms; * is a file of your own."""
    from pipeline.scraping.sources import load_source, source_names

    own = Workspace.find().here / "sources"
    known = [load_source(name, own) for name in source_names(own)]
    rows = [
        (
            ("*" if (own / f"{source.name}.yaml").is_file() else " ") + " " + source.name,
            source.kind,
            source.verified,
            _shortened(source.proven),
            _shortened(source.terms),
        )
        for source in known
    ]
    headings = ("  name", "kind", "verified", "proven", "terms")
    widths = [max(len(row[place]) for row in (headings, *rows)) for place in range(5)]
    for row in (headings, *rows):
        cells = [f"{text:<{width}}" for text, width in zip(row, widths, strict=True)]
        click.echo(click.style("  ".join(cells).rstrip(), bold=row is headings))


def _shortened(text: str) -> str:
    """Its first part, up to a stop; the whole of it is in the file."""
    return re.split(r"[;:,.](?:\s|$)", text, maxsplit=1)[0]


@sources.command(
    "check",
    epilog=example(
        "pipeline sources check gallery",
        "pipeline sources check commons --query beagle -S scrape.contact=mail@example.org",
    ),
)
@click.argument("name")
@click.option("--query", metavar="TEXT", help="Search for this (default: the first breed).")
@click.option("--images", type=COUNT, default=10, help="Results wanted.")
@set_option
def check(name: str, query: str | None, images: int, assignments: tuple[str, ...]) -> None:
    """Visit a source once and say which of its selectors still work.

    Nothing is downloaded. The page and a screenshot are kept for you to look at.
    """
    from pipeline.scraping.breeds import Breed, load_breeds
    from pipeline.scraping.sources import load_source
    from pipeline.scraping.trial import try_source

    workspace = Workspace.find()
    params = schema.load(workspace.params, assignments).scrape
    source = load_source(name, workspace.here / "sources")
    if query:
        breed = Breed(query.lower().replace(" ", "_"), (query,))
    else:
        breed = load_breeds(workspace.breeds)[0]
    done = []
    for trial in try_source(source, params, breed, images, workspace):
        _show(trial, images)
        done.append(trial)
    _judge(name, done)


def _show(trial: Trial, images: int) -> None:
    click.echo(click.style(trial.search.label, bold=True))
    click.echo(printable(f"  address   {trial.search.url}"))
    if trial.visit is None:
        click.echo(printable(f"  skipped   {trial.refusal}"))
        return
    seen = trial.visit
    outcome = click.style(seen.outcome, fg="red" if seen.outcome.failed else "green")
    click.echo(f"  outcome   {outcome}{': ' if seen.detail else ''}{printable(seen.detail)}")
    click.echo(f"  pictures  {len(seen.candidates)} of {images} wanted")
    _show_matches(trial)
    _show_candidates(trial)
    if trial.evidence:
        here, kept = Path.cwd(), trial.evidence
        click.echo(f"  kept in   {kept.relative_to(here) if kept.is_relative_to(here) else kept}")


def _show_matches(trial: Trial) -> None:
    from pipeline.scraping.trial import NEVER, matches

    if trial.visit is None or not trial.visit.matched:
        return
    click.echo("  matched   field      by")
    for match in matches(trial.search.page, trial.visit):
        told = f"{match.note or match.count:>10}"
        colour = "yellow" if match.note == NEVER else None
        click.echo(f"{click.style(told, fg=colour)}  {match.field:<9}  {match.alternative}")


def _show_candidates(trial: Trial) -> None:
    from pipeline.scraping.licences import normalise

    for candidate in trial.visit.candidates[:3] if trial.visit else ():
        click.echo(printable(f"  {candidate.rank + 1}. {candidate.image_url}"))
        facts = (candidate.title, normalise(candidate.licence), candidate.author)
        told = " · ".join(filter(None, (*facts, candidate.page_url)))
        click.echo(f"     {printable(told)}")


def _judge(name: str, done: list[Trial]) -> None:
    """Raises ``PipelineError`` unless each page was well and one of them gave something."""
    visits = [(trial, trial.visit) for trial in done if trial.visit is not None]
    if not visits:
        raise PipelineError(done[0].refusal)
    for trial, seen in visits:
        if seen.outcome.failed:
            raise PipelineError(f"{name}, {trial.search.label}: {seen.outcome}: {seen.detail}")
    if not any(seen.candidates for _, seen in visits):
        raise PipelineError(f"{name}: the site says that it has nothing for this query")
