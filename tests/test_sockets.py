"""Worker processes leave nothing in the folder for temporary files, however they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import sockets

PROGRAM = """
import sys, time
from pipeline import pool

def item(seconds):
    print("at work", flush=True)
    time.sleep(seconds)

if __name__ == "__main__":
    list(pool.each(item, [float(sys.argv[1])], workers=1, what=None, unit="items"))
    print("done", flush=True)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """For temporary files; with a short name, for a socket's has to be."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        (Path(place) / "program.py").write_text(PROGRAM)
        (Path(place) / "t").mkdir()
        yield Path(place) / "t"


def test_a_place_with_a_long_name_serves_as_before(folder: Path) -> None:
    deep = folder.with_name("d" * 50)
    deep.mkdir()
    assert start(deep, 0).wait() == 0
    assert list(deep.iterdir()) == []


def start(folder: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, str(folder.parent / "program.py"), str(seconds)]
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "at work\n"
    return process


def test_nothing_is_left_by_one_that_ends(folder: Path) -> None:
    process = start(folder, 0)
    assert process.communicate()[0] == "done\n" and process.returncode == 0
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_what_a_killed_one_leaves_goes_with_the_next_and_the_living_keep_theirs(
    folder: Path, number: signal.Signals
) -> None:
    living, killed = start(folder, 60), start(folder, 60)
    before = set(folder.iterdir())
    assert len(before) == 2
    killed.send_signal(number)
    killed.communicate()
    assert start(folder, 0).wait() == 0
    (left,) = folder.iterdir()
    assert left in before and living.poll() is None
    living.kill()
    living.communicate()
    time.sleep(0.1)
    assert start(folder, 0).wait() == 0
    assert list(folder.iterdir()) == []


def test_where_there_is_no_room_for_temporary_files_nothing_is_swept_and_nothing_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    sockets.sweep()


@pytest.mark.timeout(20)
def test_what_others_planted_under_such_a_name_is_neither_waited_for_nor_followed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    kept = folder.parent / "kept"
    kept.mkdir()
    os.mkfifo(folder / f"{sockets.PREFIX}pipe")
    (folder / f"{sockets.PREFIX}link").symlink_to(kept)
    (folder / f"{sockets.PREFIX}file").write_text("")
    (folder / f"{sockets.PREFIX}dead").mkdir()
    sockets.sweep()
    left = sorted(path.name.removeprefix(sockets.PREFIX) for path in folder.iterdir())
    assert left == ["file", "link", "pipe"] and kept.is_dir()
