"""``pipeline import``, ``preset``, ``params``: what params.yaml says, and changes to it shown."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pipeline import params as schema
from pipeline.commands.common import Group, assign, example, set_option, show_metrics
from pipeline.errors import ParamsError, printable
from pipeline.workspace import Workspace


@click.command(
    "import",
    epilog=example(
        "pipeline import ~/data/dogs.tar && dvc repro",
        "pipeline import 70-dog-breeds.zip stanford-dogs/images.tar",
        "pipeline import torchvision:CIFAR10",
        "pipeline import torchvision:StanfordCars --root ~/data",
        "pipeline import sprites.npy --labels labels.npy --classes hero,food,spell",
    ),
)
@click.argument("data_sets", nargs=-1, required=True, metavar="PATH...")
@click.option("--labels", metavar="FILE", help="Labels (.npy) of a .npy of pictures.")
@click.option("--classes", metavar="A,B,C", help="Names of these labels, from label 0.")
@click.option(
    "--root", metavar="DIR", help="Where torchvision's data sets lie or go (data/import)."
)
@set_option
def import_(
    data_sets: tuple[str, ...],
    labels: str | None,
    classes: str | None,
    root: str | None,
    assignments: tuple[str, ...],
) -> None:
    """Take data sets you have in place of scraping; several are merged by breed.

    PATH is a folder with one folder of pictures a class, a tar or zip of one, a .npy of pictures,
    or a data set of torchvision: torchvision:CIFAR10, MNIST, CelebA (or CelebA/Smiling: by an
    attribute), StanfordCars (or StanfordCars/make). params.yaml remembers all this
    (scrape.import_path and its neighbours).
    """
    workspace = Workspace.find()
    for name in data_sets:
        if not name.startswith("torchvision:") and not Path(name).exists():
            raise ParamsError(
                f"{name}: is not there; expected a folder, tar or zip of class folders, a .npy "
                "of pictures, or torchvision:NAME"
            )

    import stages.scrape
    from pipeline import presets

    found = [remembered(name, workspace) for name in data_sets]
    wanted = {
        "scrape.import_path": found[0] if len(found) == 1 else found,
        "scrape.import_labels": remembered(labels, workspace) if labels else None,
        "scrape.import_classes": [name.strip() for name in classes.split(",")] if classes else [],
        "scrape.import_root": remembered(root, workspace) if root else None,
    }
    # The import first: a file that cannot be imported must not stay in params.yaml.
    overrides = [*assignments, *(assign(key, value) for key, value in wanted.items())]
    params = schema.load(workspace.params, overrides)
    show_metrics("import", stages.scrape.run(params, workspace))
    show_diff(presets.set_params(workspace, wanted))
    click.echo("`dvc repro` records this and goes on from there.", err=True)


def remembered(name: str, workspace: Workspace) -> str:
    """How params.yaml names a data set: by a path that holds on another machine, if it can."""
    if name.startswith("torchvision:"):
        return name
    found = Path(name).resolve()
    inside = found.is_relative_to(workspace.here)
    return found.relative_to(workspace.here).as_posix() if inside else str(found)


@click.group(
    cls=Group,
    invoke_without_command=True,
    epilog=example("pipeline preset", "pipeline preset show demo", "pipeline preset apply demo"),
)
@click.pass_context
def preset(ctx: click.Context) -> None:
    """List the ready params files, show or apply one."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_presets)


@preset.command("list", epilog=example("pipeline preset list"))
def list_presets() -> None:
    """Name every preset, with what it asks for; * is what params.yaml says now."""
    from pipeline import presets

    workspace = Workspace.find()
    names = presets.names(workspace)
    current = schema.load(workspace.params)
    for name in names:
        params = schema.load(presets.find(workspace, name))
        mark = "*" if params == current else " "
        click.echo(f"{mark} {name:<{max(map(len, names))}}  {presets.summary(params)}")


@preset.command("show", epilog=example("pipeline preset show demo"))
@click.argument("name")
def show_preset(name: str) -> None:
    """Print a preset."""
    from pipeline import presets

    click.echo(presets.find(Workspace.find(), name).read_text(encoding="utf-8"), nl=False)


@preset.command("apply", epilog=example("pipeline preset apply demo && dvc repro"))
@click.argument("name")
def apply_preset(name: str) -> None:
    """Write a preset over params.yaml and show what that changed."""
    from pipeline import presets

    diff = presets.apply(Workspace.find(), name)
    if diff:
        show_diff(diff)
        click.echo(f"params.yaml is now preset {name}; `dvc repro` runs it.", err=True)
    else:
        click.echo(f"params.yaml is preset {name} already.", err=True)


@click.command("params", epilog=example("pipeline params", "pipeline params train.net"))
@click.argument("prefix", default="", metavar="[PREFIX]")
@set_option
def list_params(prefix: str, assignments: tuple[str, ...]) -> None:
    """List every knob: value now, what is allowed, what it does. Changed from default: *."""
    from pipeline import presets

    params = schema.load(Workspace.find().params, assignments)
    knobs = list(presets.every_knob(params))
    start = f"{prefix}." if prefix else ""
    shown = [k for k in knobs if k.key == prefix or k.key.startswith(start)]
    if not shown:
        raise ParamsError(f"no knob starts with {prefix!r}; `pipeline params` lists all")
    width = max(len(k.key) for k in shown)
    for k in shown:
        mark = " " if k.value == k.default else "*"
        value = "null" if k.value is None else str(k.value)
        key = click.style(f"{k.key:<{width}}", bold=True)
        default = "" if k.value == k.default else f"; default {k.default}"
        click.echo(f"{mark} {key}  {printable(value)}")
        click.echo(f"  {'':<{width}}  {k.help} ({k.allowed}{default})")


def show_diff(diff: str) -> None:
    """Print a unified diff, coloured on a terminal."""
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in diff.splitlines():
        shown = click.style(printable(line), fg=colours.get(line[:1]))
        click.echo(shown, file=sys.stdout)
