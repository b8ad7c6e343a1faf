"""``pipeline compare A B``: the table, and the page of pictures from equal noise."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Pipeline
from local_store import empty_store, start_run, workspace_with
from PIL import Image
from tiny_model import make_model

from pipeline.diffusion.sampling import Sampling
from pipeline.evaluation.montage import sample_grid
from pipeline.model import load_model
from pipeline.params import load
from pipeline.report.comparison import file_name
from pipeline.workspace import Workspace

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return empty_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def quick(workspace: Workspace) -> Sampling:
    text = workspace.params.read_text()
    text = re.sub(r"sampler: heun\n  steps: 18", "sampler: ddim\n  steps: 3", text)
    workspace.params.write_text(text)
    chosen = load(workspace.params).evaluate
    assert (chosen.sampler, chosen.steps) == ("ddim", 3)
    return Sampling(chosen.sampler, chosen.steps, chosen.guidance)


def pictures(page: str) -> list[np.ndarray]:
    found = []
    for text in re.findall(r'src="data:image/png;base64,([^"]+)"', page):
        with Image.open(io.BytesIO(base64.b64decode(text))) as image:
            found.append(np.asarray(image.convert("RGB")))
    return found


def test_two_runs_get_a_table_and_a_page_of_equal_seeds(
    pipeline: Pipeline, workspace: Workspace, quick: Sampling, fresh_store: Path
) -> None:
    workspace_with(fresh_store, workspace.here)
    breeds = [["beagle", HOSTILE, "poodle"], ["boxer", HOSTILE, "beagle"]]
    for seed, name in ((1, "first"), (2, HOSTILE)):
        make_model(workspace.here / name[:5], seed, breeds[seed - 1])
        params = load(workspace.params, [f"seed={seed}"])
        with start_run(workspace, params, name=name, tags={"stage": "train"}) as run:
            run.log_metrics({"eval/swd": seed / 4})
            for file in ("model.json", "weights.safetensors"):
                run.log_artifact(workspace.here / name[:5] / file, "model")
    result = pipeline("compare", "first", HOSTILE, "--samples", "2", "--seed", "5")
    assert result.code == 0, result.err
    lines = [line.split() for line in result.out.splitlines()]
    assert ["seed", "1", "2"] in lines and ["eval/swd", "0.25", "0.5"] in lines
    assert "/#/compare-runs?runs=" in result.out
    path = Path(result.out.splitlines()[-1])
    assert (
        path.parent == workspace.reports
        and path.name == "compare-first-img_src_x_onerror_alert_1.html"
    )
    page = path.read_text()
    assert HOSTILE not in page and "default-src 'none'" in page and "http://" not in page
    shared = ["beagle", HOSTILE]  # the breeds of both, in the order of the first
    for folder, drawn in zip(("first", "<img "), pictures(page), strict=True):
        model = load_model(workspace.here / folder, "cpu")
        labels = torch.tensor([model.classes.index(name) for name in shared for _ in range(2)])
        images = model.sample(labels, [5, 6, 5, 6], quick)
        expected = sample_grid(images, np.array([0, 0, 1, 1]), shared, scale=6)
        assert np.abs(drawn.astype(int) - expected).max() <= 1


def test_two_folders_need_no_mlflow(
    pipeline: Pipeline, workspace: Workspace, quick: Sampling
) -> None:
    for seed in (1, 2):
        make_model(workspace.here / f"m{seed}", seed)
    result = pipeline("compare", "m1", "m2/", "--samples", "1")
    assert result.code == 0, result.err
    assert ["seed", "1", "2"] in [line.split() for line in result.out.splitlines()]
    assert (workspace.reports / "compare-m1-m2.html").is_file()
    one, two = pictures((workspace.reports / "compare-m1-m2.html").read_text())
    assert one.shape == two.shape and (one != two).any()
    assert not pipeline("compare", "m1", "m2", "--no-page").out.endswith("html\n")


def test_why_there_is_no_page_is_one_line(
    pipeline: Pipeline, workspace: Workspace, quick: Sampling
) -> None:
    make_model(workspace.here / "m1", 1)
    make_model(workspace.here / "m2", 1, ["cat"])
    result = pipeline("compare", "m1", "m2")
    assert result.code == 0 and "no page: the two models know no breed in common" in result.err
    assert not workspace.reports.exists()
    result = pipeline("compare", "m1", "models:/dogs@champion")
    assert result.code == 1 and result.err.count("\n") == 1


def test_names_make_safe_file_names() -> None:
    assert (
        file_name(["models:/dogs@champion", "../../etc"]) == "compare-models_dogs_champion-etc.html"
    )
    assert file_name(["//", "x" * 200]) == f"compare-model-{'x' * 40}.html"
