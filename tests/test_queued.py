"""Experiments that DVC's queue waits for in vain."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.cli.parser import get_main_parser

from pipeline.doctor_dvc import check_queue
from pipeline.knobs import set_in_text
from pipeline.queued import RUNS, killed
from pipeline.workspace import Workspace

TINY = (Path(__file__).parents[1] / "presets/tiny.yaml").read_text("utf-8")


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    command = ["git", "-C", str(folder), *who, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    git(tmp_path, "init", "-q")
    commit(tmp_path, TINY)
    return Workspace(tmp_path, tmp_path)


def commit(folder: Path, text: str) -> str:
    (folder / "params.yaml").write_text(text)
    git(folder, "add", "params.yaml")
    git(folder, "commit", "-qm", "params", "--allow-empty")
    return git(folder, "rev-parse", "HEAD")


def task(space: Workspace, revision: str, pid: int, returncode: int | None = None) -> None:
    """The two files DVC keeps of an experiment that it has begun."""
    folder = space.here / RUNS / revision
    folder.mkdir(parents=True)
    process = {"pid": pid, "stdout": "out", "returncode": returncode}
    (folder / f"{revision}.json").write_text(json.dumps(process))
    (folder / f"{revision}.run").write_text(json.dumps({"name": "gory-tale", "status": 2}))


def dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def waiting(*words: str) -> subprocess.Popen[bytes]:
    """A process that lives until it is killed."""
    program = "print(flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", program, *words], stdin=-1, stdout=-1)
    assert process.stdout and process.stdout.readline()
    return process


def test_a_killed_one_is_named_with_the_command_that_queues_it_again(space: Workspace) -> None:
    values = {"seed": 7, "train.lr": 1e-5, "train.net.multipliers": [1, 2, 4], "evaluate.eta": 0.5}
    revision = commit(space.here, set_in_text(TINY, values))
    task(space, revision, dead())
    (found,) = killed(space)
    kill, again = found.again.split(" && ")
    assert (found.name, kill) == ("gory-tale", "dvc queue kill gory-tale")
    asked = get_main_parser().parse_args(shlex.split(again)[1:])
    assert asked.queue and asked.name == "gory-tale"
    assert asked.set_param == [
        "seed=7",
        "train.net.multipliers=[1,2,4]",
        "train.lr=1e-05",
        "evaluate.eta=0.5",
    ]
    finding = check_queue(space, False)
    assert finding.level == "warn" and "gory-tale" in finding.text and finding.mend == found.again


def test_one_that_runs_or_has_ended_is_left_alone(space: Workspace) -> None:
    revision = commit(space.here, TINY)
    with waiting(revision) as living:
        task(space, revision, living.pid)
        assert list(killed(space)) == []
        living.kill()
    assert [one.name for one in killed(space)] == ["gory-tale"]
    task(space, commit(space.here, TINY), dead(), returncode=-1)
    assert len(list(killed(space))) == 1


def test_an_id_that_another_process_has_now_is_no_sign_of_life(space: Workspace) -> None:
    with waiting() as other:
        task(space, commit(space.here, TINY), other.pid)
        assert [one.name for one in killed(space)] == ["gory-tale"]
        other.kill()


def test_what_git_no_longer_has_and_what_is_no_json_are_said_or_passed_over(
    space: Workspace,
) -> None:
    task(space, "f" * 40, dead())
    (found,) = killed(space)
    assert found.again == "dvc queue kill gory-tale, and queue it again"
    (space.here / RUNS / ("f" * 40) / f"{'f' * 40}.json").write_text("{")
    assert list(killed(space)) == [] and check_queue(space, False).level == "ok"
