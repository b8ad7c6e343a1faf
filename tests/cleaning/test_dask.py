"""On a Dask cluster of real processes: the same table, whatever happens to the processes."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import measured_run
import pandas as pd
import pytest
import tripwire

from pipeline.cleaning import dask_executor, parts, work
from pipeline.errors import PipelineError
from pipeline.params import DedupeParams

pytest.importorskip("distributed", reason="extra `scale` is not installed")

SHARD = 5


def params(address: str) -> DedupeParams:
    return DedupeParams(executor="dask", scheduler=address)


@pytest.fixture(scope="module")
def place(tmp_path_factory, pictures):
    """A folder with pictures in ``in``, three of them mean; what is decoded is logged."""
    place = tmp_path_factory.mktemp("dask")
    for k in range(20):
        pictures.save(place / "in" / f"{k:02}.jpg", pictures.photo(k, (90, 72)))
    (place / "in" / "text.jpg").write_text("no picture")
    for name, mark in (("crash", tripwire.CRASH), ("hang", tripwire.HANG)):
        (place / "in" / f"{name}.jpg").write_bytes(pictures.jpeg(pictures.photo(99)) + mark)
    return place


@contextlib.contextmanager
def process(*command: object, log: Path, env: dict[str, str]) -> Iterator[subprocess.Popen]:
    """A process that is killed at the end."""
    with log.open("ab") as out:
        started = subprocess.Popen(
            [sys.executable, *map(str, command)], env=env, stdout=out, stderr=out
        )
    try:
        yield started
    finally:
        # The worker that a nanny started ends with it.
        started.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(5)
        started.kill()
        started.wait()


def worker(place: Path, address: str, name: str, *options: str):
    command = ["-m", "distributed.cli.dask_worker", address, "--nthreads", 1, "--no-dashboard"]
    command += ["--local-directory", place / name, *options]
    env = tripwire.set_up(place, name=name, slow=0.05)
    return process(*command, log=place / f"{name}.log", env=env)


@pytest.fixture(scope="module")
def scheduler(place):
    """The address of a scheduler that has one worker, ``steady``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port]
    env = tripwire.set_up(place)
    address = f"tcp://127.0.0.1:{port}"
    with (
        process(*command, "--no-dashboard", log=place / "scheduler.log", env=env),
        worker(place, address, "steady"),
    ):
        yield address


def until(condition, seconds: float = 150) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def stored(cache: Path) -> list[Path]:
    return list(cache.glob("cleaning/*/*.parquet"))


def test_equal_to_the_local_run_with_the_client_and_a_worker_killed(place, scheduler, monkeypatch):
    files = measured_run.found(place / "in")
    run = [measured_run.__file__, place / "in"]
    local = place / "local.pickle"
    log = place / "runs.log"
    with process(
        *run, place / "a", SHARD, 3, local, log=log, env=tripwire.set_up(place, name="")
    ) as here:
        # The first run on the cluster is killed as soon as anything is done.
        command = [*run, place / "b", SHARD, 3, place / "unused", scheduler]
        with process(*command, log=log, env=tripwire.set_up(place)) as client:
            until(lambda: stored(place / "b"))
            client.send_signal(signal.SIGKILL)
        done = parts.read(stored(place / "b")[0].parent, [f.sha256 for f in files])
        assert SHARD <= len(done) < len(files)
        before = _times(place, done.index)

        monkeypatch.setattr(work, "SHARD", SHARD)
        monkeypatch.setattr(work, "SECONDS", 3.0)
        with worker(place, scheduler, "doomed", "--no-nanny") as doomed:
            thread = threading.Thread(target=_kill_in_the_middle, args=(place, doomed))
            thread.start()
            table = work.measurements(files, params(scheduler), cache=place / "b")
            thread.join()
        assert doomed.returncode == -signal.SIGKILL
        assert here.wait(300) == 0
    pd.testing.assert_frame_equal(table, pd.read_pickle(local))

    assert _times(place, done.index) == before  # finished shards were not measured again
    # It died in the middle of a shard, and another worker has measured that.
    lost = tripwire.decodes(place, "doomed")
    assert len(lost) >= 3 and set(lost) <= set(tripwire.decodes(place, "steady"))
    given_up = table.index[table["fault"] == "the decoder crashed or did not end"]
    names = {file.name for file in files if file.sha256 in given_up}
    assert names == {"crash.jpg", "hang.jpg"}


