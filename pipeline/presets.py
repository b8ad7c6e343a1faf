"""Ready params files, changes to params.yaml that show themselves, and the list of every knob."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import knobs
from pipeline import params as schema
from pipeline.errors import ParamsError
from pipeline.params import Params
from pipeline.workspace import Workspace, write_text


def names(workspace: Workspace) -> list[str]:
    """The presets of the project: ``presets/<name>.yaml``."""
    return sorted(path.stem for path in (workspace.here / "presets").glob("*.yaml"))


def find(workspace: Workspace, name: str) -> Path:
    """The file of preset ``name``.

    Raises:
        ParamsError: there is none of that name.
    """
    known = names(workspace)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        raise ParamsError(f"preset {name!r}: unknown; {hint}")
    return workspace.here / "presets" / f"{name}.yaml"


def summary(params: Params) -> str:
    """One line that tells presets apart."""
    scrape, train = params.scrape, params.train
    if scrape.import_path:
        path = scrape.import_path
        source = f"import of {path if isinstance(path, str) else ' + '.join(path)}"
    else:
        breeds = scrape.breeds if isinstance(scrape.breeds, int) else len(scrape.breeds)
        each = " + ".join(f"{count:,} from {name}" for name, count in scrape.sources.items())
        source = f"{breeds} breeds, {each}"
    return (
        f"{source}; {params.resize.size}x{params.resize.size} px; {params.scheduler} schedule, "
        f"{train.objective} objective, {train.images:,} training images"
    )


def difference(old: str, new: str, name: str = "params.yaml") -> str:
    """Unified diff of two texts; empty if they are equal."""
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"{name} (before)", f"{name} (now)", "", "", 1, ""
    )
    return "\n".join(lines)


def apply(workspace: Workspace, name: str) -> str:
    """Make preset ``name`` the params.yaml. Returns the diff; empty if nothing changed."""
    path = find(workspace, name)
    schema.load(path)  # a preset that does not fit the schema must not replace one that does
    return _replace(workspace.params, path.read_text(encoding="utf-8"))


def set_params(workspace: Workspace, assignments: dict[str, Any]) -> str:
    """Set dotted keys in params.yaml, one line each. Returns the diff.

    Raises:
        ParamsError: the result would not be allowed; the file is left as it was.
    """
    new = knobs.set_in_text(workspace.params.read_text(encoding="utf-8"), assignments)
    schema.from_document(knobs.parse_yaml(new, workspace.params.name))
    return _replace(workspace.params, new)


def _replace(path: Path, new: str) -> str:
    old = path.read_text(encoding="utf-8") if path.is_file() else ""
    if old != new:
        write_text(path, new)
    return difference(old, new, path.name)


@dataclass(frozen=True)
class Knob:
    """One parameter as a person wants to read of it."""

    key: str
    value: Any
    default: Any
    allowed: str
    help: str


def every_knob(section: Any, prefix: str = "") -> Iterator[Knob]:
    """Every knob of a (checked) section, in the order of the schema."""
    hints = typing.get_type_hints(type(section))
    for item in dataclasses.fields(section):
        value, key = getattr(section, item.name), f"{prefix}{item.name}"
        if dataclasses.is_dataclass(value):
            yield from every_knob(value, f"{key}.")
            continue
        default = item.default
        if item.default_factory is not dataclasses.MISSING:
            default = item.default_factory()
        kinds = typing.get_args(hints[item.name])
        union = typing.get_origin(hints[item.name]) not in (list, dict)
        text = knobs.allowed(kinds if kinds and union else (hints[item.name],), item.metadata)
        yield Knob(key, value, default, text, item.metadata["help"])
