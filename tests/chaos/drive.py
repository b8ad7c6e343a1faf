"""The three ways to run the pipeline, each started, struck at a moment and started again."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import psutil
from clone import Project, wait_for
from moments import STAGES, Moment, Struck
from processes import named, processes_of, running_stages, seconds_of

LIMIT = 900  # seconds for anything; the machine may be busy
# What DVC says of a note that it was killed in the middle of.
CUT_SHORT = ("JSON structure is corrupted", "dvc.lock' is invalid", "dvc.lock' validation failed")


class Repro:
    """``dvc repro``."""

    name = "repro"
    command: tuple[str, ...] = ("dvc", "repro")

    def __init__(self, project: Project, scratch: Path) -> None:
        self.project, self.scratch = project, scratch
        self.process: subprocess.Popen[str] | None = None
        self.refusals = 0
        self.earlier: set[int] = set()  # stages that lost their DVC

    def start(self) -> None:
        found = running_stages(self.scratch)
        self.earlier = {process.pid for _, process in found}
        self.launch()

    def launch(self) -> None:
        self.process = self.project.start(*self.command)

    def running(self) -> tuple[str, psutil.Process] | None:
        """The stage that this start has come to; None between two."""
        found = running_stages(self.scratch)
        return next((one for one in found if one[1].pid not in self.earlier), None)

    def left(self) -> bool:
        """Whether a stage of an earlier start is at work."""
        return any(one.pid in self.earlier for _, one in running_stages(self.scratch))

    def ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def completed(self) -> bool:
        assert self.process is not None
        return self.process.poll() == 0

    def said(self) -> str:
        return (self.project.root / ".cache" / "started.log").read_text()

    def strike(self, moment: Moment, stage: psutil.Process | None) -> None:
        assert self.process is not None
        number = getattr(signal, f"SIG{moment.signal}")
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if moment.target == "group":
                os.killpg(self.process.pid, number)
            elif moment.target == "dvc" or stage is None:
                self.process.send_signal(number)
            else:
                stage.send_signal(number)

    def wait(self) -> None:
        """Until the command has ended; a stage that lost its DVC may still run."""
        assert self.process is not None
        self.process.wait(LIMIT)

    def complete(self) -> None:
        """What `dvc repro` would not go on with."""


class ExpRun(Repro):
    """``dvc exp run`` in the workspace."""

    name = "exp run"
    command = ("dvc", "exp", "run", "-S", "seed=1")


class Queue(Repro):
    """``dvc exp run --queue`` and a worker."""

    name = "queue"
    times = 0

    def launch(self) -> None:
        self.project.dvc("queue", "remove", "--all")
        self.times += 1  # a name of its own: one that a late kill did not hit is complete
        self.project.dvc("exp", "run", "--queue", "-S", "seed=1", "-n", f"queued{self.times}")
        # Not by `dvc`, which waits for whoever has its output: the worker has.
        self.process = self.project.start("dvc", "queue", "start")
        wait_for(lambda: self._at_work() or self.completed(), "the worker", LIMIT)

    def said(self) -> str:
        task = re.search(r"^([0-9a-f]{7})", self.status(), re.MULTILINE)
        logs = self.project.dvc("queue", "logs", task[1], code=None) if task else ""
        return f"{self.status()}\n{logs}"

    def status(self) -> str:
        return self.project.dvc("queue", "status")

    def ended(self) -> bool:
        return not self._at_work()

    def completed(self) -> bool:
        return "Success" in self.status()

    def strike(self, moment: Moment, stage: psutil.Process | None) -> None:
        if moment.target == "task":
            self.project.dvc("queue", "kill", f"queued{self.times}", code=None)
            return
        number = getattr(signal, f"SIG{moment.signal}")
        workers = named(self.scratch, "queue-worker")
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if stage is not None and moment.target == "stage":
                stage.send_signal(number)
            elif workers:
                os.killpg(os.getpgid(workers[0].pid), number)

    def wait(self) -> None:
        """Until nothing of the queue runs; a task without its worker goes on to its end."""
        wait_for(lambda: not self._at_work(), "the end of the queue's processes", LIMIT)

    def complete(self) -> None:
        """The experiment, queued once more and taken as the workspace."""
        while not self.completed():
            self.launch()
            self.wait()
        self.project.dvc("exp", "apply", f"queued{self.times}")

    def _at_work(self) -> list[psutil.Process]:
        return [one for word in ("queue-worker", "exec-run") for one in named(self.scratch, word)]


def strike(driver: Repro, moment: Moment) -> Struck | None:
    """Start, wait for the moment, kill; None if the pipeline was complete before it came."""
    if not started(driver):
        return None
    if not reach(driver, moment):
        return None
    running = driver.running()
    stage, process = running or ("between", None)
    driver.strike(moment, process)
    driver.wait()
    # Where nothing could be cleaned up, Python's workers may complain that their parent is gone.
    assert moment.signal == "KILL" or "Traceback" not in driver.said(), driver.said()
    return Struck(driver.name, stage, moment.signal, moment.target)


def started(driver: Repro) -> bool:
    """Start it, again if a stage that lost its DVC still works; False if nothing is left to do."""
    while True:
        driver.start()
        wait_for(lambda: driver.running() or driver.ended(), "a stage", LIMIT)
        if not refused(driver):
            return not driver.ended()


def refused(driver: Repro) -> bool:
    """Whether it ended because of an earlier start: its stage is still at work, and is waited for,
    or DVC was killed while it wrote one of its notes, and the doctor mends it."""
    if not driver.ended() or driver.completed():
        return False
    said = driver.said()
    cut = any(words in said for words in CUT_SHORT)
    assert cut or "is already running (process" in said, said
    driver.refusals += 1
    wait_for(lambda: not driver.left(), "the earlier stage", LIMIT)
    if cut:
        assert "mended: cut short" in driver.project.pipeline("doctor", "--fix", code=None)
    return True


def reach(driver: Repro, moment: Moment) -> bool:
    """Wait until the stage of ``moment``, or a later one, is as far as it says."""
    wanted = list(STAGES).index(moment.stage)
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        found = driver.running()
        if found:
            stage, process = found
            if list(STAGES).index(stage) >= wanted:
                goal = moment.part * STAGES[moment.stage] if stage == moment.stage else 0
                while seconds_of(process) < goal:
                    time.sleep(0.01)
                return not driver.ended()
        elif driver.ended():
            if refused(driver):
                driver.start()
                continue
            return False
        time.sleep(0.02)
    raise AssertionError(f"waited {LIMIT} s for {moment}")


def finish(project: Project, scratch: Path) -> Repro:
    """``dvc repro`` to its end."""
    driver = Repro(project, scratch)
    while True:
        driver.start()
        driver.wait()
        if not refused(driver):
            break
    assert driver.completed() and "Traceback" not in driver.said(), driver.said()
    return driver


def end_all(scratch: Path) -> None:
    """Kill what a failed test leaves behind."""
    for process in processes_of(scratch):
        with contextlib.suppress(psutil.Error):
            process.kill()
