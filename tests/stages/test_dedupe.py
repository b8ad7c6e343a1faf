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
from pipeline.params import QUALITIES, DedupeParams, Params
from pipeline.workspace import Workspace
from stages import dedupe, resize

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


def test_cells_are_an_out_of_the_stage_and_resize_packs_them(space):
    rng = np.random.default_rng(3)
    cells = [rng.integers(0, 256, (6, 6, 3), dtype=np.uint8) for _ in range(4)]
    sheet = Image.new("RGB", (606, 606), "white")
    for k, cell in enumerate(cells):
        picture = Image.fromarray(cell).resize((300, 300), Image.Resampling.BICUBIC)
        sheet.paste(picture, (k % 2 * 306, k // 2 * 306))
    sheet.save(space.raw / "boxer/sheet.png")
    params = dataclasses.replace(PARAMS, dedupe=DedupeParams(workers=1, collage="split"))
    metrics = dedupe.run(params, space)
    assert (metrics["files"], metrics["reason_collage"]) == (11, 1)
    assert (metrics["cells"], metrics["cells_kept"]) == (4, 4)
    assert "4 of 4 cells of collages kept" in dedupe.summary(metrics)
    packed = resize.run(params, space)
    assert packed["count"] == metrics["kept"] + 4
    index = pd.read_parquet(space.dataset / "index.parquet")
    assert index[index["path"].str.startswith("cells/boxer/")]["split"].nunique() == 1
    dedupe.run(PARAMS, space)
    assert not (space.clean / "cells").exists()


def test_the_summary_says_conflicts_and_what_was_merely_found(space):
    (space.raw / "boxer/same.jpg").write_bytes((space.raw / "beagle/0.jpg").read_bytes())
    draw(space.raw / "beagle/2 again.jpg", 2, side=90)
    (space.raw / "beagle/2 again.jpg").rename(space.raw / "boxer/2 again.jpg")
    metrics = dedupe.run(PARAMS, space)
    assert metrics["label_conflicts"] == 2
    text = "\n".join(dedupe.summary(metrics))
    assert "2 photos lie under more than one breed" in text
    assert "exact_duplicate 1" in text and "near_duplicate 2" in text
    assert all(f"found_{name}" in metrics for name in QUALITIES)


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
