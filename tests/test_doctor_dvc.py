"""The doctor on what a killed DVC leaves, before and after a real DVC."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.doctor import CHECKS
from pipeline.findings import Finding
from pipeline.workspace import Workspace

STAGES = """
stages:
  first: {cmd: echo ran first && cp in a, deps: [in], params: [seed], outs: [a]}
  second: {cmd: echo ran second && cp a b, deps: [a], outs: [b]}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, tmp_path)


@pytest.fixture
def done(workspace: Workspace) -> Workspace:
    """A pipeline of two stages that has run."""
    for name, text in {"dvc.yaml": STAGES, "params.yaml": "seed: 0\n", "in": "x"}.items():
        (workspace.here / name).write_text(text)
    dvc(workspace, "init", "--no-scm", "-q")
    assert "ran first" in dvc(workspace, "repro")
    return workspace


def dvc(workspace: Workspace, *words: str, code: int = 0) -> str:
    """What it prints, when it must end with ``code``."""
    command = [sys.executable, "-m", "dvc", *words]
    own = {"DVC_SITE_CACHE_DIR": str(workspace.here / "site"), "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(
        command, cwd=workspace.here, env=os.environ | own, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def look(subject: str, workspace: Workspace, fix: bool = False) -> Finding:
    return CHECKS[subject](workspace, fix)


def half(text: str) -> str:
    return text[: text.rindex(":") - 2]  # in the middle of a key


@pytest.mark.parametrize("left", [lambda _: "", half], ids=["empty", "half"])
@pytest.mark.parametrize("name", [".dvc/tmp/rwlock", "dvc.lock"])
def test_a_note_that_was_cut_short_is_mended_and_nothing_runs_again(
    done: Workspace, name: str, left: Callable[[str], str]
) -> None:
    note = done.here / name
    whole = note.read_text()
    assert look("DVC's notes", done).level == "ok"
    note.write_text(left(whole if "second" in whole else '{"read": {"second": [1, 2, 3, 4, 5]}}'))
    (done.here / "b").unlink()
    refusal = dvc(done, "repro", code=255)
    assert note.name in refusal.lower()
    found = look("DVC's notes", done)
    assert found.level == "bad" and note.name in found.text and "--fix" in found.mend
    assert (found := look("DVC's notes", done, fix=True)).level == "ok", found
    again = dvc(done, "repro")
    assert "ran" not in again and (done.here / "b").read_text() == "x"
    assert note.read_text() == whole and look("DVC's notes", done).text == "readable"


def test_notes_are_left_alone_while_dvc_works(done: Workspace) -> None:
    (done.here / ".dvc" / "tmp" / "rwlock").write_text("")
    with dvc_at_work(done.here) as working:
        found = look("DVC's notes", done, fix=True)
        assert found.level == "bad" and "at work" in found.text
        working.kill()
    assert (found := look("DVC's notes", done, fix=True)).level == "ok", found


def test_a_merge_that_is_not_settled_is_put_aside_and_kept(done: Workspace) -> None:
    lock = done.here / "dvc.lock"
    merge = f"<<<<<<< HEAD\n{lock.read_text()}=======\n>>>>>>> other\n"
    lock.write_text(merge)
    assert (found := look("DVC's notes", done, fix=True)).level == "ok", found
    assert (done.cache / "dvc.lock.broken").read_text() == merge and not lock.exists()


def test_a_broken_pipeline_file_is_said_in_dvcs_words(done: Workspace) -> None:
    (done.here / "dvc.yaml").write_text("stages: [")
    found = look("DVC's notes", done)
    assert found.level == "bad" and "dvc.yaml" in found.text and "git checkout" in found.mend
    assert look("params.yaml", done).level == "ok"


def test_params_that_dvc_would_miss_are_named(done: Workspace) -> None:
    assert look("params.yaml", done).level == "ok"
    (done.here / "params.yaml").write_text("")
    assert "seed" in dvc(done, "repro", code=255)
    found = look("params.yaml", done)
    assert found.level == "bad" and "seed" in found.text and "git checkout" in found.mend


def test_checkouts_of_a_killed_queue_are_named_and_removed_unless_dvc_works(
    workspace: Workspace,
) -> None:
    folder = workspace.shared / ".dvc" / "tmp" / "exps"
    assert look("experiments", workspace).level == "ok"
    for name in ("tmp1", "standalone/tmp2", "celery", "run"):
        (folder / name).mkdir(parents=True)
    found = look("experiments", workspace)
    assert found.level == "warn" and "tmp2, tmp1" in found.text and "--fix" in found.mend
    with dvc_at_work(folder / "tmp1") as working:
        assert look("experiments", workspace, fix=True).level == "ok"
        assert (folder / "tmp1").is_dir()
        working.kill()
    assert look("experiments", workspace, fix=True).level == "ok"
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    assert left == ["celery", "run", "standalone"]


def dvc_at_work(folder: Path) -> subprocess.Popen[bytes]:
    """A process that looks like DVC in ``folder``."""
    dvc = folder / "dvc"
    dvc.write_text("read line\n")
    return subprocess.Popen(["sh", str(dvc)], stdin=subprocess.PIPE, cwd=folder)
