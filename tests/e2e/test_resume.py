"""Training that is killed, interrupted, and then simply started again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

from clone import Project, wait_for

LONG = {"train.images": 3200, "train.checkpoint_every": 160, "train.log_every": 32}


def training_process(project: Project) -> int | None:
    """The process of the train stage in this clone."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                if b"stages.train" in command and (entry / "cwd").readlink() == project.root:
                    return int(entry.name)
            except OSError:  # it ended while we looked
                continue
    return None


def begin(project: Project, checkpoints: int) -> tuple[subprocess.Popen[str], int]:
    """Start `dvc repro` and wait for so many more checkpoints in MLflow."""
    before = saved(project)
    process = project.start("dvc", "repro")
    pid = wait_for(lambda: training_process(project), "the train stage")
    wait_for(lambda: saved(project) >= before + checkpoints, "a checkpoint")
    return process, pid


def saved(project: Project) -> int:
    return sum(len(run.outputs.model_outputs) if run.outputs else 0 for run in project.runs())


def test_killed_and_interrupted_training_goes_on_and_no_step_is_doubled(project: Project) -> None:
    project.pipeline("preset", "apply", "tiny")
    set_params(project, LONG)
    project.commit("train for longer")

    process, pid = begin(project, checkpoints=2)
    os.kill(pid, signal.SIGKILL)
    assert process.wait(150) != 0
    assert "Traceback" not in log(project)

    process, pid = begin(project, checkpoints=2)
    assert "resuming at" in log(project)
    os.killpg(process.pid, signal.SIGINT)  # Ctrl-C in a terminal reaches the whole group
    assert process.wait(150) != 0
    # DVC starts a stage through the user's shell: one that waits for its child (dash) dies of the
    # same signal and hides the child's 130 behind its own -2.
    assert re.search(r"exited with (130|-2)\b", log(project)), log(project)
    assert "Traceback" not in log(project)
    stopped = project.runs()[-1]
    assert stopped.info.status == "KILLED"

    said = project.dvc("repro")
    assert "resuming at" in said
    run = project.runs()[-1]
    assert (run.info.run_id, run.info.status) == (stopped.info.run_id, "FINISHED")
    assert len(project.runs()) == 2  # the template's and this one, however often it was stopped
    history = project.client.get_metric_history(run.info.run_id, "train/loss")
    steps = [entry.step for entry in history]
    assert steps == list(range(32, 3201, 32))
    ids = [item.model_id for item in run.outputs.model_outputs]
    models = [project.client.get_logged_model(one) for one in ids]
    steps = sorted(int(one.tags["step"]) for one in models if one.model_type == "checkpoint")
    assert steps == list(range(160, 3201, 160))
    assert len(models) == len(steps) + 1  # and the model that evaluate registered
    assert not list((project.root / ".cache" / "train").glob("*/*")), "the state is removed"


def set_params(project: Project, values: dict[str, int]) -> None:
    from pipeline.knobs import set_in_text

    path = project.root / "params.yaml"
    path.write_text(set_in_text(path.read_text(), dict(values)))


def log(project: Project) -> str:
    return (project.root / ".cache" / "started.log").read_text()
