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
    again = ("repro", "--no-run-cache", "--force", "--single-item", stage)
    shutil.rmtree(project.root / REMEMBERED[stage][0], ignore_errors=True)
    if stage == "resize":  # else DVC, which removes its outs, makes room enough for the new ones
        shutil.rmtree(project.root / "data" / "dataset")
    disk.fill(free)
    said = project.dvc(*again, code=255)
    assert "Traceback" not in said, said
    mine = [line for line in said.splitlines() if line.startswith("error: ")]
    if mine:
        assert len(mine) == 1 and "MB free" in mine[0] and "make room" in mine[0], said
        assert unfinished(project) == []
    else:  # DVC itself had no room, before the stage or behind it
        assert "No space left on device" in said or "No possible cache link" in said, said

    disk.empty()
    assert stages_run(project.dvc(*again)) == [stage]
    assert outs_of(project) == undisturbed and unfinished(project) == []
    # --fix, since the repository is a copy of another one.
    assert "bad " not in project.pipeline("doctor", "--fix", code=None).split("disk")[0]
