"""Twelve experiments, two workers, one of them killed: nothing is lost and nothing is doubled."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from clone import Project, Template, copy_of, wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

GRID = {"seed": (1, 2, 3), "scheduler": ("linear", "cosine"), "train.lr": (0.001, 0.002)}
FIXED = {"train.images": 640, "train.checkpoint_every": 80}
EXPERIMENTS = Path(".dvc/tmp/exps")


def overrides(values: dict[str, Any]) -> list[str]:
    return [word for key, value in values.items() for word in ("-S", f"{key}={value}")]


def start_queue(project: Project) -> None:
    # Not `project.dvc`: the workers hold its pipe open as long as they live.
    assert project.start("dvc", "queue", "start", "-j", "2").wait() == 0


def settled(project: Project) -> list[str]:
    """The state of each task, once none is queued or runs. Does what the page says to do."""
    time.sleep(10)  # each question goes through the folder that the workers read
    said = project.dvc("queue", "status")
    states = re.findall(r"(Queued|Running|Success|Failed)\s*$", said, re.MULTILINE)
    if "Queued" in states and re.search(r"Worker status: [01] active, 0 idle", said):
        start_queue(project)
    return [] if {"Queued", "Running"} & set(states) else states


def group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def half_trained(project: Project, group: int) -> str:
    """The spool of the training in a worker's group of processes, once it has two checkpoints."""
    for journal in (project.root / ".cache" / "spool").glob("*/events.jsonl"):
        first, *events = [json.loads(line) for line in journal.read_text().splitlines()] or [{}]
        tags = first.get("about", {}).get("tags", {})
        pid = int(tags.get("pipeline.process", "x 0 0").split(" ")[1])
        if group_of(pid) == group and sum(event["do"] == "checkpoint" for event in events) >= 2:
            return journal.parent.name
    return ""


def values_of(run: Any) -> tuple[str, ...]:
    return tuple(run.data.params[key] for key in GRID)


def test_twelve_on_two_workers_are_complete_although_one_is_killed(
    project: Project, template: Template, tmp_path: Path
) -> None:
    before = {run.info.run_id for run in project.runs()}
    grid = [f"{key}={','.join(map(str, values))}" for key, values in GRID.items()]
    words = [word for one in grid for word in ("-S", one)]
    said = project.dvc("exp", "run", "--queue", *words, *overrides(FIXED))
    names = re.findall(r"Queued experiment '([^']+)'", said)
    assert len(set(names)) == 12
    start_queue(project)

    info = EXPERIMENTS / "celery" / "dvc-exp-worker-1.json"
    wait_for(lambda: (project.root / info).exists(), "the first worker")
    worker = os.getpgid(project.json(str(info))["pid"])
    spool = wait_for(lambda: half_trained(project, worker), "two checkpoints", 600)
    os.killpg(worker, signal.SIGKILL)  # the worker, the experiment and its stage

    def dead() -> list[Any]:
        runs = [run for run in project.runs() if run.data.tags.get("pipeline.spool") == spool]
        return [run for run in runs if run.info.status == "KILLED"]

    (stopped,) = wait_for(dead, "the run of the killed training to be closed")
    doctor = project.pipeline("doctor", code=None)
    assert f"their process is gone: {stopped.info.run_name}" in doctor
    (mend,) = re.findall(r"mend: (dvc queue kill .*)$", doctor, re.MULTILINE)
    kill, again = mend.split(" && ")
    project.run(*shlex.split(kill))
    project.run(*shlex.split(again))
    assert "their process is gone" not in project.pipeline("doctor", code=None)
    start_queue(project)
    states = wait_for(lambda: settled(project), "the queue", 3000)
    assert sorted(states) == ["Failed"] + ["Success"] * 12
    project.pipeline("deliver")  # what a busy machine did not deliver within its 30 s
    assert not list((project.root / ".cache" / "spool").iterdir())

    runs = [run for run in project.runs() if run.info.run_id not in before]
    assert {run.info.status for run in runs} == {"FINISHED"} and len(runs) == 12
    assert stopped.info.run_id in {run.info.run_id for run in runs}, "it went on with its own run"
    assert {run.info.run_name for run in runs} == set(names)
    wanted = {tuple(map(str, values)) for values in itertools.product(*GRID.values())}
    assert {values_of(run) for run in runs} == wanted
    for run in runs:
        history = project.client.get_metric_history(run.info.run_id, "train/loss")
        assert [entry.step for entry in history] == list(range(32, 641, 32))
        models = [project.client.get_logged_model(m.model_id) for m in run.outputs.model_outputs]
        steps = sorted(int(m.tags["step"]) for m in models if m.model_type == "checkpoint")
        assert steps == list(range(80, 641, 80))
        results = [key for key in run.data.metrics if key.startswith("eval/")]
        assert results and all(
            len(project.client.get_metric_history(run.info.run_id, key)) == 1 for key in results
        )
    assert project.changed() == []

    everyone = project.dvc("exp", "show", "--csv")
    compared = project.pipeline("compare", *names)
    for name in names:
        assert re.search(rf"\b{name}\b", everyone) and re.search(rf"\b{name}\b", compared)
    weights = project.client.search_model_versions("name = 'dogs'")
    digests = {v.tags["weights_sha256"] for v in weights if v.run_id not in before}
    assert len(digests) == 12

    alone = copy_of(template, tmp_path / "alone")
    alone.dvc("exp", "run", *overrides(dict(zip(GRID, values_of(stopped), strict=True)) | FIXED))
    project.dvc("exp", "apply", stopped.info.run_name)
    for path in ("models/weights.safetensors", "reports/loss.csv", "reports/metrics.json"):
        assert (alone.root / path).read_bytes() == (project.root / path).read_bytes(), path
    assert "up to date" in project.dvc("status")
    left = list((project.root / EXPERIMENTS).glob("tmp*"))
    assert len(left) <= 1, "only the killed experiment's copy of the repository"
