"""A full disk in every stage: one line, nothing half written, and afterwards it goes on."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clone import Project, Template, copy_of, stages_run
from outs import error_line, outs_of, unfinished
from small_disk import SmallDisk, small_disk

KB = 1024
# What a stage finds already made and would therefore not write, and the last thing it wrote.
REMEMBERED = {
    "scrape": (".cache/scrape", "reports/scrape.json"),
    "dedupe": (".cache/cleaning", "data/clean/decisions.parquet"),
    "resize": ("plots", "data/dataset/dataset.json"),
    "train": (".cache/train", "models/run.json"),
    "evaluate": (".cache/features", "reports/index.html"),
}
# Bytes left: too few to begin, and so many that the stage is stopped in its midst.
MOMENTS = [
    ("scrape", 4 * KB), ("scrape", 100 * KB), ("scrape", 1500 * KB),
    ("dedupe", 4 * KB), ("dedupe", 200 * KB),
    ("resize", 4 * KB), ("resize", 68 * KB),
    ("train", 4 * KB), ("train", 60 * KB), ("train", 1500 * KB),
    ("evaluate", 4 * KB), ("evaluate", 420 * KB),
]  # fmt: skip


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def project(template: Template, disk: SmallDisk) -> Project:
    """A copy of the finished repository on a small disk."""
    return copy_of(template, disk.root / "dogs")


LONG = [pytest.param(stage, marks=pytest.mark.chaos) for stage in REMEMBERED if stage != "resize"]


@pytest.mark.parametrize("stage", ["resize", *LONG])
def test_a_stage_on_a_full_disk_says_one_line_and_leaves_what_was_there(
    project: Project, disk: SmallDisk, stage: str
) -> None:
    """Run by itself: DVC would have removed its outs before."""
    before = outs_of(project)
    shutil.rmtree(project.root / REMEMBERED[stage][0], ignore_errors=True)
    for compiled in project.root.glob("*/**/__pycache__"):  # Python would write these too
        shutil.rmtree(compiled)
    disk.fill(16 * KB)
    done = project.run(sys.executable, "-m", f"stages.{stage}", code=1)
    line = error_line(done.stderr)
    assert str(project.root) in line and "MB free" in line and "make room" in line
    assert unfinished(project) == [] and outs_of(project) == before
    disk.empty()
    project.run(sys.executable, "-m", f"stages.{stage}")
    assert outs_of(project) == before


@pytest.mark.chaos
@pytest.mark.parametrize(("stage", "free"), MOMENTS)
def test_after_a_full_disk_the_same_command_makes_what_it_would_have_made(
    project: Project, disk: SmallDisk, stage: str, free: int
) -> None:
    """Through DVC, which removes the outs first."""
    undisturbed = outs_of(project)
    remembered, last = REMEMBERED[stage]
    shutil.rmtree(project.root / remembered, ignore_errors=True)
    for path in (project.root / ".dvc" / "cache" / "runs", project.root / ".dvc" / "tmp"):
        shutil.rmtree(path)
    (project.root / last).unlink()  # so that DVC runs the stage
    disk.fill(free)
    done = project.run("dvc", "repro", "--no-run-cache", code=None)
    said = done.stdout + done.stderr
    assert done.returncode and "Traceback" not in said, said
    if stages_run(said):  # else DVC itself had no room, and says so
        assert stages_run(said) == [stage]
        assert "make room" in error_line(said) or "failed to reproduce" in said
    assert unfinished(project) == []

    disk.empty()
    assert stages_run(project.dvc("repro", "--no-run-cache"))[0] == stage
    assert outs_of(project) == undisturbed and unfinished(project) == []
    assert "up to date" in project.dvc("status")
    assert "bad " not in project.pipeline("doctor", code=None).split("disk")[0]
