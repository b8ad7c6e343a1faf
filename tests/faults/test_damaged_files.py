"""Damaged outs and damaged objects in DVC's cache: found, named, and made again."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from clone import Project
from outs import error_line, outs_of

from pipeline import params as schema
from pipeline.doctor import DEEP
from pipeline.errors import PipelineError
from pipeline.workspace import Workspace


def flip(path: Path) -> None:
    """One bit, in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    write(path, bytes(content))


def cut(path: Path) -> None:
    write(path, path.read_bytes()[: path.stat().st_size // 2])


def write(path: Path, content: bytes) -> None:
    """In a file of its own, whose rights stay: DVC's objects are read-only, some are linked."""
    mode = path.stat().st_mode
    path.unlink()
    path.write_bytes(content)
    path.chmod(mode)


def object_of(project: Project, path: Path) -> Path:
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    return project.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def a_picture(project: Project) -> Path:
    return min((project.root / "data" / "raw").glob("*/*"))


def kinds(project: Project) -> dict[Path, Callable[[Path], None]]:
    """An out of each kind, and how its object is damaged."""
    return {
        a_picture(project): cut,
        project.root / "data/clean/decisions.parquet": flip,
        project.root / "data/dataset/images.npy": flip,
        project.root / "models/weights.safetensors": cut,
    }


def test_the_deep_look_names_damaged_objects_that_dvc_calls_up_to_date(project: Project) -> None:
    damaged, space = kinds(project), Workspace(project.root, project.root)
    look = DEEP["DVC cache"]
    assert look(space, False).level == "ok"
    objects = {}
    for path, damage in damaged.items():
        objects[path] = object_of(project, path)
        damage(objects[path])
    assert "up to date" in project.dvc("status"), "else DVC finds it, and this check is idle"
    said = project.pipeline("doctor", "--deep", code=1)
    for path in damaged:
        assert path.relative_to(project.root).as_posix() in said
    assert "pipeline doctor --deep --fix" in said
    assert "dropped" in look(space, True).text
    assert not any(path.exists() for path in objects.values())
    assert "objects are sound" in look(space, False).text


@pytest.mark.chaos
def test_dropped_objects_are_made_again(project: Project) -> None:
    """Also where the damaged ones were checked out before."""
    undisturbed = outs_of(project)
    for path, damage in kinds(project).items():
        damage(object_of(project, path))
        path.unlink()
    project.dvc("checkout")
    assert outs_of(project) != undisturbed, "DVC checks damage out without a word"
    project.pipeline("doctor", "--deep", "--fix", code=None)
    project.dvc("repro")
    assert outs_of(project) == undisturbed
    assert "up to date" in project.dvc("status")
    assert "objects are sound" in project.pipeline("doctor", "--deep", code=None)


def test_a_damaged_out_is_one_line_in_the_stage_that_reads_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    space = Workspace(project.root, project.root)
    params = schema.load(space.params)
    for stage, name, damage in (
        ("dedupe", "data/raw/manifest.parquet", cut),
        ("resize", "data/clean/decisions.parquet", cut),
        ("train", "data/dataset/images.npy", cut),
        ("train", "data/dataset/index.parquet", cut),
        ("train", "data/dataset/dataset.json", cut),
        ("evaluate", "models/model.json", cut),
        ("evaluate", "models/weights.safetensors", flip),
    ):
        path = project.root / name
        sound = path.read_bytes()
        damage(path)
        with pytest.raises(PipelineError) as caught:
            import_module(f"stages.{stage}").run(params, space)
        assert name.rpartition("/")[0] in str(caught.value), name
        assert "\n" not in str(caught.value), name
        write(path, sound)


@pytest.mark.chaos
def test_a_damaged_out_is_made_again_by_dvc(project: Project) -> None:
    """DVC sees what changed in the workspace, and runs the stage that made it."""
    undisturbed = outs_of(project)
    for path, damage in kinds(project).items():
        damage(path)
    flip(project.root / "models/model.json")
    done = project.run(sys.executable, "-m", "stages.evaluate", code=1)
    assert "models" in error_line(done.stderr)
    project.dvc("repro")
    assert outs_of(project) == undisturbed
