"""What every test may rely on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import postgres
import pytest
from clone import Project, Template, copy_of, template_in
from command_line import Pipeline, command_line, project_folder
from local_store import empty_store, forget_environment, workspace_with

from pipeline.workspace import Workspace

# A job that a script starts in the background ignores SIGINT, and its children inherit that: the
# tests of Ctrl-C would then find processes that no Ctrl-C can reach.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    chaos = parser.getgroup("chaos", "the long tests (make chaos)")
    chaos.addoption("--moments", type=int, default=100, help="kills (default: %(default)s)")
    chaos.addoption("--report", action="store_true", help="write what came of it to bench/results")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest first, so that the processes that share the tests end together.

    What a real browser or DVC does beside a busy machine gets a second chance, which the summary
    names ("RERUN"). What is marked `chaos` takes many minutes and runs only where ``-m`` names it.
    """
    if "chaos" not in config.option.markexpr:
        long = [item for item in items if item.get_closest_marker("chaos")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    outside = {
        item for item in items for name in ("browser", "e2e") if item.get_closest_marker(name)
    }
    for item in outside:
        item.add_marker(pytest.mark.flaky(reruns=1))
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty project, which is the current directory."""
    return project_folder(tmp_path, monkeypatch)


@pytest.fixture
def pipeline(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Pipeline:
    """The command line, in ``workspace``."""
    return command_line(monkeypatch, capsys)


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``mlruns`` of a project whose MLflow store is new and empty; copy it, do not write."""
    return empty_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def stored_workspace(
    tmp_path: Path, fresh_store: Path, monkeypatch: pytest.MonkeyPatch
) -> Workspace:
    """An empty project with an MLflow store of its own."""
    forget_environment(monkeypatch)
    return workspace_with(fresh_store, tmp_path)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The finished repository that every test of a clone copies; do not write into it."""
    scratch = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        scratch = scratch.parent
    return template_in(scratch / "e2e")


@pytest.fixture
def project(template: Template, tmp_path: Path) -> Project:
    """A copy of the finished repository: what a user has after the first `dvc repro`."""
    return copy_of(template, tmp_path / "dogs")


@pytest.fixture
def database() -> Iterator[postgres.Postgres]:
    """A real, empty PostgreSQL; without one the test is skipped."""
    if reason := postgres.missing():
        pytest.skip(reason)
    with postgres.running() as server:
        yield server
