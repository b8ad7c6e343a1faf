"""The journal: whole lines or none, and files that stay as they were."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
from pathlib import Path

import pytest

from pipeline import spool
from pipeline.spool import Cursor, Journal


def steps(folder: Path) -> list[int]:
    return [event["step"] for event, _ in spool.read(folder)]


def write(folder: Path, *numbers: int) -> None:
    journal = Journal(folder)
    for step in numbers:
        journal.write("metrics", values={"loss": float(step)}, step=step)
    journal.close()


def deliver_all(folder: Path) -> None:
    Cursor(offset=(folder / spool.EVENTS).stat().st_size).save(folder)


def test_what_is_written_is_read_back_and_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    (_, middle), (_, end) = spool.read(tmp_path)
    write(tmp_path, 3)
    assert [event["step"] for event, _ in spool.read(tmp_path, middle)] == [2, 3]
    assert [event["values"] for event, _ in spool.read(tmp_path, end)] == [{"loss": 3.0}]


@pytest.mark.parametrize("torn", [b'{"do": "met', b"\0" * 70000, "half a ü".encode()[:-1]])
def test_a_torn_last_line_is_not_read_and_cut_off_by_the_next_writer(
    tmp_path: Path, torn: bytes
) -> None:
    write(tmp_path, 1)
    with (tmp_path / spool.EVENTS).open("ab") as file:
        file.write(torn)
    assert steps(tmp_path) == [1]
    write(tmp_path, 2)
    assert steps(tmp_path) == [1, 2]


def test_a_line_that_power_loss_filled_with_zeros_costs_that_line_alone(tmp_path: Path) -> None:
    write(tmp_path, 1)
    with (tmp_path / spool.EVENTS).open("ab") as file:
        file.write(b"\0" * 40 + b"\n")
    write(tmp_path, 2)
    assert steps(tmp_path) == [1, 2]


def _write_until_killed(folder: Path) -> None:
    journal = Journal(folder)
    for step in range(10**9):
        journal.write("metrics", step=step, values={"loss": 0.5}, padding="x" * (step % 5000))


def test_a_killed_writer_leaves_whole_lines_in_order(tmp_path: Path) -> None:
    child = multiprocessing.get_context("spawn").Process(
        target=_write_until_killed, args=[tmp_path]
    )
    child.start()
    while not (tmp_path / spool.EVENTS).exists() or len(steps(tmp_path)) < 100:
        assert child.is_alive()
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    found = steps(tmp_path)
    assert found == list(range(len(found)))
    assert not spool.is_written(tmp_path)


def test_on_a_full_disk_nothing_of_an_event_is_left(tmp_path: Path) -> None:
    write(tmp_path, 1)
    size = (tmp_path / spool.EVENTS).stat().st_size
    journal = Journal(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
    try:
        with pytest.raises(OSError, match=r"No space left|File too large"):
            journal.write("metrics", step=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (tmp_path / spool.EVENTS).stat().st_size == size
    journal.write("metrics", step=3)
    assert steps(tmp_path) == [1, 3]


def test_a_kept_folder_is_as_it_was_when_the_original_is_replaced(tmp_path: Path) -> None:
    from pipeline.workspace import write_text

    model = tmp_path / "snapshot"
    write_text(model / "weights", "old")
    journal = Journal(tmp_path / "spool")
    kept = journal.keep(model)
    write_text(model / "weights", "new")
    assert (tmp_path / "spool" / kept / "weights").read_text() == "old"
    assert not Path(kept).is_absolute()


def test_a_spool_is_removed_only_delivered_and_without_a_writer(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    journal = Journal(folder)
    journal.write("metrics", step=1)
    deliver_all(folder)
    assert spool.is_written(folder) and not spool.remove(folder)
    journal.write("metrics", step=2)
    journal.close()
    assert not spool.remove(folder), "its last event is not delivered"
    deliver_all(folder)
    assert spool.remove(folder) and not folder.exists()
    assert not spool.remove(folder)


def test_spools_are_listed_oldest_first(tmp_path: Path) -> None:
    for name in ("20260102-000000-b", "20260101-000000-a"):
        write(tmp_path / name, 1)
    (tmp_path / "empty").mkdir()
    assert [path.name[-1] for path in spool.spools(tmp_path)] == ["a", "b"]
    assert spool.spools(tmp_path / "20260101-000000-a") == [tmp_path / "20260101-000000-a"]
    assert len({spool.new_name() for _ in range(100)}) == 100
