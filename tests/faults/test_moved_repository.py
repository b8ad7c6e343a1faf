"""A repository that was moved or copied: MLflow's absolute paths are mended."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
from pathlib import Path

import pytest
from clone import Project, Template


def places_named(project: Project, text: str) -> list[tuple[str, str]]:
    """(table, column) of the store, whichever, that hold ``text``."""
    found = []
    path = project.root / "mlruns" / "mlflow.db"
    with contextlib.closing(sqlite3.connect(path)) as store:
        for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
            for column in store.execute(f"PRAGMA table_info({table})").fetchall():
                sql = f'SELECT 1 FROM {table} WHERE instr(CAST("{column[1]}" AS TEXT), ?) LIMIT 1'
                if store.execute(sql, (text,)).fetchone():
                    found.append((table, column[1]))
    return found


def everything_in(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and "mlflow.db" not in path.name
    }


@pytest.fixture
def moved(project: Project, tmp_path: Path) -> Project:
    """In a folder whose name has to be quoted in a URI. The place it came from is gone."""
    project.pipeline("doctor", "--fix", code=None)  # it is a copy itself
    root = tmp_path / "new höme" / "dogs"
    root.parent.mkdir()
    shutil.move(project.root, root)
    return Project(root, project.env)


def test_the_doctor_mends_every_path_of_a_moved_repository(moved: Project, tmp_path: Path) -> None:
    old = f"{tmp_path}/dogs/"
    assert {table for table, _ in places_named(moved, old)} == {
        "experiments", "runs", "logged_models", "model_versions",
    }  # fmt: skip
    said = moved.pipeline("doctor", code=None)
    assert re.search(r"bad +artifacts +the store still points to \S*/dogs/mlruns/", said), said
    assert "moved here from" in moved.pipeline("doctor", "--fix", code=None)
    assert places_named(moved, old) == []

    client, [run] = moved.client, moved.runs()
    assert client.list_artifacts(run.info.run_id, "images")
    weights = (moved.root / "models" / "weights.safetensors").read_bytes()
    path = client.download_artifacts(run.info.run_id, "model/weights.safetensors")
    assert Path(path).read_bytes() == weights
    checkpoints = [client.get_logged_model(one.model_id) for one in run.outputs.model_outputs]
    for model in checkpoints:
        assert model.artifact_location.startswith((moved.root / "mlruns").as_uri() + "/")
    assert "up to date" in moved.dvc("status")


@pytest.mark.chaos
def test_a_moved_champion_draws_without_the_doctor(moved: Project) -> None:
    arguments = ["-n", "1", "--seed", "7", "--fname", "plots/a", "--model", "models:/dogs@champion"]
    moved.pipeline("generate", *arguments)
    assert (moved.root / "plots" / "a0.png").is_file()
    assert moved.dvc("status").count("up to date") == 1


@pytest.mark.chaos
def test_a_copy_neither_reads_from_the_original_nor_writes_into_it(
    project: Project, template: Template
) -> None:
    original = template.project.root
    before = everything_in(original / "mlruns")
    for path in (project.root / "mlruns").rglob("weights.safetensors"):
        path.unlink()  # what is drawn from it now would come from the original
    said = project.pipeline(
        "generate", "-n", "1", "--fname", "plots/a", "--model", "models:/dogs@champion", code=1
    )
    assert "error: " in said and str(original) + "/" not in said and "Traceback" not in said
    project.dvc("repro", "-f", "-s", "evaluate")
    assert everything_in(original / "mlruns") == before
    assert places_named(project, f"{original}/") == []
