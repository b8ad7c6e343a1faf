"""One training in two processes, as torchrun starts them: gloo on a CPU, as NCCL on GPUs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from small_dataset import make_dataset
from test_train import LONGER, REPO, write_params

from pipeline.workspace import Workspace

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def space(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    make_dataset(tmp_path / "data" / "dataset")
    return Workspace(tmp_path, tmp_path)


def start(space, *command):
    return subprocess.Popen(
        command, cwd=space.here, env=ENVIRONMENT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def together(space):
    return start(space, *TORCHRUN, "-m", "stages.train")


def finish(child):
    printed, errors = child.communicate(timeout=300)
    assert child.returncode == 0, errors
    return printed


def processes(space):
    """The training's own, by rank."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "environ").read_text()
            words = dict(item.split("=", 1) for item in text.split("\0") if "=" in item)
            if (process / "cwd").readlink() == space.here and "RANK" in words:
                found[int(words["RANK"])] = int(process.name)
        except OSError:
            continue
    return found


def wait_for_checkpoint(space, child):
    deadline = time.monotonic() + 120
    while not list((space.cache / "train").glob("*/state-*")):
        assert time.monotonic() < deadline and child.poll() is None, child.communicate()
        time.sleep(0.02)


WEIGHTS_OF_EACH = """
import json, os, sys
from pathlib import Path
from safetensors.torch import save_file
import stages.train
from pipeline import params as schema
from pipeline.workspace import Workspace
real = stages.train.train
def train(trainer, *rest):
    real(trainer, *rest)
    tensors = {f"net/{name}": value for name, value in trainer.net.state_dict().items()}
    tensors |= {f"ema/{name}": value for name, value in trainer.ema.net.state_dict().items()}
    save_file(tensors, f"rank-{trainer.group.rank}.safetensors")
stages.train.train = train
stages.train.main()
"""


def test_two_processes_have_the_same_weights_and_those_of_one(space):
    (space.here / "program.py").write_text(WEIGHTS_OF_EACH)
    write_params(space, accumulate=2)
    printed = finish(start(space, *TORCHRUN, "program.py"))
    assert printed.count("trained on 64 images") == 1 and "2 processes" in printed
    one, other = (load_file(space.here / f"rank-{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(one[name], other[name]) for name in one)  # to the bit
    curve = pd.read_csv(space.reports / "loss.csv")

    write_params(space)
    finish(start(space, sys.executable, "program.py"))
    alone = load_file(space.here / "rank-0.safetensors")
    assert all(torch.allclose(one[name], alone[name], rtol=1e-3, atol=1e-5) for name in one)
    pd.testing.assert_frame_equal(curve, pd.read_csv(space.reports / "loss.csv"), rtol=1e-4)


def test_one_that_is_killed_ends_the_other_and_both_go_on(space):
    write_params(space, **LONGER | {"images": 800})
    child = together(space)
    wait_for_checkpoint(space, child)
    victim = processes(space)[1]
    os.kill(victim, signal.SIGKILL)
    _, errors = child.communicate(timeout=60)
    assert child.returncode != 0 and not processes(space)
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert "another process of this training is gone" in line and "same command goes on" in line
    assert not space.models.exists()
    assert "resuming at" in finish(together(space))
    curve = pd.read_csv(space.reports / "loss.csv")
    assert curve["images"].tolist() == list(range(16, 801, 16))

    # Alone it comes to the same curve, from the start.
    finish(start(space, sys.executable, "-m", "stages.train"))
    pd.testing.assert_frame_equal(curve, pd.read_csv(space.reports / "loss.csv"), rtol=1e-3)


def test_a_signal_to_all_saves_once_and_says_so_once(space):
    write_params(space, **LONGER | {"images": 800})
    child = together(space)
    wait_for_checkpoint(space, child)
    child.send_signal(signal.SIGTERM)
    _, errors = child.communicate(timeout=60)
    said = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert child.returncode != 0 and not processes(space)
    assert len(said) == 1 and "stopped and saved at" in said[0]
    assert not space.models.exists()
    assert list((space.cache / "train").glob("*/state-*"))


def test_a_batch_that_two_cannot_share_is_one_line(space):
    write_params(space, batch_size=7)
    child = together(space)
    _, errors = child.communicate(timeout=60)
    said = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert child.returncode != 0
    assert len(said) == 1 and "train.batch_size: got 7, expected a multiple of 2" in said[0]
