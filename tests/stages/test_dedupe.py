"""The stage: data/raw in, decisions, page and counts out, the same for the same input."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.errors import PipelineError
from pipeline.params import DedupeParams, Params
from pipeline.workspace import Workspace
from stages import dedupe

PARAMS = dataclasses.replace(Params(), dedupe=DedupeParams(workers=1))


def draw(path: Path, seed: int, side: int = 120) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(path, quality=95)


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    raw = tmp_path / "data" / "raw"
    for seed in range(4):
        draw(raw / f"beagle/{seed}.jpg", seed)
        draw(raw / f"boxer/{seed}.jpg", 10 + seed)
    draw(raw / "boxer/copy.jpg", 10, side=90)
    (raw / "boxer/bad.bin").write_bytes(b"<html>")
    pd.DataFrame({"path": ["beagle/0.jpg"] * 11}).to_parquet(raw / "manifest.parquet")
    return Workspace(tmp_path, tmp_path)


def test_counts_table_and_page(space):
    metrics = dedupe.run(PARAMS, space)
    table = pd.read_parquet(space.clean / "decisions.parquet")
    assert metrics == json.loads((space.reports / "dedupe.json").read_text())
    assert (metrics["files"], metrics["kept"]) == (10, 8) == (len(table), table["keep"].sum())
    assert (metrics["reason_near_duplicate"], metrics["reason_corrupt"]) == (1, 1)
    assert metrics["manifest_rows"] == 11
    assert table["path"].is_monotonic_increasing
    assert table.set_index("path").loc["boxer/copy.jpg", "nearest"] == "boxer/0.jpg"
    assert "boxer/copy.jpg" in (space.clean / "review.html").read_text()


def test_equal_input_gives_equal_bytes(space):
    files = [space.clean / "decisions.parquet", space.clean / "review.html"]
    dedupe.run(PARAMS, space)
    first = [file.read_bytes() for file in files]
    dedupe.run(PARAMS, space)
    assert [file.read_bytes() for file in files] == first


def test_overrides_win_and_idle_ones_are_counted(space):
    space.overrides.write_text("item,decision,why\nboxer/copy.jpg,keep,mine\ngone.jpg,drop,\n")
    metrics = dedupe.run(PARAMS, space)
    assert metrics["reason_override"] == 1 and metrics["overrides_without_a_file"] == 1


def test_mistakes_are_one_line(space):
    space.overrides.write_text("item,decision,why\nboxer/copy.jpg,perhaps,\n")
    with pytest.raises(PipelineError, match=r"overrides\.csv, line 2"):
        dedupe.run(PARAMS, space)
    space.overrides.unlink()
    strict = dataclasses.replace(PARAMS, dedupe=DedupeParams(workers=1, min_side=5000))
    with pytest.raises(PipelineError, match="none of 10 files is kept") as caught:
        dedupe.run(strict, space)
    assert "\n" not in str(caught.value)


def test_without_pictures_it_says_how_to_get_some(tmp_path):
    with pytest.raises(PipelineError, match="pipeline import"):
        dedupe.run(PARAMS, Workspace(tmp_path, tmp_path))
