"""Models in a real MLflow store: found by metric, kept once, ranked beyond noise, named."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from local_store import client_of, empty_store, forget_environment, start_run, workspace_with
from PIL import Image
from tiny_model import make_model

from pipeline import recording, spool
from pipeline.candidate import Candidate, Result
from pipeline.delivery import deliver
from pipeline.diffusion.sampling import Sampling
from pipeline.errors import PipelineError
from pipeline.model import load_model
from pipeline.model_names import find_model
from pipeline.params import Params
from pipeline.recording import open_record
from pipeline.registry import NEEDED, logged_of, register, save_pyfunc
from pipeline.workspace import Workspace

HOW = {"sampler": "ddim", "steps": 3, "guidance": 1.5}


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return empty_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def workspace(tmp_path: Path, fresh_store: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    forget_environment(monkeypatch)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    return workspace_with(fresh_store, tmp_path)


def result(value: float, noise: float = 0.01, **more: Any) -> Result:
    return Result(**({"metric": "swd", "value": value, "noise": noise, "better": "lower"} | more))


def add(workspace: Workspace, seed: int, of: Result) -> str:
    """Evaluate the model of ``seed`` as ``of`` says; what is said of the champion."""
    make_model(workspace.models, seed)
    with start_run(workspace, Params(), tags={"stage": "evaluate"}) as run:
        metrics = {f"eval/{of.metric}": of.value, f"eval/{of.metric}_noise": of.noise}
        client, folder = client_of(workspace), workspace.models
        where = run.run_id, run.experiment_id
        candidate = Candidate("dogs", metrics, of, HOW)
        return register(client, *where, folder, candidate, at=1000 * seed)


def champion(workspace: Workspace) -> str:
    return str(client_of(workspace).get_model_version_by_alias("dogs", "champion").version)


def ordered(workspace: Workspace, metric: str) -> list[Any]:
    """LoggedModels that have ``metric``, the least first."""
    client = client_of(workspace)
    experiment = client.get_experiment_by_name("dogs").experiment_id
    by = [{"field_name": f"metrics.{metric}", "ascending": True}]
    found = client.search_logged_models([experiment], order_by=by)
    return [m for m in found if metric in {x.key for x in m.metrics or []}]


# ------------------------------------------------------------------ LoggedModels


def test_the_best_checkpoint_by_a_metric_is_found_and_can_be_sampled_from(
    workspace: Workspace,
) -> None:
    with start_run(workspace, Params(), tags={"stage": "train"}) as run:
        for step, loss in ((16, 0.5), (32, 0.125), (48, 0.25)):
            make_model(workspace.here / "snapshot", step)
            run.log_checkpoint(step, workspace.here / "snapshot", {"loss": loss})
    found = ordered(workspace, "train/checkpoint_loss")
    assert [model.tags["step"] for model in found] == ["32", "48", "16"]
    assert [(m.value, m.step) for m in found[0].metrics] == [(0.125, 32)]
    best = find_model(workspace, f"models:/{found[0].model_id}")
    assert load_model(best, "cpu").info["training"]["seed"] == 32
    same = find_model(workspace, f"runs:/{run.run_id}/checkpoints/000000032")
    assert same == best


def test_the_final_model_has_the_metrics_of_its_evaluation_and_one_version_however_often(
    workspace: Workspace,
) -> None:
    add(workspace, 1, result(0.5))
    add(workspace, 2, result(0.25))
    add(workspace, 1, result(0.5))
    found = ordered(workspace, "eval/swd")
    assert [model.metrics[0].value for model in found if model.model_type == "generator"] == [
        0.25, 0.5,
    ]  # fmt: skip
    client = client_of(workspace)
    versions = client.search_model_versions("name = 'dogs'")
    assert sorted(int(v.version) for v in versions) == [1, 2]
    assert {logged_of(v) for v in versions} == {model.model_id for model in found}
    [first] = [v for v in versions if str(v.version) == "1"]
    run = client.get_run(first.run_id)
    assert run.data.metrics["eval/swd"] == 0.5
    assert [item.model_id for item in run.outputs.model_outputs] == [logged_of(first)]
    assert not Path("mlflow.db").exists()  # MLflow's own default store was not touched


# ------------------------------------------------------------------ the champion


def test_the_champion_moves_only_beyond_the_noise_and_says_why(workspace: Workspace) -> None:
    said = add(workspace, 1, result(0.5, 0.03))
    assert said == "dogs version 1: swd 0.5 ± 0.03; it is the champion, as the first"
    said = add(workspace, 2, result(0.46, 0.04))
    assert said.endswith(
        "champion stays version 1 with swd 0.5 ± 0.03: better by 0.04, within the noise of 0.05"
    )
    assert champion(workspace) == "1"
    assert add(workspace, 3, result(0.6)).endswith("0.03: no better")
    said = add(workspace, 4, result(0.44, 0.04))
    assert said.endswith("champion moves from version 1 with swd 0.5 ± 0.03: better by 0.06")
    assert champion(workspace) == "4"
    assert add(workspace, 4, result(0.44, 0.04)).endswith("champion stays: it is this version")
    assert "could not be measured" in add(workspace, 5, result(float("nan")))
    assert champion(workspace) == "4"


def test_other_metrics_have_their_own_direction_and_are_not_mixed(workspace: Workspace) -> None:
    add(workspace, 1, result(0.5))
    accuracy = {"metric": "breed_accuracy", "better": "higher"}
    said = add(workspace, 2, result(0.9, **accuracy))
    assert "version 1, which has no breed_accuracy" in said and champion(workspace) == "1"
    # The champion evaluated anew by that figure: now both can be compared.
    add(workspace, 1, result(0.6, **accuracy))
    said = add(workspace, 2, result(0.9, **accuracy, data="other"))
    assert "moves from version 1 with breed_accuracy 0.6 ± 0.01 (measured on other data)" in said
    near = {"metric": "diversity", "better": "near 1"}
    assert result(1.2, **near).gain(0.7) == pytest.approx(0.1)
    assert result(0.7, **near).gain(1.2) == pytest.approx(-0.1)


def test_a_metric_that_was_primary_once_still_counts(workspace: Workspace) -> None:
    """The champion's figure is then that of its LoggedModel."""
    add(workspace, 1, result(0.5))
    add(workspace, 1, result(0.6, metric="breed_accuracy", better="higher"))
    assert "moves from version 1 with swd 0.5 ± 0.01" in add(workspace, 2, result(0.4))


