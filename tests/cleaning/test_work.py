"""Measured rows: the same however they were made, and none made twice."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import measured_run
import numpy as np
import pandas as pd
import pytest
import tripwire
from PIL import Image

from pipeline.cleaning import parts, shards, work
from pipeline.cleaning.measure import faulty
from pipeline.errors import PipelineError
from pipeline.params import DedupeParams

PARAMS = DedupeParams(workers=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, pictures):
    folder = tmp_path_factory.mktemp("pictures")
    for k in range(12):
        pictures.save(folder / f"{k:02}.jpg", pictures.photo(k, (90, 72)))
    (folder / "text.jpg").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def table(folder):
    return work.measurements(measured_run.found(folder), PARAMS, cache=None)


def test_pieces_give_the_same_table_as_the_whole(folder, table, tmp_path, monkeypatch):
    monkeypatch.setattr(work, "SHARD", 5)
    found = measured_run.found(folder)
    pd.testing.assert_frame_equal(work.measurements(found, PARAMS, cache=tmp_path), table)
    assert len(list(tmp_path.rglob("*.parquet"))) == 3  # 5 + 5 + 3
    assert not list(tmp_path.rglob("*.tmp"))
    again = work.measurements(found[::-1], PARAMS, cache=tmp_path)
    pd.testing.assert_frame_equal(again, table)
    some = work.measurements(found[:4], PARAMS, cache=tmp_path, columns=["greys", "width"])
    wanted = sorted(file.sha256 for file in found[:4])
    pd.testing.assert_frame_equal(some, table.loc[wanted, ["greys", "width"]])


def test_the_unit_of_work_is_a_function_from_files_to_a_table(folder, table):
    found = measured_run.found(folder)
    shard = shards.Shard(tuple((f.sha256, str(f.path)) for f in found), PARAMS.max_pixels)
    pd.testing.assert_frame_equal(shards.measure_shard(shard), table)
    pieces = [shards.measure_shard(piece) for piece in shard.cut(7)]
    pd.testing.assert_frame_equal(pd.concat(pieces).sort_index(), table)


def test_a_new_picture_is_the_only_one_measured(folder, table, tmp_path, monkeypatch):
    found = measured_run.found(folder)
    work.measurements(found[:-3], PARAMS, cache=tmp_path)
    asked = []
    real = shards.pool.each

    def spy(function, items, **options):
        asked.extend(Path(path).name for path, _ in items)
        return real(function, items, **options)

    monkeypatch.setattr(shards.pool, "each", spy)
    pd.testing.assert_frame_equal(work.measurements(found, PARAMS, cache=tmp_path), table)
    assert sorted(asked) == [file.name for file in found[-3:]]


def test_what_is_said_of_a_file_that_vanished_is_not_remembered_for_its_content(
    folder, table, tmp_path
):
    found = measured_run.found(folder)
    gone = dataclasses.replace(found[3], path=folder / "gone.jpg")
    row = work.measurements([gone], PARAMS, cache=tmp_path).iloc[0]
    assert "no such file" in row["fault"]
    there = work.measurements([found[3]], PARAMS, cache=tmp_path)
    pd.testing.assert_frame_equal(there, table.loc[[found[3].sha256]])


def test_rows_of_another_recipe_are_not_read(folder, table, tmp_path, monkeypatch):
    found = measured_run.found(folder)[:3]
    work.measurements(found, PARAMS, cache=tmp_path)
    key = shards.cache_key(PARAMS.max_pixels)
    assert shards.cache_key(4096) != key
    for module, name in ((shards, "VERSION"), (shards.PIL, "__version__")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, "other")
            assert shards.cache_key(PARAMS.max_pixels) != key
    small = work.measurements(found, dataclasses.replace(PARAMS, max_pixels=4096), cache=tmp_path)
    assert small["fault"].notna().all()  # 90 x 72 pixels are more
    again = work.measurements(found, PARAMS, cache=tmp_path)
    pd.testing.assert_frame_equal(again, table.loc[again.index])


def test_a_part_survives_whole_or_not_at_all(tmp_path):
    rows = parts.table((f"{k:064x}", faulty(f"fault {k}")) for k in range(50))
    parts.write(rows, tmp_path)
    pd.testing.assert_frame_equal(parts.read(tmp_path, rows.index), rows)
    pd.testing.assert_frame_equal(parts.from_bytes(parts.to_bytes(rows)), rows)
    parts.write(rows.iloc[10:20], tmp_path)  # a row in two parts is one row
    parts.write(rows.iloc[:0], tmp_path)
    pd.testing.assert_frame_equal(parts.read(tmp_path, rows.index[5:15]), rows.iloc[5:15])
    for path in tmp_path.glob("*.parquet"):
        data = bytearray(path.read_bytes())
        data[4 : len(data) // 2] = bytes(len(data) // 2 - 4)  # the footer is still good
        path.write_bytes(data)
    assert len(parts.read(tmp_path, rows.index)) == 0
    assert not list(tmp_path.glob("*.parquet"))
    assert parts.read(None, rows.index).dtypes.equals(rows.dtypes)


def test_only_damaged_parts_are_removed(tmp_path, monkeypatch):
    rows = parts.table((f"{k:064x}", faulty("")) for k in range(5))
    parts.write(rows, tmp_path)
    for error in (PermissionError(13, "Permission denied"), OSError(5, "Input/output error")):
        with monkeypatch.context() as patch:
            patch.setattr(parts.pq, "ParquetFile", mock.Mock(side_effect=error))
            with pytest.raises(PipelineError, match=f"cannot be read .{error.strerror}"):
                parts.read(tmp_path, rows.index)
    assert len(parts.read(tmp_path, rows.index)) == 5
    (tmp_path / "other.parquet").write_bytes(b"no table")
    assert len(parts.read(tmp_path, rows.index)) == 5
    assert len(list(tmp_path.glob("*.parquet"))) == 1


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    rows = parts.table([("a", faulty("x"))])
    with pytest.raises(PipelineError, match="cannot be written"):
        parts.write(rows, tmp_path / "file" / "folder")


def test_killed_in_the_middle_it_goes_on_where_it_was(tmp_path, pictures):
    folder, shard, count = tmp_path / "in", 16, 80
    rng = np.random.default_rng(0)
    for k in range(count):
        noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        pictures.save(folder / f"{k:02}.jpg", Image.fromarray(noise))
    environment = tripwire.set_up(tmp_path, slow=0.02)
    command = [sys.executable, measured_run.__file__, folder, tmp_path / "cache", shard, 60]
    run = subprocess.Popen([str(part) for part in command], env=environment)
    try:
        while len(list(tmp_path.glob("cache/cleaning/*/*.parquet"))) < 2:
            assert run.poll() is None
            time.sleep(0.01)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    time.sleep(0.5)  # the last worker notices
    before = len(tripwire.decodes(tmp_path))
    kept = len(parts.read(next(tmp_path.glob("cache/cleaning/*")), _shas(folder)))
    assert 2 * shard <= kept <= before < count
    subprocess.run([str(part) for part in command], env=environment, check=True)
    decodes = tripwire.decodes(tmp_path)
    assert set(decodes) == set(_shas(folder))
    assert len(decodes) - count == before - kept <= 2 * shard


def _shas(folder: Path) -> list[str]:
    return [file.sha256 or "" for file in measured_run.found(folder)]
