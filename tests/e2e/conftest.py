"""A fresh repository with the tiny preset, run once by the real DVC; each test gets a copy."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from clone import Project, Template, copy_files_of_git, environment

from pipeline.workspace import waiting_lock

REPOSITORY = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Made once, by the first of the processes that share the tests."""
    scratch = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        scratch = scratch.parent
    scratch /= "e2e"
    project = Project(scratch / "dogs", environment(scratch))
    finished = scratch / "repro.json"
    with waiting_lock(scratch / "lock"):
        if not finished.exists():
            shutil.rmtree(project.root, ignore_errors=True)  # of one that failed
            finished.write_text(json.dumps(run_once(project)))
    return Template(project, *json.loads(finished.read_text()))


def run_once(project: Project) -> tuple[str, list[str]]:
    """What `dvc repro` prints and changes in a new clone, whose results are committed then."""
    copy_files_of_git(REPOSITORY, project.root)
    (project.root / ".cache").mkdir()
    project.git("init", "-q", "-b", "main")
    project.commit("a clone")
    project.pipeline("preset", "apply", "tiny")
    project.commit("the tiny preset")
    found = project.dvc("repro"), project.changed()
    project.commit("its results")
    return found


@pytest.fixture
def project(template: Template, tmp_path: Path) -> Project:
    """A copy of the finished repository: what a user has after the first `dvc repro`."""
    root = tmp_path / "dogs"
    shutil.copytree(template.project.root, root, symlinks=True)
    return Project(root, template.project.env)