# ------------------------------------------------------------------ through the spool


def test_a_model_is_registered_by_the_delivery_and_again_changes_nothing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "start_delivery", lambda *_: None)
    make_model(workspace.models)
    with open_record(workspace, Params(), tags={"stage": "evaluate"}) as record:
        record.log_model(workspace.models, Candidate("dogs", {"eval/swd": 0.5}, result(0.5), HOW))
    folder = spool.home(workspace) / record.spool
    copy = workspace.here / "copy" / folder.name
    shutil.copytree(folder, copy)
    sent = deliver(workspace, folder)
    assert sent.said == ["dogs version 1: swd 0.5 ± 0.01; it is the champion, as the first"]
    assert deliver(workspace, copy).said == [
        "dogs version 1: swd 0.5 ± 0.01; champion stays: it is this version"
    ]
    [model] = ordered(workspace, "eval/swd")
    client = client_of(workspace)
    assert len(client.search_model_versions("name = 'dogs'")) == 1
    history = client.get_metric_history(model.source_run_id, "eval/swd")
    assert [entry.value for entry in history] == [0.5]


def test_a_forged_or_broken_model_is_refused_and_the_rest_arrives(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "start_delivery", lambda *_: None)
    (workspace.here / "secret").write_text("not yours")
    candidate = Candidate("dogs", {"eval/swd": 0.5}, result(0.5), HOW)
    with open_record(workspace, Params(), tags={"stage": "evaluate"}) as record:
        for _ in range(2):
            make_model(workspace.models)
            record.log_model(workspace.models, candidate)
        record.log_metrics({"after": 1.0})
    folder = spool.home(workspace) / record.spool
    linked, empty = sorted(folder.glob("files/*/models"))
    (linked / "weights.safetensors").unlink()
    (linked / "weights.safetensors").symlink_to(workspace.here / "secret")
    (empty / "model.json").unlink()
    sent = deliver(workspace, folder)
    assert sorted(len(text) > 0 for text in sent.refused) == [True, True]
    assert any("a link, not a file" in text for text in sent.refused)
    assert any("no model in" in text for text in sent.refused)
    [run] = client_of(workspace).search_runs(
        [client_of(workspace).get_experiment_by_name("dogs").experiment_id]
    )
    assert run.data.metrics == {"eval/swd": 0.5, "after": 1.0}
    assert not list((workspace.mlruns / "artifacts").rglob("secret"))


def test_names_that_mlflow_forbids_are_changed(workspace: Workspace) -> None:
    make_model(workspace.models)
    with start_run(workspace, Params(), tags={"stage": "evaluate"}) as run:
        where = client_of(workspace), run.run_id, run.experiment_id, workspace.models
        said = register(*where, Candidate("team/dogs' OR ''='", {}, result(0.5), HOW), 1000)
    assert said.startswith("team-dogs- OR -=- version 1:")


