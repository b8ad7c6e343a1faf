"""Checkpoints survive what happens to files."""

import hashlib
import pickle
import signal
import subprocess
import sys

import pytest
import torch

from pipeline.training.checkpoint import Checkpoints, State


def state(n):
    tensors = {"net/w": torch.full((3,), float(n)), "window": torch.zeros(0, 3)}
    return State(tensors, {"nimg": n, "history": [[1.0, 2.5]]})


def test_the_newest_is_loaded_and_the_last_two_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for n in (16, 32, 48):
        checkpoints.save(n, state(n))
    loaded, warnings = checkpoints.load()
    assert (loaded.values, warnings) == (state(48).values, [])
    assert torch.equal(loaded.under("net/")["w"], torch.full((3,), 48.0))
    assert loaded.tensors["window"].shape == (0, 3)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_newest_falls_back_to_the_one_before(tmp_path, damage):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(16, state(16))
    path = checkpoints.save(32, state(32))
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[:-100], "flip": content, "empty": b""}[damage])
    loaded, warnings = checkpoints.load()
    assert loaded.values["nimg"] == 16
    assert len(warnings) == 1 and path.name in warnings[0]


def test_nothing_there_is_a_fresh_start(tmp_path):
    assert Checkpoints(tmp_path / "none").load() == (None, [])


def test_a_half_written_file_is_never_taken(tmp_path):
    (tmp_path / ".state-000000000016-0123456789abcdef.safetensors.1f.tmp").write_bytes(b"half")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load() == (None, [])
    checkpoints.clear()
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, sys
from pathlib import Path
import torch
from pipeline.errors import run_cleanly
from pipeline.training.checkpoint import Checkpoints, State
def main():
    checkpoints = Checkpoints(Path(sys.argv[1]))
    checkpoints.save(16, State({"net/w": torch.zeros(16)}, {"nimg": 16}))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # the kernel refuses what is longer
    checkpoints.save(32, State({"net/w": torch.zeros(9999)}, {"nimg": 32}))
run_cleanly(main)
"""


def run_program(program, *arguments):
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_refused_write_is_one_line_and_leaves_the_last_good_state(tmp_path):
    ignore = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    done = run_program(ignore + FULL, tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "cannot be written (File too large)" in done.stderr
    assert Checkpoints(tmp_path).load()[0].values["nimg"] == 16
    assert len(list(tmp_path.iterdir())) == 1


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from pipeline.training.checkpoint import Checkpoints, State
checkpoints = Checkpoints(Path(sys.argv[1]))
checkpoints.save(16, State({"net/w": torch.zeros(16)}, {"nimg": 16}))
where = sys.argv[2]
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if where == "half":
    def fsync(descriptor):  # the bytes are written, to about a half, and the process dies
        os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
        die()
    os.fsync = fsync
elif where == "before the rename":
    Path.replace = die
else:
    Path.unlink = die  # renamed; what is old is still there
checkpoints.save(32, State({"net/w": torch.ones(16)}, {"nimg": 32}))
checkpoints.save(48, State({"net/w": torch.ones(16)}, {"nimg": 48}))
"""


@pytest.mark.parametrize(
    ("where", "newest"), [("half", 16), ("before the rename", 16), ("in the tidying", 48)]
)
def test_a_writer_killed_in_the_middle_of_its_work_leaves_a_sound_state(tmp_path, where, newest):
    assert run_program(KILLED, tmp_path, where).returncode == -signal.SIGKILL
    loaded, warnings = Checkpoints(tmp_path).load()
    assert (loaded.values["nimg"], warnings) == (newest, [])
    Checkpoints(tmp_path).clear()
    assert list(tmp_path.iterdir()) == []


def test_what_a_file_says_of_itself_is_never_executed(tmp_path):
    """A pickle under a checkpoint's name is refused, even with the right checksum."""
    evil = pickle.dumps(Evil())
    digest = hashlib.sha256(evil).hexdigest()[:16]
    (tmp_path / f"state-000000000016-{digest}.safetensors").write_bytes(evil)
    state, (warning,) = Checkpoints(tmp_path).load()
    assert state is None and "is damaged" in warning
    assert not Evil.ran


class Evil:
    ran = False

    def __reduce__(self):
        return (setattr, (Evil, "ran", True))
