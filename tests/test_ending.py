"""A stage ends with the DVC that started it, and at any moment with a line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clone import wait_for

STAGE = """
import os, pathlib, time
from pipeline.ending import run_stage

def main():
    pathlib.Path("begun").write_text(str(os.getpid()))
    try:
        time.sleep(60)
        pathlib.Path("done").touch()
    finally:
        pathlib.Path("saved").touch()

run_stage(main)
"""
# What DVC does: a shell that runs the command, and may stay beside it until it has ended.
DVC = "import subprocess, sys; subprocess.run(sys.argv[1], shell=True, executable='/bin/sh')"


@pytest.mark.parametrize("after", ["", "; true"], ids=["", "a shell stays in between"])
def test_a_stage_whose_dvc_was_killed_saves_and_stops(tmp_path: Path, after: str) -> None:
    repository = str(Path(__file__).parents[1])
    environment = os.environ | {"DVC_STAGE": "train", "PYTHONPATH": repository}
    (tmp_path / "stage.py").write_text(STAGE)
    command = f"{sys.executable} stage.py 2> said{after}"
    dvc = subprocess.Popen([sys.executable, "-c", DVC, command], cwd=tmp_path, env=environment)
    wait_for((tmp_path / "begun").exists, "the stage")
    stage = int((tmp_path / "begun").read_text())
    assert not (tmp_path / "saved").exists()
    dvc.send_signal(signal.SIGKILL)
    dvc.wait()
    wait_for((tmp_path / "saved").exists, "the end of the stage", 30)
    wait_for(lambda: "SIGTERM" in (tmp_path / "said").read_text(), "its last words", 30)
    assert (tmp_path / "said").read_text().splitlines() == [
        "DVC is gone: stopping, so that its next start goes on from here",
        "error: stopped by SIGTERM",
    ]
    assert not (tmp_path / "done").exists()
    wait_for(lambda: not Path(f"/proc/{stage}/cmdline").exists(), "its process", 30)


@pytest.mark.parametrize("delay", [0.05, 0.3, 0.6, 1.0, 1.5])
def test_ctrl_c_while_packages_are_imported_is_one_line(tmp_path: Path, delay: float) -> None:
    """Outside of a clone: a stage that comes so far says that instead."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    ready = "import os, sys; os.write(1, b'.'); os.execvp(sys.argv[1], sys.argv[1:])"
    stage = subprocess.Popen(
        [sys.executable, "-c", ready, sys.executable, "-X", "importtime", "-m", "stages.evaluate"],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert stage.stderr is not None
    said = iter(stage.stderr)
    next(line for line in said if "pipeline.ending" in line)
    time.sleep(delay)
    stage.send_signal(signal.SIGINT)
    lines = [line for line in said if not line.startswith("import time:")]
    assert "Traceback" not in "".join(lines)
    assert lines[-1].startswith("error: ") and stage.wait() in (1, 130)
