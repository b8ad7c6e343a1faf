"""A fresh repository with the tiny preset, run once by the real DVC; each test gets a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from clone import Project, Template, copy_files_of_git, environment

REPOSITORY = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    scratch = tmp_path_factory.mktemp("e2e")
    project = Project(scratch / "dogs", environment(scratch))
    copy_files_of_git(REPOSITORY, project.root)
    (project.root / ".cache").mkdir()
    project.git("init", "-q", "-b", "main")
    project.commit("a clone")
    project.pipeline("preset", "apply", "tiny")
    project.commit("the tiny preset")
    said = project.dvc("repro")
    found = Template(project, said, project.changed())
    project.commit("its results")
    return found


@pytest.fixture
def project(template: Template, tmp_path: Path) -> Project:
    """A copy of the finished repository: what a user has after the first `dvc repro`."""
    root = tmp_path / "dogs"
    shutil.copytree(template.project.root, root, symlinks=True)
    return Project(root, template.project.env)