# ------------------------------------------------------------------ the pyfunc


def test_the_pyfunc_holds_no_pickle_and_loads_without_the_project(tmp_path: Path) -> None:
    make_model(tmp_path / "model")
    save_pyfunc(tmp_path / "model", tmp_path / "pyfunc", HOW, run_id="a" * 32)
    files = [path for path in (tmp_path / "pyfunc").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {"", ".py", ".json", ".yaml", ".txt", ".safetensors"}
    text = (tmp_path / "pyfunc" / "MLmodel").read_text()
    assert "cloudpickle" not in text and str(tmp_path) not in text and str(Path.cwd()) not in text
    assert {p.name for p in (tmp_path / "pyfunc/code/pipeline").iterdir()} == set(NEEDED)
    told = run_alone(tmp_path, LOAD)
    assert told["code"] == str(tmp_path / "pyfunc/code/pipeline/__init__.py")
    model = load_model(tmp_path / "model", "cpu")
    for row, (breed, seed) in enumerate((("poodle", 7), ("beagle", 3))):
        with Image.open(io.BytesIO(base64.b64decode(told["png"][row]))) as picture:
            drawn = np.asarray(picture).astype(int)
            note = json.loads(picture.info["breed-diffusion"])
        labels = torch.tensor([model.classes.index(breed)])
        expected = model.sample(labels, [seed], Sampling("ddim", 4, 1.5))[0]
        assert np.abs(drawn - expected).max() <= 1
        assert (note["breed"], note["seed"], note["steps"]) == (breed, seed, 4)
        assert note["run_id"] == "a" * 32
    assert "the model knows beagle, boxer, poodle" in told["refused"]


LOAD = """
import json, sys
sys.path = [p for p in sys.path if p not in ("", sys.argv[1])]
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model("pyfunc")
rows = pd.DataFrame({"breed": ["poodle", "beagle"], "seed": [7, 3]})
drawn = model.predict(rows, params={"steps": 4})
try:
    model.predict(pd.DataFrame({"breed": ["cat"], "seed": [0]}))
except mlflow.MlflowException as error:
    refused = str(error)
import pipeline
print(json.dumps({"code": pipeline.__file__, "png": list(drawn["png"]), "refused": refused}))
"""


def run_alone(folder: Path, code: str) -> Any:
    """What ``code`` prints as JSON, in a process that cannot import this clone."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    clone = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code, clone],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# ------------------------------------------------------------------ names


def test_a_model_has_many_names(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace.here)
    add(workspace, 1, result(0.5))
    add(workspace, 2, result(0.6))
    client = client_of(workspace)
    second = client.get_model_version("dogs", "2")
    names = {
        "models:/dogs@champion": 1,
        "models:/dogs/1": 1,
        "models:/dogs/2": 2,
        "models:/dogs/latest": 2,
        f"models:/{logged_of(second)}": 2,
        "models": 2,
        None: 2,
    }
    for name, seed in names.items():
        assert load_model(find_model(workspace, name), "cpu").info["training"]["seed"] == seed
    with start_run(workspace, Params(), name="loamy-froe", tags={"stage": "train"}) as run:
        for file in ("model.json", "weights.safetensors"):
            run.log_artifact(workspace.models / file, "model")
    for name in (run.run_id, run.run_id[:8], "loamy-froe", f"runs:/{run.run_id}"):
        assert load_model(find_model(workspace, name), "cpu").info["training"]["seed"] == 2


def test_what_is_not_there_is_one_line(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.here)
    with pytest.raises(PipelineError, match=r"no registered model.* there are: none"):
        find_model(workspace, "models:/dogs@champion")
    add(workspace, 1, result(0.5))
    (workspace.here / "empty").mkdir()
    for name, said in {
        "models:/dogs@best": "models:/dogs@best: no such alias; there are: champion",
        "models:/dogs/7": "models:/dogs/7: no such version; there are: 1",
        "models:/cats/1": "no registered model of that name; there are: dogs",
        "models:/dogs": "expected models:/NAME@ALIAS",
        "models:/m-" + "0" * 32: "MLflow has no such model",
        "runs:/" + "0" * 32: "MLflow has no such model",
        "runs:/short": "with an id of 32 digits",
        "3f2a91": "no such folder, and no run of that name or id",
        "no/folder": "no/folder: no such folder",
        "empty": "no trained model here",
    }.items():
        with pytest.raises(PipelineError) as caught:
            find_model(workspace, name)
        assert said in str(caught.value) and "\n" not in str(caught.value)
