"""The house keeps its floors: no arrow upwards, no circle, no unsafe way to read or to run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
CODE = [*REPOSITORY.glob("pipeline/**/*.py"), *REPOSITORY.glob("stages/*.py")]


def floors() -> list[list[str]]:
    """The rooms as CONTRIBUTING.md draws them, from the top."""
    page = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
    drawn = re.search(r"^```\n(cli\b.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert drawn
    return [line.split() for line in drawn[1].splitlines()]


def room_of(module: str) -> str:
    """``pipeline.nets.unet`` is in ``nets``; all stages are one room; other packages are none."""
    package, _, rest = module.partition(".")
    if package == "stages":
        return package
    return rest.partition(".")[0] if package == "pipeline" else ""


def imported(node: ast.AST) -> Iterator[str]:
    """Modules that are imported at and below ``node``, but for those that only types need."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports name their whole path"
            inner = child.module in ("pipeline", "stages")
            for alias in child.names:
                yield f"{child.module}.{alias.name}" if inner else str(child.module)
        yield from imported(child)


def arrows() -> dict[str, set[str]]:
    """For each room the rooms that it uses."""
    used: dict[str, set[str]] = {}
    for path in CODE:
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        room = room_of(".".join(part for part in parts if part != "__init__"))
        if room:
            found = {room_of(module) for module in imported(ast.parse(path.read_text("utf-8")))}
            used.setdefault(room, set()).update(found - {"", "__version__", room})
    return used


def test_every_room_has_its_floor() -> None:
    drawn = [room for floor in floors() for room in floor]
    assert sorted(drawn) == sorted(arrows())


def test_no_arrow_leads_upwards() -> None:
    level = {room: i for i, floor in enumerate(floors()) for room in floor}
    wrong = {(a, b) for a, used in arrows().items() for b in used if level[b] < level[a]}
    assert not wrong


def test_no_room_leads_back_to_itself() -> None:
    order = list(TopologicalSorter(arrows()).static_order())  # CycleError names the circle
    assert order[-1] == "cli"
