"""``mlflow models serve`` on the registered champion: a real server, asked for pictures."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from local_store import forget_environment, start_run
from mlflow_server import free_port
from PIL import Image
from tiny_model import make_model

from pipeline.candidate import Candidate, Result
from pipeline.diffusion.sampling import Sampling
from pipeline.model import load_model
from pipeline.params import Params
from pipeline.registry import register
from pipeline.tracking_store import open_store, store_uri
from pipeline.workspace import Workspace


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A store with one registered model."""
    forget_environment(monkeypatch)
    space = Workspace(tmp_path, tmp_path)
    make_model(space.models)
    client, experiment = open_store(space, "dogs")
    with start_run(space, Params(), tags={"stage": "evaluate"}) as run:
        how = {"sampler": "ddim", "steps": 4, "guidance": 1.0}
        candidate = Candidate("dogs", {"eval/swd": 0.5}, Result("swd", 0.5, 0.01, "lower"), how)
        register(client, run.run_id, experiment, space.models, candidate, 1000)
    return space


@contextlib.contextmanager
def served(space: Workspace, model: str) -> Iterator[str]:
    """The address of ``mlflow models serve`` while the block lasts."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model]
    command += ["--env-manager", "local", "-p", str(port), "-w", "1"]
    environment = dict(os.environ) | {"MLFLOW_TRACKING_URI": store_uri(space)}
    environment.pop("PYTHONPATH", None)
    # MLflow starts the server by names it looks for in PATH.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    path = space.here / "serve.log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=space.here, env=environment, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        end = time.monotonic() + 180
        while not answers(f"http://127.0.0.1:{port}/ping"):
            assert process.poll() is None and time.monotonic() < end, path.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def ask(address: str, request: dict[str, Any]) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json"}
    message = urllib.request.Request(address, json.dumps(request).encode(), headers)
    try:
        with urllib.request.urlopen(message, timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_served_model_answers_with_the_pictures_it_draws(space: Workspace) -> None:
    rows = [{"breed": "poodle", "seed": 7}, {"breed": "beagle", "seed": 8}]
    model = load_model(space.models, "cpu")
    with served(space, "models:/dogs@champion") as address:
        for params, how in (
            ({}, Sampling("ddim", 4, 1.0)),  # what the signature says
            ({"sampler": "heun", "steps": 3, "guidance": 2.5}, Sampling("heun", 3, 2.5)),
        ):
            code, answer = ask(address, {"dataframe_records": rows, "params": params})
            assert code == 200
            expected = model.sample(torch.tensor([2, 0]), [7, 8], how)
            for drawn, wanted in zip(answer["predictions"], expected, strict=True):
                with Image.open(io.BytesIO(base64.b64decode(drawn["png"]))) as picture:
                    assert picture.format == "PNG"
                    assert np.abs(np.asarray(picture).astype(int) - wanted).max() <= 1
        code, answer = ask(address, {"dataframe_records": [{"breed": "cat", "seed": 0}]})
        assert code == 400 and "the model knows beagle, boxer, poodle" in answer["message"]
