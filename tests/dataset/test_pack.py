"""Kept pictures become one array; the split is stable and never cuts a cluster."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.dataset.dataset import Dataset
from pipeline.dataset.pack import pack, statistics
from pipeline.dataset.split import held_out
from pipeline.errors import PipelineError
from pipeline.params import ResizeParams

PARAMS = ResizeParams(size=16, held_out=0.2, workers=1)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def table(breeds: dict[str, int], clusters: dict[str, int] | None = None) -> pd.DataFrame:
    """Decisions that keep ``breeds``: name -> number of pictures."""
    rows = [
        {
            "path": f"{breed}/{k:03}.png",
            "breed": breed,
            "keep": True,
            "cluster": (clusters or {}).get(f"{breed}/{k:03}.png", -1),
            "sha256": sha(f"{breed} {k}"),
        }
        for breed, count in breeds.items()
        for k in range(count)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for path in table({"beagle": 12, "boxer": 8})["path"]:
        (tmp_path / "raw" / path).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "raw" / path)
    return tmp_path / "raw"


def test_the_array_holds_the_kept_pictures_in_order(raw, tmp_path):
    decisions = table({"boxer": 8, "beagle": 12})
    decisions.loc[decisions["path"] == "boxer/003.png", "keep"] = False
    summary = pack(decisions, raw, tmp_path / "out", PARAMS)
    data = Dataset.load(tmp_path / "out")
    assert len(data) == summary["count"] == 19 and data.size == 16
    assert data.classes == ["beagle", "boxer"]
    assert data.index["path"].is_monotonic_increasing
    for k, row in data.index.iterrows():
        assert data.classes[data.labels[k]] == row["breed"]
        with Image.open(raw / row["path"]) as image:
            assert np.array_equal(data.images[k], np.asarray(image))
    assert data.labels.dtype == np.int64 and data.images.dtype == np.uint8


def test_the_two_parts_are_the_whole(raw, tmp_path):
    summary = pack(table({"beagle": 12, "boxer": 8}), raw, tmp_path / "out", PARAMS)
    data = Dataset.load(tmp_path / "out")
    both = np.concatenate([data.train_indices, data.held_out_indices])
    assert sorted(both.tolist()) == list(range(20))
    assert (summary["train"], summary["held_out"]) == (16, 4)


def test_statistics_are_those_of_the_training_pixels(raw, tmp_path):
    pack(table({"beagle": 12, "boxer": 8}), raw, tmp_path / "out", PARAMS)
    data = Dataset.load(tmp_path / "out")
    pixels = data.images[data.train_indices].reshape(-1, 3) / 127.5 - 1
    assert np.allclose(data.mean, pixels.mean(axis=0), atol=1e-5)
    assert np.allclose(data.std, pixels.std(axis=0), atol=1e-5)
    assert data.sigma_data == pytest.approx(pixels.std(), abs=1e-5)
    one = statistics(np.full((1, 4, 4, 3), 255, np.uint8), np.array([0]))
    assert one[0].tolist() == [1, 1, 1] and one[2] == 0


def test_equal_input_gives_equal_bytes(raw, tmp_path):
    for name, workers in (("a", 1), ("b", 2)):
        params = ResizeParams(size=16, held_out=0.2, workers=workers)
        pack(table({"beagle": 12, "boxer": 8}), raw, tmp_path / name, params)
    for name in ("images.npy", "index.parquet", "dataset.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_digest_knows_pixels_and_split(raw, tmp_path):
    decisions = table({"beagle": 12, "boxer": 8})
    first = pack(decisions, raw, tmp_path / "out", PARAMS)["digest"]
    other = ResizeParams(size=16, held_out=0.3, workers=1)
    assert pack(decisions, raw, tmp_path / "out", other)["digest"] != first
    Image.new("RGB", (16, 16)).save(raw / "beagle/000.png")
    assert pack(decisions, raw, tmp_path / "out", PARAMS)["digest"] != first


def test_no_cluster_is_on_both_sides():
    clusters = {f"a/{k:03}.png": k % 7 for k in range(60)} | {"b/001.png": 0, "b/002.png": 3}
    some = table({"a": 100, "b": 50}, clusters)
    out = held_out(some, 0.2)
    for _, part in some.assign(out=out)[some["cluster"] >= 0].groupby("cluster"):
        assert part["out"].nunique() == 1


def test_no_group_is_on_both_sides_and_a_table_without_groups_goes_by_cluster():
    some = table({"a": 100, "b": 50}, {"a/000.png": 0, "a/001.png": 0})
    grouped = some.assign(group=[k % 30 if k % 2 else -1 for k in range(150)])
    out = held_out(grouped, 0.3)
    assert out.any()
    for _, part in grouped.assign(out=out)[grouped["group"] >= 0].groupby("group"):
        assert part["out"].nunique() == 1
    same = some.assign(group=some["cluster"])
    assert np.array_equal(held_out(some, 0.2), held_out(same, 0.2))


def test_each_class_gives_its_share_and_keeps_one():
    counts = {"many": 200, "some": 40, "few": 5, "one": 1}
    some = table(counts)
    out = pd.Series(held_out(some, 0.1)).groupby(some["breed"].to_numpy()).sum()
    assert out.to_dict() == {"many": 20, "some": 4, "few": 0, "one": 0}
    half = pd.Series(held_out(some, 0.5)).groupby(some["breed"].to_numpy()).sum()
    assert half["one"] == 0 and half["many"] == 100


def test_a_new_breed_moves_nobody():
    before = table({"a": 80, "b": 60})
    after = table({"a": 80, "b": 60, "c": 90})
    old = set(before["path"][held_out(before, 0.1)])
    new = {path for path in after["path"][held_out(after, 0.1)] if not path.startswith("c/")}
    assert old == new


def test_the_split_does_not_depend_on_the_order_of_rows():
    some = table({"a": 80, "b": 60}, {"a/001.png": 0, "b/001.png": 0})
    shuffled = some.sample(frac=1, random_state=1)
    assert set(some["path"][held_out(some, 0.2)]) == set(shuffled["path"][held_out(shuffled, 0.2)])
    assert not held_out(some, 0.0).any()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "images.npy").unlink(), "no such file"),
        (lambda folder: (folder / "images.npy").write_bytes(b"junk"), "damaged"),
        (lambda folder: (folder / "dataset.json").write_text("{}"), "do not fit together"),
        (
            lambda folder: np.save(folder / "images.npy", np.zeros((3, 16, 16, 3), np.uint8)),
            "3 images",
        ),
        (lambda folder: np.save(folder / "images.npy", np.zeros((20, 8, 8, 3))), "float64"),
    ],
)
def test_a_damaged_set_is_refused_in_one_line(raw, tmp_path, spoil, words):
    pack(table({"beagle": 12, "boxer": 8}), raw, tmp_path / "out", PARAMS)
    spoil(tmp_path / "out")
    with pytest.raises(PipelineError, match=words) as caught:
        Dataset.load(tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_cells_of_collages_come_from_the_cleaned_folder(raw, tmp_path):
    decisions = table({"beagle": 12, "boxer": 8}).assign(part_of=None, group=-1)
    name = "cells/boxer/0123-0.png"
    Image.new("RGB", (16, 16), "blue").save(tmp_path / "blue.png")
    (tmp_path / "clean/cells/boxer").mkdir(parents=True)
    (tmp_path / "blue.png").rename(tmp_path / "clean" / name)
    cell = decisions.iloc[[-1]].assign(path=name, sha256=sha("cell"), part_of="boxer/007.png")
    every = pd.concat([decisions, cell], ignore_index=True)
    pack(every, raw, tmp_path / "out", PARAMS, clean=tmp_path / "clean")
    data = Dataset.load(tmp_path / "out")
    [place] = data.index.index[data.index["path"] == name]
    assert len(data) == 21 and (data.images[place] == [0, 0, 255]).all()
    assert data.classes[data.labels[place]] == "boxer"


def test_what_cannot_be_packed_is_said_and_leaves_no_half_set(raw, tmp_path):
    decisions = table({"beagle": 12, "boxer": 8})
    (raw / "boxer/002.png").write_bytes(b"gone bad")
    with pytest.raises(PipelineError, match=r"boxer/002\.png"):
        pack(decisions, raw, tmp_path / "out", PARAMS)
    assert not (tmp_path / "out" / "dataset.json").exists()
    with pytest.raises(PipelineError, match="no picture is kept"):
        pack(decisions.assign(keep=False), raw, tmp_path / "out", PARAMS)
    with pytest.raises(PipelineError, match="no label"):
        pack(decisions.assign(breed=""), raw, tmp_path / "out", PARAMS)


def test_the_set_loads_where_only_numpy_and_pandas_are(raw, tmp_path):
    pack(table({"beagle": 12, "boxer": 8}), raw, tmp_path / "out", PARAMS)
    code = (
        "import sys; from pathlib import Path; from pipeline.dataset.dataset import Dataset\n"
        f"print(len(Dataset.load(Path({str(tmp_path / 'out')!r}))))\n"
        "import json; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, modules = done.stdout.splitlines()
    assert count == "20"
    assert not {"torch", "mlflow", "dvc", "sklearn", "selenium", "PIL"} & set(json.loads(modules))
