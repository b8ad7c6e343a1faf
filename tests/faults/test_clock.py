"""A clock that jumps: nothing waits for it, and what is recorded stays in order."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from clone import Project
from outs import outs_of
from spooled import begin, write

from pipeline import recording, spool
from pipeline.delivery import deliver
from pipeline.tracking_store import client_of, last_runs
from pipeline.workspace import Workspace

DAY, YEARS = 86_400.0, 3 * 365 * 86_400.0


class Clock:
    """The wall clock, off by as much as one wants."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.off, real = 0.0, time.time
        monkeypatch.setattr(time, "time", lambda: real() + self.off)


def test_a_run_neither_ends_before_it_begins_nor_goes_back_in_time(
    stored_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, clock = stored_workspace, Clock(monkeypatch)
    monkeypatch.setattr(recording, "start_delivery", lambda *_: None)
    record = begin(workspace)
    write(record, workspace.here, [10])
    clock.off = -DAY
    write(record, workspace.here, [20])
    record._journal.close()  # killed, and started again a day earlier
    with begin(workspace, record.spool) as again:
        write(again, workspace.here, [30])
        clock.off = YEARS
        write(again, workspace.here, [40])
        clock.off = -YEARS
    folder = spool.home(workspace) / record.spool
    times = [event["at"] for event, _ in spool.read(folder)]
    assert times == sorted(times) and times[-1] - times[0] < 1000 * DAY
    deliver(workspace, folder)
    [row] = last_runs(workspace, 5)
    client = client_of(workspace)
    run = client.get_run(row.run_id)
    assert run.info.status == "FINISHED" and run.info.start_time <= run.info.end_time
    history = client.get_metric_history(row.run_id, "train/loss")
    assert [entry.step for entry in history] == [10, 20, 30, 40]
    assert [entry.timestamp for entry in history] == sorted(x.timestamp for x in history)


JUMPS = """
import time
_real, _real_ns, _calls = time.time, time.time_ns, [0]
def _off():
    _calls[0] += 1
    return (0, -86_400, 94_608_000, -86_400)[_calls[0] // 7 % 4]
time.time = lambda: _real() + _off()
time.time_ns = lambda: _real_ns() + _off() * 10**9
"""


@pytest.mark.chaos
def test_all_stages_under_a_clock_that_jumps_by_days_and_years(
    project: Project, tmp_path: Path
) -> None:
    undisturbed = outs_of(project)
    (tmp_path / "jumps").mkdir()
    (tmp_path / "jumps" / "sitecustomize.py").write_text(JUMPS)
    project.env |= {"PYTHONPATH": str(tmp_path / "jumps")}
    said = project.dvc("repro", "-f")
    del project.env["PYTHONPATH"]
    assert "Traceback" not in said
    progress = [line for line in said.splitlines() if "/s" in line or line.endswith("left")]
    assert progress and not [line for line in progress if re.search(r"\s-\d", line)]
    assert outs_of(project) == undisturbed
    for run in project.runs():
        assert run.info.status == "FINISHED" and run.info.start_time <= run.info.end_time
    [_, run] = project.runs()
    speeds = project.client.get_metric_history(run.info.run_id, "train/images_per_second")
    assert speeds and all(entry.value > 0 for entry in speeds)
    assert "up to date" in project.dvc("status")
