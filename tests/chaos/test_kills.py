"""Killed at random moments of every stage, by every signal, and simply started again."""

from __future__ import annotations

import os
import platform
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from clone import REPOSITORY, Project, Template, copy_of, environment, new_clone
from drive import ExpRun, Queue, Repro, end_all, finish, strike
from moments import STAGES, Struck, plan, table
from processes import all_gone
from remains import curve, damaged_objects, doubled, litter, recorded, results

ROUND = 10  # moments of one pipeline, two a stage
DRIVERS = {driver.name: driver for driver in (Repro, ExpRun, Queue)}


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder with a short name: a browser's socket must lie under it."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))
    yield folder
    end_all(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def clean(scratch: Path) -> Project:
    """A clone in which nothing has run; copied for each round."""
    project = Project(scratch / "clean" / "dogs", environment(scratch))
    new_clone(project)
    return project


@pytest.mark.e2e
@pytest.mark.flaky(reruns=0)
def test_killed_a_few_times_it_ends_as_if_nothing_had_been(
    clean: Project, scratch: Path, template: Template
) -> None:
    dice = dice_of(seed())
    project = fresh(clean, scratch / "r")
    struck = disturb(project, "repro", 6, dice)
    print(table(struck))
    check(project, {"0": template.project}, len(struck))


@pytest.mark.chaos
@pytest.mark.timeout(4 * 3600)
def test_killed_a_hundred_times_it_ends_as_if_nothing_had_been(
    clean: Project, scratch: Path, template: Template, request: pytest.FixtureRequest
) -> None:
    other = copy_of(template, scratch / "seed1" / "dogs")
    other.dvc("exp", "run", "-S", "seed=1")
    undisturbed = {"0": template.project, "1": other}
    number, wanted = seed(), request.config.getoption("--moments")
    dice = dice_of(number)
    begun, struck = time.monotonic(), list[Struck]()
    rounds = 0
    while len(struck) < wanted:
        driver = list(DRIVERS)[rounds % len(DRIVERS)]
        project = fresh(clean, scratch / f"r{rounds}")
        count = min(ROUND, wanted - len(struck))
        hit = disturb(project, driver, count, dice)
        check(project, undisturbed, len(hit))
        struck += hit
        shutil.rmtree(project.root.parent)
        rounds += 1
        say(request, f"{len(struck)} of {wanted} moments, {rounds} pipelines ended")
    report = page(struck, rounds, number, time.monotonic() - begun)
    say(request, report)
    if request.config.getoption("--report"):
        (REPOSITORY / "bench" / "results" / f"{date.today()}-kills.md").write_text(report)
    missed = set(STAGES) - {one.stage for one in struck}
    assert not missed, f"never killed: {missed}"
    assert {one.driver for one in struck} == set(DRIVERS)


def seed() -> int:
    """Of the moments: ``CHAOS_SEED`` repeats those of an earlier run."""
    return int(os.environ.get("CHAOS_SEED") or random.randrange(1, 10**6))


def dice_of(number: int) -> random.Random:
    print(f"CHAOS_SEED={number}")
    return random.Random(number)


def fresh(clean: Project, scratch: Path) -> Project:
    """A clone in which nothing has run, with a folder for temporary files of its own."""
    shutil.copytree(clean.root, scratch / "dogs", symlinks=True)
    (scratch / "tmp").mkdir()
    return Project(scratch / "dogs", environment(scratch) | {"TMPDIR": str(scratch / "tmp")})


def disturb(project: Project, driver: str, count: int, dice: random.Random) -> list[Struck]:
    """Kill it ``count`` times (fewer where a moment came too late), then let it end."""
    run = DRIVERS[driver](project, project.root.parent)
    struck = [strike(run, moment) for moment in plan(driver, count, dice)]
    run.complete()
    finish(project, project.root.parent)
    return [one for one in struck if one]


def check(project: Project, undisturbed: dict[str, Project], kills: int) -> None:
    """Everything that is promised after ``disturb``; ``undisturbed`` by the value of ``seed``."""
    scratch = project.root.parent
    all_gone(scratch)
    assert "up to date" in project.dvc("status")
    # What doctor explains, it or the command that it names mends.
    doctor = project.pipeline("doctor", "--fix", code=None)
    project.pipeline("deliver")
    states = {run.info.run_name: run.info.status for run in project.runs()}
    assert "RUNNING" not in states.values(), f"{states}\n{doctor}"
    # One, however often it was stopped; and one more for each kill that came when a training was
    # complete and DVC had not noted it yet. None is ever left in the middle.
    *complete, run = project.runs()
    assert len(complete) <= kills
    wanted = undisturbed[run.data.params["seed"]]
    for one in (*complete, run):
        assert one.info.status == "FINISHED"
        assert curve(project, one) == curve(wanted, wanted.runs()[-1])
    mine, theirs = results(project), results(wanted)
    assert mine.keys() == theirs.keys()
    assert not [name for name in mine if mine[name] != theirs[name]]
    assert recorded(project) == recorded(wanted)
    assert not damaged_objects(project)
    assert not (found := doubled(project)), found
    assert not (found := litter(project, scratch)), found
    assert project.git("stash", "list") == ""


def page(struck: list[Struck], rounds: int, number: int, seconds: float) -> str:
    """The table, and what it stands for."""
    return f"""# Killed at random moments, {date.today()}

{len(struck)} moments (seed {number}) over {rounds} pipelines of the preset `tiny`, {seconds:.0f} s
on {os.cpu_count()} cores ({platform.machine()}, Python {platform.python_version()}).

After its last moment each pipeline was ended by `dvc repro`. Then every file of `data/`, `models/`
and `reports/` had the bytes of an undisturbed run (but for `models/run.json`, and the ids in
`reports/index.html`), DVC's cache was sound, MLflow's runs were FINISHED and whole, with each step
once, and no process or temporary file was left.

Rows: the stage that ran when the signal was sent; "between": none did.

{table(struck)}
"""


def say(request: pytest.FixtureRequest, text: str) -> None:
    """Show it now: half an hour is long without a word."""
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{text}", flush=True)
