"""Outs that may not be written: one line that says which, in every stage."""

from __future__ import annotations

import sys

import pytest
from clone import Project
from outs import error_line, outs_of
from small_disk import read_only

OUTS = {
    "scrape": "data/raw",
    "dedupe": "data/clean",
    "resize": "data/dataset",
    "train": "models",
    "evaluate": "reports",
}


LONG = [pytest.param(stage, marks=pytest.mark.chaos) for stage in OUTS if stage != "resize"]


@pytest.mark.parametrize("stage", ["resize", *LONG])
def test_a_read_only_out_is_one_line(project: Project, stage: str) -> None:
    """The superuser too may not write to a disk that is mounted so."""
    before = outs_of(project)
    with read_only(project.root / OUTS[stage]):
        done = project.run(sys.executable, "-m", f"stages.{stage}", code=1)
    line = error_line(done.stderr)
    assert OUTS[stage] in line and "Read-only file system" in line and "give this user" in line
    assert outs_of(project) == before
    project.run(sys.executable, "-m", f"stages.{stage}")
    assert outs_of(project) == before
