"""What every test may rely on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from command_line import Pipeline, command_line, project_folder
from local_store import empty_store, forget_environment, workspace_with

from pipeline.workspace import Workspace

# A job that a script starts in the background ignores SIGINT, and its children inherit that: the
# tests of Ctrl-C would then find processes that no Ctrl-C can reach.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that the processes that share the tests end together.

    What a real browser or DVC does beside a busy machine gets a second chance, which the summary
    names ("RERUN").
    """
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
