"""A clone of the project that tests drive from outside, by commands as a user would type them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.workspace import waiting_lock

REPOSITORY = Path(__file__).parents[1]


def environment(scratch: Path) -> dict[str, str]:
    """What a user's shell would have, less this test run's own variables, plus quiet tools."""
    own = ("DVC_", "MLFLOW_", "GIT_", "PYTEST_", "PYTHON", "COV_", "PIPELINE_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(scratch / "dvc-site"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "test",
        "GIT_AUTHOR_EMAIL": "test@example.org",
        "GIT_COMMITTER_NAME": "test",
        "GIT_COMMITTER_EMAIL": "test@example.org",
        "OMP_NUM_THREADS": "1",  # the nets are tiny: threads would only wait for each other
        "NO_COLOR": "1",
    }


@dataclass
class Project:
    """A clone of the project, driven from outside by commands as a user would type them."""

    root: Path
    env: dict[str, str]

    def run(self, *command: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command in the clone; ``code`` is the exit code expected (None: any)."""
        done = subprocess.run(
            command, cwd=self.root, env=self.env, capture_output=True, text=True, timeout=600
        )
        if code is not None and done.returncode != code:
            said = f"{done.stdout}\n{done.stderr}"
            pytest.fail(f"{' '.join(command)}: exit code {done.returncode}, not {code}\n{said}")
        return done

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own, output to ``<root>/started.log``."""
        with (self.root / ".cache" / "started.log").open("w") as log:
            return subprocess.Popen(
                command, cwd=self.root, env=self.env, stdout=log, stderr=log, text=True,
                start_new_session=True,
            )  # fmt: skip

    def dvc(self, *arguments: str, code: int | None = 0) -> str:
        """What ``dvc`` printed, both streams."""
        done = self.run("dvc", *arguments, code=code)
        return done.stdout + done.stderr

    def pipeline(self, *arguments: str, code: int | None = 0) -> str:
        """What ``pipeline`` printed, both streams. By ``-m``: the code of this clone."""
        done = self.run(sys.executable, "-m", "pipeline.cli", *arguments, code=code)
        return done.stdout + done.stderr

    def git(self, *arguments: str) -> str:
        return self.run("git", *arguments).stdout

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def changed(self) -> list[str]:
        """Paths that differ from the last commit, untracked ones included."""
        lines = self.git("status", "--porcelain", "--untracked-files=all").splitlines()
        return sorted(line[3:] for line in lines)

    def json(self, path: str) -> Any:
        return json.loads((self.root / path).read_text())

    @property
    def client(self) -> Any:
        """MLflow's own client on the project's store."""
        from pipeline.tracking_store import import_mlflow

        return import_mlflow().MlflowClient(f"sqlite:///{self.root}/mlruns/mlflow.db")

    def runs(self) -> list[Any]:
        """All MLflow runs, oldest first."""
        client = self.client
        ids = [item.experiment_id for item in client.search_experiments()]
        return list(client.search_runs(ids, order_by=["attributes.start_time ASC"]))


def wait_for(condition: Callable[[], Any], what: str, limit: float = 300) -> Any:
    """Poll until ``condition`` gives something true, and return that."""
    end = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {limit:.0f} s for {what}"
        time.sleep(0.05)
    return found


def stages_run(said: str) -> list[str]:
    """The stages that DVC says it ran."""
    return re.findall(r"Running stage '(\w+)'", said)


def copy_files_of_git(source: Path, target: Path) -> None:
    """What a clone would hold, with the changes of the working tree."""
    command = ["git", "-C", str(source), "ls-files", "-co", "--exclude-standard", "-z"]
    for name in subprocess.check_output(command, text=True).split("\0"):
        if name and (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)


@dataclass(frozen=True)
class Template:
    """The repository every test copies."""

    project: Project
    repro: str  # what the first `dvc repro` printed
    changed: list[str]  # what git saw afterwards


def template_in(scratch: Path) -> Template:
    """A repository with the tiny preset, run once by the real DVC and its results committed.

    Made in ``scratch`` by the first of the processes that share it.
    """
    project = Project(scratch / "dogs", environment(scratch))
    finished = scratch / "repro.json"
    with waiting_lock(scratch / "lock"):
        if not finished.exists():
            shutil.rmtree(project.root, ignore_errors=True)  # of one that failed
            finished.write_text(json.dumps(_run_once(project)))
    return Template(project, *json.loads(finished.read_text()))


def _run_once(project: Project) -> tuple[str, list[str]]:
    """What `dvc repro` prints and changes in a new clone, whose results are committed then."""
    new_clone(project)
    found = project.dvc("repro"), project.changed()
    project.commit("its results")
    return found


def new_clone(project: Project) -> None:
    """A clone of this working tree with the tiny preset, committed; nothing has run."""
    copy_files_of_git(REPOSITORY, project.root)
    (project.root / ".cache").mkdir()
    project.git("init", "-q", "-b", "main")
    project.commit("a clone")
    project.pipeline("preset", "apply", "tiny")
    project.commit("the tiny preset")


def copy_of(template: Template, root: Path) -> Project:
    """A copy of the finished repository: what a user has after the first `dvc repro`."""
    shutil.copytree(template.project.root, root, symlinks=True)
    return Project(root, dict(template.project.env))  # a test may change its own
