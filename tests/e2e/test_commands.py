"""Single commands in a finished repository."""

from __future__ import annotations

import re

import numpy as np
from clone import Project, stages_run
from PIL import Image

from pipeline.params import load


def test_generate_writes_pictures_at_true_size_and_git_sees_none(project: Project) -> None:
    said = project.pipeline("generate", "-n", "3", "--fname", "plots/sample")
    for i in range(3):
        assert f"plots/sample{i}.png" in said
        with Image.open(project.root / "plots" / f"sample{i}.png") as image:
            assert image.size == (32, 32) and image.mode == "RGB"
    assert project.changed() == []


def test_a_stage_run_alone_is_recorded_as_its_advice_says(project: Project) -> None:
    said = project.pipeline("evaluate")
    [advice] = re.findall(r"`(dvc commit[^`]*)`", said)
    project.run(*advice.split())
    assert "up to date" in project.dvc("status")
    said = project.pipeline("train", "-S", "scheduler=cosine")
    assert "scheduler: linear there, cosine here" in said
    assert "dvc exp run -S scheduler=cosine" in said


def test_a_data_set_of_ones_own_stands_in_for_scraping(project: Project) -> None:
    random = np.random.default_rng(0)
    for breed in ("poodle", "boxer"):
        folder = project.root.parent / "own" / breed
        folder.mkdir(parents=True)
        for i in range(8):
            noise = random.integers(0, 256, (12, 12, 3), np.uint8)
            Image.fromarray(noise).resize((80, 80)).save(folder / f"{i}.png")
    said = project.pipeline("import", "../own")
    assert "+  import_path:" in said
    own = str(project.root.parent / "own")  # a long one is wrapped, as `dvc exp run -S` would
    assert load(project.root / "params.yaml").scrape.import_path == own
    said = project.dvc("repro", "resize")
    assert stages_run(said) == ["scrape", "dedupe", "resize"]
    assert project.json("data/dataset/dataset.json")["classes"] == ["boxer", "poodle"]


def test_the_doctor_finds_a_finished_repository_sound(project: Project) -> None:
    assert "bad" in project.pipeline("doctor", code=1)  # it is a copy: the store names the original
    said = project.pipeline("doctor", "--fix")
    assert "mended" in said and not re.search(r"^bad", said, re.MULTILINE)
