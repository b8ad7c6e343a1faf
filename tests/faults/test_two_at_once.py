"""Two that want the same outs at once: the second is told, the first is not disturbed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from clone import Project, Template, wait_for
from outs import error_line, outs_of, sha256

from pipeline.workspace import exclusive

WEIGHTS = "models/weights.safetensors"


@pytest.mark.parametrize(
    ("stage", "lock", "what"),
    [
        pytest.param("scrape", "scrape.lock", "scraping", marks=pytest.mark.chaos),
        ("train", "train.lock", "a training into models/"),
    ],
)
def test_a_stage_that_already_runs_is_named_with_its_process(
    project: Project, stage: str, lock: str, what: str
) -> None:
    before = outs_of(project)
    with exclusive(project.root / ".cache" / lock, what):
        done = project.run(sys.executable, "-m", "pipeline.cli", stage, code=1)
    line = error_line(done.stderr)
    assert f"{what} is already running (process {os.getpid()})" in line and "wait for it" in line
    assert outs_of(project) == before


@pytest.fixture
def first(project: Project) -> Iterator[subprocess.Popen[str]]:
    """A `dvc repro` in whose training one is in the midst."""
    process = project.start("dvc", "repro", "-f", "-s", "train")
    log = project.root / ".cache" / "started.log"
    try:
        wait_for(lambda: "of 320 images" in log.read_text(), "the first steps")
        os.killpg(process.pid, signal.SIGSTOP)  # a training that takes hours
        yield process
    finally:
        for number in (signal.SIGCONT, signal.SIGTERM):
            if process.poll() is None:
                os.killpg(process.pid, number)
        process.wait(120)


@pytest.mark.chaos
def test_a_second_repro_and_a_second_training_are_refused(
    project: Project, template: Template, first: subprocess.Popen[str]
) -> None:
    weights = sha256(template.project.root / WEIGHTS)
    second = project.dvc("repro", "-f", "-s", "train", code=None)
    assert re.search(r"busy|lock", second) and str(first.pid) in second, second
    other = project.run(
        sys.executable, "-m", "pipeline.cli", "train", "-S", "train.lr=0.001", code=1
    )
    assert "a training into models/ is already running" in error_line(other.stderr)
    os.killpg(first.pid, signal.SIGCONT)
    assert first.wait(300) == 0
    assert "up to date" in project.dvc("status")
    assert sha256(project.root / WEIGHTS) == weights
    [_, run] = project.runs()
    assert run.info.status == "FINISHED"
    steps = [x.step for x in project.client.get_metric_history(run.info.run_id, "train/loss")]
    assert steps == list(range(32, 321, 32))
