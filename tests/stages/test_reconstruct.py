"""From a training to other averages and to autoguidance: what is kept is what is used."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from small_dataset import make_dataset

from pipeline import params as schema
from pipeline.cli import cli
from pipeline.diffusion.sampling import Sampling
from pipeline.errors import ParamsError, PipelineError
from pipeline.model import load_model
from pipeline.workspace import Workspace
from stages import evaluate, train

PARAMS = {
    "resize": {"size": 16},
    "scheduler": "karras",
    "train": {
        "net": {"width": 16, "patch": 4, "multipliers": [1], "blocks": 1, "attention": []},
        "objective": "edm", "weighting": "edm", "timestep_draw": "lognormal",
        "images": 160, "batch_size": 8, "lr": 0.01, "augment": 0.2, "flip": True,
        "ema_lengths": [0.05, 0.1], "ema_snapshots": 4, "guide_at": 0.25,
        "log_every": 16, "checkpoint_every": 32, "sample_every": 0, "device": "cpu",
    },
    "evaluate": {
        "samples": 8, "grid": 2, "steps": 4, "sampler": "unipc", "guidance": 3.0,
        "guide": "early", "neighbours": 2, "device": "cpu",
    },
    "tracking": {"enabled": False},
}  # fmt: skip
LABELS = torch.tensor([0, 1, 0, 1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "dvc.yaml").write_text("stages: {}\n")
    (folder / "params.yaml").write_text(json.dumps(PARAMS))
    make_dataset(folder / "data" / "dataset")
    space = Workspace(folder, folder)
    train.run(schema.load(space.params), space)
    return space


def draw(model, **how):
    return model.sample(LABELS, range(4), Sampling(steps=4, **how))


def test_the_models_folder_holds_guide_and_snapshots(trained):
    names = {path.name for path in trained.models.iterdir()}
    assert names == {"model.json", "weights.safetensors", "guide.safetensors", "ema", "run.json"}
    assert sorted(path.name for path in (trained.models / "ema").iterdir()) == [
        f"{length}-{step:09d}.safetensors"
        for length in ("0.0500", "0.1000")
        for step in (5, 10, 15, 20)
    ]
    model = load_model(trained.models, "cpu")
    assert model.denoiser.net.knows_augment and model.guide is not None
    early = draw(model, guidance=3.0, guide="early")
    assert not np.array_equal(early, draw(model, guidance=3.0, guide="labels"))
    assert not np.array_equal(early, draw(model))


def test_evaluating_with_the_early_guide(trained):
    figures = evaluate.run(schema.load(trained.params), trained)
    assert figures["n_samples"] == 8
    assert np.isfinite(figures["swd"])


def test_training_again_without_leaves_none_of_them(trained, tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    make_dataset(tmp_path / "data" / "dataset")
    space = Workspace(tmp_path, tmp_path)
    for kept in (True, False):
        document = json.loads(json.dumps(PARAMS))
        if not kept:
            document["train"] |= {"ema_lengths": [], "ema_snapshots": 0, "guide_at": 0}
        train.run(schema.from_document(document), space)
        assert (space.models / "ema").exists() == kept
        assert (space.models / "guide.safetensors").exists() == kept


def reconstruct(space, monkeypatch, *arguments):
    monkeypatch.chdir(space.here)
    return CliRunner().invoke(cli, ["reconstruct", *arguments])


def test_a_kept_length_comes_back_and_another_lies_between(trained, monkeypatch, tmp_path):
    kept = load_model(trained.models, "cpu").denoiser.net.state_dict()
    distance = {}
    for length in ("0.05", "0.07", "0.1"):
        out = tmp_path / length
        done = reconstruct(trained, monkeypatch, "--length", length, "--output", str(out))
        assert done.exit_code == 0, done.output
        assert f"average of length {length} from 8 snapshots of 0.05, 0.1" in done.output
        model = load_model(out, "cpu")
        assert model.info["training"]["ema_length"] == float(length)
        assert model.guide is not None
        made = model.denoiser.net.state_dict()
        distance[length] = sum((made[name] - kept[name]).square().sum() for name in kept) ** 0.5
    scale = sum(value.square().sum() for value in kept.values()) ** 0.5
    assert distance["0.05"] < 1e-3 * scale  # fp16
    assert distance["0.05"] < distance["0.07"] < distance["0.1"]
    assert draw(model).shape == (4, 16, 16, 3)


def test_what_cannot_be_made_is_said_in_a_line(trained, monkeypatch, tmp_path):
    done = reconstruct(trained, monkeypatch, "--length", "0.07", "--output", "models")
    assert isinstance(done.exception, ParamsError) and "itself" in str(done.exception)
    done = reconstruct(trained, monkeypatch, "--length", "0.5", "--output", str(tmp_path / "x"))
    assert done.exit_code == 2 and "0.25" in done.output
    done = reconstruct(
        trained, monkeypatch, "--length", "0.07", "--output", str(tmp_path / "x"),
        "--model", str(tmp_path),
    )  # fmt: skip
    assert isinstance(done.exception, PipelineError) and "no model in" in str(done.exception)
    assert not (tmp_path / "x").exists()


def test_a_model_without_snapshots_says_how_to_get_some(trained, monkeypatch, tmp_path):
    for name in ("model.json", "weights.safetensors", "guide.safetensors"):
        (tmp_path / name).write_bytes((trained.models / name).read_bytes())
    done = reconstruct(
        trained, monkeypatch, "--length", "0.07", "--output", str(tmp_path / "x"),
        "--model", str(tmp_path),
    )  # fmt: skip
    assert "train.ema_snapshots" in str(done.exception)
