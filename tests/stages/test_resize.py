"""The stage: what the decisions keep, as one array."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from pipeline.dataset.dataset import Dataset
from pipeline.errors import PipelineError
from pipeline.params import Params, ResizeParams
from pipeline.workspace import Workspace
from stages import resize

PARAMS = dataclasses.replace(Params(), resize=ResizeParams(workers=1))


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    (tmp_path / "data/raw/beagle").mkdir(parents=True)
    Image.new("RGB", (90, 70), "red").save(tmp_path / "data/raw/beagle/a.png")
    return Workspace(tmp_path, tmp_path)


def test_only_what_is_kept_is_packed(space):
    rows = [("beagle/a.png", "beagle", True), ("beagle/gone.png", "beagle", False)]
    table = pd.DataFrame(rows, columns=["path", "breed", "keep"]).assign(cluster=-1, sha256="ab")
    space.clean.mkdir(parents=True)
    table.to_parquet(space.clean / "decisions.parquet")
    summary = resize.run(PARAMS, space)
    assert (summary["count"], summary["train"], summary["classes"]) == (1, 1, ["beagle"])
    data = Dataset.load(space.dataset)
    assert data.images.shape == (1, 64, 64, 3)
    assert (data.images == [255, 0, 0]).all()


def test_missing_and_damaged_decisions_are_one_line(space):
    with pytest.raises(PipelineError, match="dvc repro dedupe"):
        resize.run(PARAMS, space)
    space.clean.mkdir(parents=True)
    (space.clean / "decisions.parquet").write_bytes(b"junk")
    with pytest.raises(PipelineError, match="damaged") as caught:
        resize.run(PARAMS, space)
    assert "\n" not in str(caught.value)
