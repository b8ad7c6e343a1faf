"""DVC's cache, read through: is every object what its name says?

DVC trusts objects it has made read-only: a damaged one is checked out without a word, and
`dvc status` calls the result up to date.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import PipelineError
from pipeline.workspace import Workspace

_OBJECT = re.compile(r"files/md5/([0-9a-f]{2})/([0-9a-f]{30})(?:\.dir)?$")


@dataclass(frozen=True)
class Damaged:
    """An object whose content is not what its name says, and the outs that consist of it."""

    path: Path
    outs: tuple[str, ...]

    def __str__(self) -> str:
        return ", ".join(self.outs) or f"an earlier version ({self.path.name})"


def ask(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What ``dvc WORDS`` answers in ``root``. It sends no statistics: the process that does would
    outlive it, and look like DVC at work."""
    return subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=root,
        env=os.environ | {"DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def cache_folder(workspace: Workspace) -> Path:
    """Where DVC keeps objects: a user may have put it elsewhere.

    Raises:
        PipelineError: DVC does not say.
    """
    done = ask(workspace.shared, "cache", "dir")
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise PipelineError(f"`dvc cache dir` fails: {said}")
    return (workspace.shared / done.stdout.strip()).resolve()


def objects(cache: Path) -> list[Path]:
    """The files of ``cache`` that are named after the md5 of their content."""
    return sorted(
        path
        for path in (cache / "files" / "md5").glob("??/*")
        if _OBJECT.search(path.as_posix()) and path.is_file()
    )


def damaged(workspace: Workspace, cache: Path) -> list[Damaged]:
    """Every object of ``cache`` that is damaged. Reads all of them."""
    found = [path for path in objects(cache) if not _is_sound(path)]
    named: dict[str, list[str]] = {}
    for out, md5 in _outs(workspace, cache) if found else ():
        named.setdefault(md5, []).append(out)
    return [Damaged(path, tuple(named.get(_name(path), ()))) for path in found]


def _name(path: Path) -> str:
    return path.parent.name + path.name.removesuffix(".dir")


def _is_sound(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest() == _name(path)
    except OSError:  # a disk that gives the bytes no longer
        return False


def _outs(workspace: Workspace, cache: Path) -> Iterator[tuple[str, str]]:
    """(path, md5) of every out in dvc.lock and every file in those that are folders."""
    lock = workspace.here / "dvc.lock"
    try:
        stages: Any = YAML(typ="safe").load(lock.read_text(encoding="utf-8"))["stages"]
        outs = [out for stage in stages.values() for out in stage.get("outs", ())]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, YAMLError):
        return  # the objects are named as they are
    for out in outs:
        path, md5 = str(out["path"]), str(out["md5"])
        yield path, md5.removesuffix(".dir")
        if md5.endswith(".dir"):
            yield from _files(path, cache / "files" / "md5" / md5[:2] / md5[2:])


def _files(folder: str, listing: Path) -> Iterator[tuple[str, str]]:
    try:
        rows = json.loads(listing.read_text(encoding="utf-8"))
        yield from [(f"{folder}/{row['relpath']}", str(row["md5"])) for row in rows]
    except (OSError, ValueError, TypeError, KeyError):  # the listing may be what is damaged
        return
