"""The command line in this process, and a folder it may work in."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.workspace import Workspace

REPOSITORY = Path(__file__).parents[1]


def project_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A project without code in ``folder``, which becomes the current directory."""
    for name in ("params.yaml", "dvc.yaml", "breeds.yaml"):
        shutil.copy(REPOSITORY / name, folder)
    shutil.copytree(REPOSITORY / "presets", folder / "presets")
    monkeypatch.chdir(folder)
    for name in ("DVC_STAGE", "DVC_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return Workspace(folder, folder)


@dataclass
class Result:
    code: int
    out: str
    err: str


Pipeline = Callable[..., Result]


def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Pipeline:
    """Runs ``pipeline`` with the arguments it is called with."""

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["pipeline", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        said = capsys.readouterr()
        return Result(code, said.out, said.err)

    return run
