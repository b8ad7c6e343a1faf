"""The doctor against machines that lack one thing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from local_store import start_run

from pipeline import doctor
from pipeline.doctor import CHECKS, examine
from pipeline.findings import Finding
from pipeline.spool import Journal
from pipeline.workspace import Workspace

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("params.yaml", "dvc.yaml", "requirements.lock"):
        shutil.copy(REPOSITORY / name, tmp_path)
    return Workspace(tmp_path, tmp_path)


def look(subject: str, workspace: Workspace, fix: bool = False) -> Finding:
    return CHECKS[subject](workspace, fix)


def program(folder: Path, name: str, prints: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{prints}'\n")
    path.chmod(0o755)


def test_every_finding_that_is_not_ok_says_how_to_mend_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(doctor, "_import", _raise(ImportError("no module")))
    workspace.params.write_text("nosuch: 1\n")
    found = list(examine(workspace))
    assert [finding.subject for finding in found] == list(CHECKS)
    assert all(finding.mend for finding in found if finding.level != "ok")
    levels = {finding.subject: finding.level for finding in found}
    for subject in ("torch", "browser", "git", "params.yaml"):
        assert levels[subject] == "bad", subject


def _raise(error: Exception) -> Any:
    def function(*_: Any) -> None:
        raise error

    return function


# ------------------------------------------------------------------ torch


def test_a_torchvision_of_another_build_is_bad_although_it_is_no_import_error(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = ModuleType("torch")
    torch.__version__ = "2.13.0+cpu"  # type: ignore[attr-defined]

    def importing(name: str) -> ModuleType:
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
        return torch

    monkeypatch.setattr(doctor, "_import", importing)
    found = look("torch", workspace)
    assert found.level == "bad" and "nms does not exist" in found.text
    assert "one build" in found.mend


def test_the_lock_is_compared_with_what_is_installed(workspace: Workspace) -> None:
    lock = workspace.here / "requirements.lock"
    lock.write_text("click==0.1\n")
    found = look("packages", workspace)
    assert found.level == "warn" and "(locked 0.1)" in found.text
    lock.write_text("no-such-package==1.0\n")
    assert look("packages", workspace).level == "bad"


def test_the_lock_holds_exact_versions_only() -> None:
    import re

    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.!]+", line)] == []
    assert len({line.partition("==")[0].lower() for line in lines}) == len(lines) > 100


# ------------------------------------------------------------------ programs


@pytest.mark.parametrize(
    ("browser", "driver", "level", "says"),
    [
        ("Chromium 140.0.1.2 built on Debian", "ChromeDriver 140.0.1.9 (abc)", "ok", "140.0.1.2"),
        ("Chromium 141.0.1.2", "ChromeDriver 140.0.1.9", "bad", "do not match"),
        ("Chromium 141.0.1.2", "cannot start", "bad", "does not start"),
        ("Chromium 141.0.1.2", None, "bad", "no chromedriver"),
        (None, "ChromeDriver 140.0.1.9", "bad", "no Chromium"),
    ],
)
def test_browser_and_driver_must_be_there_and_match(
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    browser: str | None,
    driver: str | None,
    level: str,
    says: str,
) -> None:
    programs = workspace.here / "bin"
    programs.mkdir()
    for name, prints in (("chromium", browser), ("chromedriver", driver)):
        if prints is not None:
            program(programs, name, prints)
    monkeypatch.setenv("PATH", str(programs))
    found = look("browser", workspace)
    assert found.level == level and says in found.text


def test_git_needs_a_repository_with_a_commit(workspace: Workspace) -> None:
    git = ["git", "-C", str(workspace.here), "-c", "user.name=t", "-c", "user.email=t@t"]
    assert "no repository" in look("git", workspace).text
    subprocess.run([*git, "init", "-q"], check=True)
    assert "no commit" in look("git", workspace).text
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    assert look("git", workspace).level == "ok"


def test_a_python_that_dvc_would_not_take_is_a_warning(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace.here / ".dvc").mkdir()
    programs = workspace.here / "bin"
    programs.mkdir()
    program(programs, "python", "")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    found = look("DVC", workspace)
    assert found.level == "warn" and str(programs) in found.text and "first in PATH" in found.mend


# ------------------------------------------------------------------ MLflow and files


def test_before_the_first_run_the_store_is_fine(workspace: Workspace) -> None:
    for subject in ("MLflow store", "artifacts", "dead runs"):
        assert look(subject, workspace).level == "ok"
    assert not workspace.mlruns.exists()


def test_a_broken_store_is_bad(workspace: Workspace) -> None:
    workspace.mlruns.mkdir()
    (workspace.mlruns / "mlflow.db").write_bytes(b"no database" * 100)
    assert look("MLflow store", workspace).level == "bad"
    assert look("artifacts", workspace).level == "bad"


def test_a_moved_store_and_a_dead_run_are_found_and_mended(workspace: Workspace) -> None:
    from pipeline.params import Params
    from pipeline.provenance import PROCESS_TAG, this_process

    run = start_run(workspace, Params(), name="left-alone")
    host, pid, started = this_process().split(" ")
    run.set_tags({PROCESS_TAG: f"{host} {pid} {int(started) - 1}"})
    moved = Workspace(workspace.here / "new", workspace.here / "new")
    moved.here.mkdir()
    workspace.mlruns.rename(moved.mlruns)
    assert look("artifacts", moved).level == "bad" and look("dead runs", moved).level == "warn"
    for subject in ("artifacts", "dead runs"):
        assert look(subject, moved, fix=True).level == "ok"
        assert look(subject, moved).level == "ok"
    assert look("MLflow store", moved).text.endswith("1 runs")


def test_runs_that_wait_for_delivery_are_named(workspace: Workspace) -> None:
    journal = Journal(workspace.cache / "spool" / "20260101-one")
    journal.write("open")
    assert look("spool", workspace).level == "ok", "a stage is still writing it"
    journal.close()
    found = look("spool", workspace)
    assert found.level == "warn" and "20260101-one" in found.text
    assert found.mend == "pipeline deliver"


@pytest.mark.parametrize(("gigabytes", "level"), [(100, "ok"), (5, "warn"), (0.5, "bad")])
def test_a_disk_that_fills_up_is_named_early(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, gigabytes: float, level: str
) -> None:
    usage = type("Usage", (), {"free": int(gigabytes * 1e9)})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert look("disk", workspace).level == level
