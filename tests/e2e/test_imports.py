"""Data sets that one has, in a finished repository, by real DVC."""

from __future__ import annotations

import numpy as np
import pandas as pd
from clone import Project, stages_run
from PIL import Image

from pipeline.params import load


def test_two_data_sets_become_one_by_breed_and_dvc_makes_it_again(project: Project) -> None:
    random = np.random.default_rng(0)
    own = project.root.parent
    for folder in ("70/train/Shih-Tzu", "70/test/Shih-Tzu", "sd/n02086240-Shih-Tzu", "sd/n1-pug"):
        (own / folder).mkdir(parents=True)
        for i in range(4):
            noise = random.integers(0, 256, (12, 12, 3), np.uint8)
            Image.fromarray(noise).resize((80, 80)).save(own / folder / f"{i}.png")
    project.pipeline("import", "../70", "../sd")
    wanted = [str(own / "70"), str(own / "sd")]
    assert load(project.root / "params.yaml").scrape.import_path == wanted
    said = project.dvc("repro", "resize")
    assert stages_run(said) == ["scrape", "dedupe", "resize"]
    table = pd.read_parquet(project.root / "data" / "raw" / "manifest.parquet")
    counts = table.groupby(["breed", "source"]).size().to_dict()
    assert counts == {("shih_tzu", "70"): 8, ("shih_tzu", "sd"): 4, ("n1_pug", "sd"): 4}
    assert project.json("reports/scrape.json")["data_sets"] == {"70": 8, "sd": 8}
    assert project.json("data/dataset/dataset.json")["classes"] == ["n1_pug", "shih_tzu"]
    said = project.pipeline("train", "--epochs", "1", "--batch_size", "4", "--examples")
    assert "wrote reports/forward.png" in said
    assert (project.root / "reports" / "examples.png").is_file()
