"""What the commands share: groups whose errors are one line, the -S option, advice about DVC."""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from pipeline import knobs
from pipeline import params as schema
from pipeline.errors import printable
from pipeline.params import Params
from pipeline.workspace import Workspace

F = TypeVar("F", bound=Callable[..., Any])

COUNT = click.IntRange(min=1)

SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100}


class Group(click.Group):
    """A group that suggests the command meant and lists commands in the order of their making."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in self.commands:
            close = difflib.get_close_matches(name, self.commands, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(self.commands)}"
            raise click.UsageError(f"no command {name!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


def example(*lines: str) -> str:
    """An epilog that click prints as it is."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def set_option(function: F) -> F:
    """``-S key=value``, as often as wanted: the same values, checked the same, as params.yaml."""
    return click.option(
        "-S",
        "--set",
        "assignments",
        metavar="KEY=VALUE",
        multiple=True,
        show_default=False,
        help="Use this value in place of the one in params.yaml (repeatable).",
    )(function)


def assign(key: str, value: Any) -> str:
    """``key=value`` for ``params.load``; JSON is YAML, so text with colons stays text."""
    return f"{key}={json.dumps(value)}"


def given(options: dict[str, Any]) -> list[str]:
    """Assignments for the options that were given: None and () were not."""
    return [assign(key, value) for key, value in options.items() if value not in (None, (), [])]


def run_stage(name: str, overrides: Sequence[str], **arguments: Any) -> None:
    """Run ``stages.<name>`` with overridden params, then say how DVC learns of the result."""
    import importlib

    workspace = Workspace.find()
    params = schema.load(workspace.params, overrides)
    stage = importlib.import_module(f"stages.{name}")
    metrics = stage.run(params, workspace, **arguments)
    if hasattr(stage, "summary"):
        said = stage.summary(metrics)
        click.echo(printable(said if isinstance(said, str) else "\n".join(said)))
    else:
        show_metrics(name, metrics)
    click.echo(dvc_advice(name, overrides, workspace), err=True)


def show_metrics(name: str, metrics: Any) -> None:
    """The plain values of a stage's metrics, a line each."""
    flat = knobs.flatten(metrics) if isinstance(metrics, dict) else {}
    plain = {k: v for k, v in flat.items() if isinstance(v, (int, float, str))}
    width = max(map(len, plain), default=0)
    click.echo(click.style(name, bold=True))
    for key, value in plain.items():
        text = f"{value:,.4g}" if isinstance(value, float) else str(value)
        click.echo(printable(f"  {key:<{width}}  {text}"))


def dvc_advice(name: str, overrides: Sequence[str], workspace: Workspace) -> str:
    """How to make DVC record what a single stage just wrote behind its back."""
    changed = changes(overrides, schema.load(workspace.params, overrides), workspace)
    if not changed:
        return f"DVC has not recorded this yet: `dvc commit -f {name}` does, `dvc repro` goes on."
    pairs = " ".join(f"-S {shlex.quote(item)}" for item in overrides)
    return (
        "DVC has not recorded this, and params.yaml says otherwise:\n"
        + "".join(f"  {key}: {old} there, {new} here\n" for key, old, new in changed)
        + f"To keep it, write that into params.yaml and `dvc commit -f {name}`;\n"
        + f"or let DVC do the whole experiment: dvc exp run {pairs}"
    )


def changes(
    overrides: Sequence[str], now: Params, workspace: Workspace
) -> list[tuple[str, Any, Any]]:
    """Overridden knobs whose value differs from params.yaml: (key, there, here)."""
    there = knobs.flatten(schema.to_dict(schema.load(workspace.params)))
    here = knobs.flatten(schema.to_dict(now))
    keys = dict.fromkeys([*there, *here])
    return [(k, there.get(k), here.get(k)) for k in keys if there.get(k) != here.get(k)]
