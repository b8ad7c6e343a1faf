"""The stage: params.yaml in, data/raw and reports/scrape.json out, one line when it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.params import load
from pipeline.workspace import Workspace
from stages.scrape import run

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    here, shared = tmp_path / "copy", tmp_path / "main"
    for folder in (here, shared / "mine" / "pug"):
        folder.mkdir(parents=True)
    (here / "dvc.yaml").touch()
    (here / "breeds.yaml").write_text("beagle: beagle dog\n")
    for number in range(3):
        pixels = np.full((20, 20, 3), number * 40, np.uint8)
        Image.fromarray(pixels).save(shared / "mine" / "pug" / f"{number}.png")
    return Workspace(here, shared)


def stage(place: Workspace, params: str) -> subprocess.CompletedProcess[str]:
    (place.here / "params.yaml").write_text(params)
    return subprocess.run(
        [sys.executable, "-m", "stages.scrape"],
        cwd=place.here,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_import_is_found_from_the_main_repository_and_reported(place: Workspace) -> None:
    (place.here / "params.yaml").write_text("scrape: {import_path: mine}")
    metrics = run(load(place.params), place)
    assert metrics["by_breed"] == {"pug": {"fetched": 3, "duplicates": 0}}
    table = pd.read_parquet(place.raw / "manifest.parquet")
    assert list(table["breed"]) == ["pug"] * 3
    report = json.loads((place.reports / "scrape.json").read_text())
    assert report == {key: value for key, value in metrics.items() if key != "by_breed"}
    assert (report["files"], report["failures"]) == (3, {})


def test_the_summary_has_a_line_a_class_and_a_total(place: Workspace) -> None:
    done = stage(place, f"scrape: {{import_path: {place.shared / 'mine'}}}")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["pug", "3", "0"] in lines and ["total", "3", "0"] in lines
    assert "3 files" in done.stdout


@pytest.mark.parametrize(
    ("params", "code", "said"),
    [
        ("scrape: {breeds: [beagel]}", 2, "unknown breed beagel; did you mean beagle?"),
        ("scrape: {breeds: 3}", 2, "scrape.breeds: got 3, but breeds.yaml lists 1"),
        ("scrape: {breeds: 1, sources: {galery: 5}}", 2, "unknown source galery; did you mean"),
        ("scrape: {import_path: nowhere}", 2, "nowhere: does not exist"),
        ("scrape: {workers: 0}", 2, "params.yaml: scrape.workers: got 0"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_touched(
    place: Workspace, params: str, code: int, said: str
) -> None:
    done = stage(place, params)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr and done.stderr.count("\n") == 1
    assert not (place.here / "data").exists() and not place.reports.exists()
