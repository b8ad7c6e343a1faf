"""``pipeline lineage``: what a picture, a model or a run comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

from pipeline.commands.common import COUNT, example
from pipeline.errors import printable
from pipeline.workspace import Workspace


@click.command(
    epilog=example(
        "pipeline lineage plots/sample0.png",
        "pipeline lineage models/",
        "pipeline lineage models:/dogs@champion --json",
    )
)
@click.argument("subject", metavar="PICTURE-OR-MODEL")
@click.option("--nearest", type=COUNT, default=5, help="Nearest training pictures of a PNG.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def lineage(subject: str, nearest: int, as_json: bool) -> None:
    """Show which commit, params, data and sources a picture or a model comes from.

    PICTURE-OR-MODEL is a PNG that `pipeline generate` drew, or a model: a folder, a run's id or
    name, runs:/ID, models:/dogs@champion.
    """
    from pipeline.lineage import trace

    found = trace(Workspace.find(), subject, nearest)
    if as_json:
        text = json.dumps(found, indent=2, ensure_ascii=False)
        click.echo(
            "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
        )
        return
    for line in lines(found):
        # Notes and manifests come from outside; a break in one would look like another line.
        click.echo(printable(line.replace("\n", " ")))


def lines(found: dict[str, Any]) -> Iterator[str]:
    """What was found, for a reader."""
    pairs = list(facts(found))
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        yield f"{name:<{width}}  {value}"
    if found.get("nearest"):
        yield ""
        yield from table(["nearest", "distance", "source", "licence", "address"], near(found))
    if found.get("sources"):
        yield ""
        rows = [[str(s["pictures"]), s["source"], s["licence"]] for s in found["sources"]]
        yield from table(["pictures", "source", "licence"], rows)
    for text in found["missing"]:
        yield f"not found: {text}"


def facts(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and value of each step back."""
    note, model, run = found.get("picture"), found["model"], found["run"]
    if note:
        how = f"{note.get('sampler')}, {note.get('steps')} steps, guidance {note.get('guidance')}"
        yield "picture", f"{note['path']}: {note.get('breed')}, seed {note.get('seed')}, {how}"
    seen = f", {model['images']:,} images seen" if isinstance(model["images"], int) else ""
    yield "weights", f"{str(model['weights_sha256'])[:16]}{seen}"
    if model["fingerprint"]:
        yield "training", str(model["fingerprint"])[:16]
    if run:
        yield "run", f"{run['name']} {run['run_id']} ({run['status'].lower()})"
        dirty = " (and changes that were not committed)" if run["dirty"] else ""
        yield "commit", f"{run['commit'] or 'none'}{dirty}"
        if run["experiment"]:
            yield "experiment", run["experiment"]
    yield "data", found["data"]["digest"] or "not known"
    params = found["params"]
    if params:
        yield "params", f"{len(params)}, of them not the default: {', '.join(unusual(params))}"


def unusual(params: dict[str, str]) -> list[str]:
    """``key=value`` of the params that are not the default."""
    from pipeline.knobs import flatten
    from pipeline.params import Params, to_dict
    from pipeline.tracking_run import text_of

    usual = {key: text_of(value) for key, value in flatten(to_dict(Params())).items()}
    own = [f"{key}={value}" for key, value in params.items() if usual.get(key) != value]
    return own or ["none"]


def near(found: dict[str, Any]) -> Iterator[list[str]]:
    """A row for each place where a nearest training picture was found."""
    for picture in found["nearest"]:
        turned = " mirrored" if picture["mirrored"] else ""
        distance = f"{picture['distance']:.1f}{turned}"
        for number, where in enumerate(picture["sources"] or [{}]):
            first = [picture["path"], distance] if number == 0 else ["", ""]
            address = where.get("page_url") or where.get("image_url") or ""
            yield [*first, where.get("source", ""), where.get("licence") or "not known", address]


def table(head: Sequence[str], rows: Any) -> Iterator[str]:
    """Rows under their heads, in columns."""
    everything = [list(head), *rows]
    widths = [max(len(row[i]) for row in everything) for i in range(len(head))]
    for row in everything:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