def _times(place: Path, shas: pd.Index) -> int:
    """How often these were decoded on the cluster."""
    decodes = tripwire.decodes(place, "steady") + tripwire.decodes(place, "doomed")
    return sum(sha in shas for sha in decodes)


def _kill_in_the_middle(place: Path, doomed: subprocess.Popen) -> None:
    until(lambda: len(tripwire.decodes(place, "doomed")) == 3)
    doomed.send_signal(signal.SIGKILL)


def test_workers_that_would_give_other_rows_are_refused_in_one_line(place, scheduler, monkeypatch):
    files = measured_run.found(place / "in")[:2]

    def refusal(files) -> str:
        with pytest.raises(PipelineError) as caught:
            work.measurements(files, params(scheduler), cache=None)
        assert "\n" not in str(caught.value) and "Dask worker tcp://127.0.0.1" in str(caught.value)
        return str(caught.value)

    elsewhere = dataclasses.replace(files[1], path=place / "not" / "here.jpg")
    line = refusal([files[0], elsewhere])
    assert f"{elsewhere.path} cannot be read" in line and "shared file system" in line
    other = dataclasses.replace(files[1], path=files[0].path)
    assert f"{other.path} has another content there" in refusal([other])
    recipe = dask_executor.recipe
    monkeypatch.setattr(
        dask_executor, "recipe", lambda max_pixels: recipe(max_pixels) | {"Pillow": "1.0"}
    )
    assert "Pillow is " in (line := refusal(files)) and "but 1.0 where the run was started" in line


def test_a_picture_that_ends_whole_machines_is_found_and_given_up(tmp_path, pictures, monkeypatch):
    import dask
    from distributed import LocalCluster

    good = pictures.save(tmp_path / "in" / "good.jpg", pictures.photo(1, (90, 72)))
    good.with_name("mean.jpg").write_bytes(good.read_bytes() + tripwire.FELL)
    for name, value in tripwire.set_up(tmp_path, name="machine").items():
        monkeypatch.setenv(name, value)
    files = measured_run.found(tmp_path / "in")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(1, threads_per_worker=1, dashboard_address=":0") as cluster,
    ):
        table = work.measurements(files, params(cluster.scheduler_address), cache=None)
    assert table.loc[files[1].sha256, "fault"] == "the decoder crashed or did not end"
    assert table["fault"].isna().sum() == 1


def test_no_scheduler_no_workers_no_dask_are_one_line_each(place, monkeypatch):
    from distributed import Scheduler, SpecCluster

    files = measured_run.found(place / "in")[:1]

    def refusal(address: str) -> str:
        with pytest.raises(PipelineError) as caught:
            work.measurements(files, params(address), cache=None)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    monkeypatch.setattr(dask_executor, "SECONDS_TO_CONNECT", 0.5)
    monkeypatch.setattr(dask_executor, "SECONDS_WITHOUT_WORKERS", 0.5)
    alone = {
        "cls": Scheduler,
        "options": {"host": "127.0.0.1", "port": 0, "dashboard_address": ":0"},
    }
    with SpecCluster(scheduler=alone) as cluster:
        address = cluster.scheduler_address
        assert f"{address} has had no workers" in refusal(address)
    for address in ("tcp://127.0.0.1:9", "nonsense://1"):
        line = refusal(address)
        assert address in line and "dask scheduler" in line
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert "pip install 'breed-diffusion[scale]'" in refusal("tcp://127.0.0.1:9")
