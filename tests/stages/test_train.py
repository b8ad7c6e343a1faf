"""The train stage: interrupted, resumed, refused, recorded."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from small_dataset import make_dataset

from pipeline import params as schema
from pipeline import recording, spool, workspace
from pipeline.diffusion.sampling import Sampling
from pipeline.errors import PipelineError
from pipeline.model import load_model
from pipeline.training.checkpoint import Checkpoints
from pipeline.workspace import Workspace
from stages.train import fingerprint, run

REPO = Path(__file__).resolve().parents[2]
PARAMS = {
    "resize": {"size": 16},
    "train": {
        "net": {"width": 16, "patch": 4, "multipliers": [1], "blocks": 1, "attention": []},
        "images": 64,
        "batch_size": 8,
        "log_every": 16,
        "checkpoint_every": 32,
        "sample_every": 0,
        "device": "cpu",
    },
    "tracking": {"enabled": False},
}


@pytest.fixture
def space(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    make_dataset(tmp_path / "data" / "dataset")
    return Workspace(tmp_path, tmp_path)


def params(**train):
    return schema.from_document(PARAMS | {"train": PARAMS["train"] | train})


def write_params(space, **train):
    document = PARAMS | {"train": PARAMS["train"] | train}
    space.params.write_text(json.dumps(document))  # JSON is YAML


def start(space):
    command = [sys.executable, "-m", "stages.train"]
    # One thread: the net is tiny, and the order of float sums must not vary between processes.
    environment = os.environ | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=space.here, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for_checkpoint(space, child):
    deadline = time.monotonic() + 300
    while not list((space.cache / "train").glob("*/state-*.safetensors")):
        assert time.monotonic() < deadline and child.poll() is None, child.communicate()
        time.sleep(0.02)


def outputs(space):
    return {
        path.name: path.read_bytes()
        for path in (*space.models.iterdir(), space.reports / "loss.csv")
        if path.name != "run.json"
    }


def test_training_writes_a_model_that_samples_and_its_curve(space):
    done = run(params(), space)
    assert done["images"] == 64
    model = load_model(space.models, "cpu")
    assert model.classes == ["beagle", "poodle"]
    assert model.sample(torch.tensor([0, 1]), [0, 1], Sampling(steps=3)).shape == (2, 16, 16, 3)
    curve = pd.read_csv(space.reports / "loss.csv")
    assert curve["images"].tolist() == [16, 32, 48, 64]
    assert not list((space.cache / "train").glob("*/*"))  # the state is gone once the model is out


LONGER = {"images": 1600, "checkpoint_every": 64}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "dvc.yaml").write_text("stages: {}\n")
    make_dataset(folder / "data" / "dataset")
    space = Workspace(folder, folder)
    write_params(space, **LONGER)
    child = start(space)
    _, errors = child.communicate(timeout=300)
    assert child.returncode == 0, errors
    return outputs(space)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_stopped_training_goes_on_and_ends_with_the_same_bytes(space, undisturbed, number, code):
    write_params(space, **LONGER)
    child = start(space)
    wait_for_checkpoint(space, child)
    child.send_signal(number)
    _, errors = child.communicate(timeout=300)
    assert child.returncode == code
    assert "Traceback" not in errors
    if number != signal.SIGKILL:
        assert "the same command goes on" in errors
    assert not space.models.exists()  # a half-trained model is never left as a result

    child = start(space)
    printed, errors = child.communicate(timeout=300)
    assert child.returncode == 0, errors
    assert "resuming at" in printed
    assert outputs(space) == undisturbed


def test_as_many_checkpoints_are_kept_as_params_say(space, monkeypatch):
    counts = []
    real = Checkpoints.save

    def save(self, nimg, state):
        path = real(self, nimg, state)
        counts.append(len(list(self.folder.glob("state-*"))))
        return path

    monkeypatch.setattr(Checkpoints, "save", save)
    run(params(checkpoint_every=8, keep=3), space)
    assert counts == [1, 2, 3, 3, 3, 3, 3, 3]


@pytest.mark.parametrize("how", ["always", "never"])
def test_the_pictures_lie_where_params_say(space, how, capsys):
    run(params(engine={"resident": how}), space)
    assert {"always": "resident", "never": "streamed"}[how] in capsys.readouterr().out


def test_a_second_trainer_on_the_same_state_is_refused(space):
    folder = space.cache / "train" / fingerprint(params(), f"{0:064x}")[:16]
    with (
        workspace.exclusive(folder / "lock", "this training"),
        pytest.raises(PipelineError, match="already running"),
    ):
        run(params(), space)


def test_the_fingerprint_follows_what_shapes_the_weights_and_nothing_else():
    base = params()
    same = [params(device="auto"), params(precision="fp32")]
    same.append(dataclasses.replace(base, evaluate=schema.EvaluateParams(steps=3)))
    other = [params(lr=1e-3), params(images=72), params(objective="eps")]
    other += [dataclasses.replace(base, seed=1), dataclasses.replace(base, scheduler="cosine")]
    assert {fingerprint(one, "d") for one in same} == {fingerprint(base, "d")}
    prints = {fingerprint(one, "d") for one in (base, *other)} | {fingerprint(base, "e")}
    assert len(prints) == 1 + len(other) + 1


BARE = """
import sys
for name in ("mlflow dvc ruamel imagehash sklearn scipy click selenium aiohttp starlette jinja2 "
             "matplotlib").split():
    sys.modules[name] = None  # as if it were not installed
from stages.train import main
main()
"""


def test_a_bare_gpu_image_with_torch_and_pandas_is_enough(space):
    write_params(space)
    document = json.loads(space.params.read_text())
    document["tracking"]["enabled"] = True  # asked for, not there: said, and kept for later
    space.params.write_text(json.dumps(document))
    environment = os.environ | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", BARE], cwd=space.here, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mlflow is not installed" in done.stderr
    assert recorded(space)["end"] == [{"status": "FINISHED"}]
    assert load_model(space.models, "cpu").info["training"]["images"] == 64


def recorded(space):
    """The events of the only spool, by kind, without their times."""
    [folder] = spool.spools(spool.home(space))
    found = {}
    for event, _ in spool.read(folder):
        found.setdefault(event.pop("do"), []).append(event)
        event.pop("at")
    return found


def test_without_the_server_a_training_takes_its_usual_course(space, monkeypatch, tmp_path):
    run(params(sample_every=32), space)
    alone = outputs(space)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(recording, "END_SECONDS", 0.1)
    tracked = schema.from_document(
        PARAMS | {"train": PARAMS["train"] | {"sample_every": 32}, "tracking": {"enabled": True}}
    )
    run(tracked, space)
    assert outputs(space) == alone
    events = recorded(space)
    losses = [event["step"] for event in events["metrics"] if "train/loss" in event["values"]]
    assert losses == [16, 32, 48, 64]
    assert [event["step"] for event in events["checkpoint"]] == [32, 64]
    assert [event["step"] for event in events["image"]] == [32, 64]
    reference = json.loads((space.models / "run.json").read_text())
    assert reference["run_id"] == "" and (spool.home(space) / reference["spool"]).is_dir()


def test_no_data_set_is_one_line(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    space = Workspace(tmp_path, tmp_path)
    write_params(space)
    child = start(space)
    _, errors = child.communicate(timeout=300)
    assert child.returncode == 1
    assert errors.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in errors
