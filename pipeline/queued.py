"""Experiments of DVC's queue whose process was killed.

DVC calls them "Running" for ever: their worker is gone, and no other takes them up.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ParamsError
from pipeline.knobs import parse_yaml
from pipeline.report.again import reproduce
from pipeline.workspace import Workspace, committed

RUNS = Path(".dvc/tmp/exps/run")  # DVC's: a folder an experiment, named by its stashed commit


@dataclass(frozen=True)
class Killed:
    """An experiment by its name. ``again``: the commands that queue it once more."""

    name: str
    again: str


def killed(workspace: Workspace) -> Iterator[Killed]:
    """What the queue says is running although its process is gone."""
    for folder in sorted((workspace.shared / RUNS).glob("*/")):
        revision = folder.name
        process = _read(folder / f"{revision}.json")
        pid = process.get("pid")
        ended = process.get("returncode") is not None
        if ended or not isinstance(pid, int) or _lives(pid, revision):
            continue
        name = str(_read(folder / f"{revision}.run").get("name") or revision[:7])
        yield Killed(name, _again(workspace.shared, revision, name))


def _again(repository: Path, revision: str, name: str) -> str:
    """Let DVC give the experiment up, then queue it with the values it was queued with."""
    kill = f"dvc queue kill {shlex.quote(name)}"
    texts = [committed(repository, "params.yaml", at) for at in (revision, f"{revision}^1")]
    try:
        queued, base = (parse_yaml(text or "", "params.yaml") for text in texts)
    except ParamsError:
        queued = base = {}
    if not queued or not base:  # `git gc` has taken the commit
        return f"{kill}, and queue it again"
    values = reproduce(queued, base).replace("\\\n", "").partition("-S ")
    words = f"dvc exp run --queue -n {shlex.quote(name)} {''.join(values[1:])}"
    return f"{kill} && {' '.join(words.split())}"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _lives(pid: int, revision: str) -> bool:
    """Whether ``pid`` is still the process of this experiment: ids are given again."""
    try:
        return revision.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
