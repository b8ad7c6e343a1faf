"""``pipeline model``: what a net is made of, before a minute is spent on training it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline import params as schema
from pipeline.commands.common import COUNT, example, set_option
from pipeline.errors import ParamsError
from pipeline.params import Params
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from rich.table import Table
    from torch import nn

    from pipeline.net_summary import Part, Summary

NARROWEST = 90  # columns that the table needs


@dataclass(frozen=True)
class Described:
    """A net, and how to introduce it."""

    title: str
    net: nn.Module
    size: int
    classes: int


@click.command(
    epilog=example(
        "pipeline model",
        "pipeline model demo -S train.net.width=64",
        "pipeline model models/",
    )
)
@click.argument("name", required=False, metavar="[NAME]")
@click.option("--classes", type=COUNT, help="Labels it is told. [as many as the params name]")
@set_option
def model(name: str | None, classes: int | None, assignments: tuple[str, ...]) -> None:
    """Show a net's layers, their output, parameters and forward FLOPs.

    NAME is a preset, a params file or a folder with a saved model; without it, params.yaml.
    """
    described = describe(Workspace.find(), name, classes, assignments)

    from rich.console import Console

    from pipeline.net_summary import summarise

    summary = summarise(described.net, described.size)
    console = Console(highlight=False)
    console.width = max(console.width, NARROWEST)
    console.print(table(summary))
    console.print()
    for line in lines(described, summary):
        click.echo(line)


def describe(
    workspace: Workspace, name: str | None, classes: int | None, assignments: tuple[str, ...]
) -> Described:
    """The net that ``name`` means, its weights on the device ``meta``.

    Raises:
        ParamsError: ``name`` is nothing that has a net, or an option does not fit what it is.
    """
    if name is not None and (Path(name) / "model.json").is_file() and not _preset(workspace, name):
        if classes is not None or assignments:
            raise ParamsError(f"{name}: a saved model is as it is; --classes and -S need params")
        return saved(Path(name))
    params = schema.load(find(workspace, name), assignments)

    import torch

    from pipeline.nets import build_net

    count = classes or breeds(params)
    with torch.device("meta"):
        net = build_net(params.train.net, count, params.resize.size, params.train.augment > 0)
    title = f"{name or workspace.params.name}: {params.train.net.kind}"
    return Described(title, net, params.resize.size, count)


def saved(folder: Path) -> Described:
    """The net of a saved model, checked as for sampling."""
    from pipeline.model import load_model

    found = load_model(folder, "cpu")
    kind = found.info["architecture"]["net"]["kind"]
    net = found.denoiser.net.to("meta")
    return Described(f"{folder}: {kind}", net, found.size, len(found.classes))


def find(workspace: Workspace, name: str | None) -> Path:
    """The params file that ``name`` means: a preset's before any other."""
    from pipeline import presets

    if name is None:
        return workspace.params
    if _preset(workspace, name):
        return presets.find(workspace, name)
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        raise ParamsError(f"{name}: no saved model in this folder (model.json is missing)")
    known = presets.names(workspace)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"presets are {', '.join(known)}"
    raise ParamsError(f"{name}: no preset, params file or folder with a saved model; {hint}")


def _preset(workspace: Workspace, name: str) -> bool:
    from pipeline import presets

    return name in presets.names(workspace)


def breeds(params: Params) -> int:
    """How many labels a training by ``params`` has, as far as they say."""
    scrape = params.scrape
    if scrape.import_path and scrape.import_classes:
        return len(scrape.import_classes)
    return scrape.breeds if isinstance(scrape.breeds, int) else len(scrape.breeds)


# --------------------------------------------------------------------------- showing


def table(summary: Summary) -> Table:
    """The parts, each with those inside it."""
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("part", no_wrap=True)
    shown.add_column("layer", no_wrap=True)
    for name in ("output", "parameters", "MFLOP"):
        shown.add_column(name, justify="right", no_wrap=True)
    for part in summary.parts:
        outer = "." not in part.name
        shown.add_row(
            part.name if outer else f"  {part.name}",
            part.kind,
            _output(part),
            f"{part.parameters:,}",
            f"{part.flops / 1e6:,.1f}",
            style="bold" if outer else None,
        )
    shown.add_row(
        "total", "", "", f"{summary.parameters:,}", f"{summary.flops / 1e6:,.1f}", style="bold"
    )
    return shown


def _output(part: Part) -> str:
    if part.output is None:
        return "never called"
    return " x ".join(map(str, part.output))


def lines(described: Described, summary: Summary) -> list[str]:
    """The totals in words."""
    told = "unconditional" if not summary.conditional else f"told {described.classes} labels"
    unused = f", {summary.uncalled:,} of them never called" if summary.uncalled else ""
    return [
        f"{described.title}, {described.size}x{described.size} pictures, {told}",
        f"{summary.parameters:,} parameters{unused}; {summary.bytes / 1e6:,.1f} MB in float32",
        f"{summary.flops / 1e9:,.2f} GFLOP forward for one picture "
        "(2 a multiply-add; convolutions, matrix products, attention)",
    ]
