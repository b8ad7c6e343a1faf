"""Kept pictures to one array of squares: an epoch is then a memory map, not 14,000 decodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import pool
from pipeline.cleaning.remembered import fill_squares
from pipeline.dataset.dataset import (
    HELD_OUT,
    IMAGES,
    INDEX,
    SUMMARY,
    TRAIN,
    digest_of,
)
from pipeline.dataset.split import held_out
from pipeline.errors import PipelineError
from pipeline.images import PictureError, draft_for, open_picture, shrink_and_crop
from pipeline.params import ResizeParams
from pipeline.workspace import atomic_write, write_json


@dataclass(frozen=True)
class _Task:
    path: str
    size: int


@dataclass(frozen=True)
class Known:
    """Where cleaning keeps the squares of what it decoded, and the limit it decoded under."""

    cache: Path
    max_pixels: int


def pack(
    decisions: pd.DataFrame,
    raw: Path,
    out: Path,
    params: ResizeParams,
    known: Known | None = None,
    *,
    clean: Path | None = None,
) -> dict[str, Any]:
    """Write images.npy, index.parquet and dataset.json to ``out``; returns what dataset.json says.

    Args:
        decisions: a row per file with path (relative to ``raw``), breed, keep, cluster, sha256;
            where they have one, group (see ``held_out``) and part_of: not null for what was cut
            out of a collage, whose path is relative to ``clean``.
        known: where to look squares up before decoding; what is written is the same without.

    Raises:
        PipelineError: nothing is kept, a kept file cannot be decoded, or has no breed.
    """
    kept = decisions[decisions["keep"]].sort_values("path", kind="stable").reset_index(drop=True)
    if not len(kept):
        raise PipelineError(
            f"{raw}: no picture is kept, nothing to train on; data/clean/review.html says why"
        )
    if (kept["breed"].fillna("") == "").any():
        path = kept.loc[kept["breed"].fillna("") == "", "path"].iloc[0]
        raise PipelineError(f"{raw / path}: lies in no folder of a breed, so it has no label")
    classes = sorted(kept["breed"].unique().tolist())
    labels = kept["breed"].map({name: k for k, name in enumerate(classes)}).to_numpy(np.int64)
    split = np.where(held_out(kept, params.held_out), HELD_OUT, TRAIN).astype(object)
    images = np.empty((len(kept), params.size, params.size, 3), np.uint8)
    shas = kept["sha256"].tolist()
    found = np.zeros(len(kept), bool)
    if known is not None:
        found = fill_squares(images, shas, known.cache, max_pixels=known.max_pixels)
    _decode(images, np.flatnonzero(~found), _places(kept, raw, clean), params)

    summary = _summary(images, labels, split, classes)
    index = kept.assign(label=labels, split=split, group=kept.get("group", kept["cluster"]))
    _write(out, images, index, summary)
    return summary


def _write(out: Path, images: np.ndarray, index: pd.DataFrame, summary: dict[str, Any]) -> None:
    """All three files. dataset.json goes, once there is room for the others, and comes last: a
    folder that has one is whole."""
    columns = ["path", "breed", "label", "split", "cluster", "group", "sha256"]
    with atomic_write(out / IMAGES) as file, atomic_write(out / INDEX) as table:
        # As np.save, which does not say why the disk refuses.
        header = np.lib.format.header_data_from_array_1_0(images)
        np.lib.format.write_array_header_1_0(file, header)
        file.write(images.data)
        file.flush()
        index[columns].to_parquet(table, index=False)
        table.flush()
        (out / SUMMARY).unlink(missing_ok=True)
    write_json(out / SUMMARY, summary)


def _places(kept: pd.DataFrame, raw: Path, clean: Path | None) -> list[Path]:
    """Where the pictures lie: in ``raw``, cells of collages in ``clean``."""
    if "part_of" not in kept or clean is None:
        return [raw / path for path in kept["path"]]
    roots = np.where(kept["part_of"].isna(), str(raw), str(clean))
    return [Path(root, path) for root, path in zip(roots, kept["path"], strict=True)]


def square(task: _Task) -> np.ndarray | str:
    """The centre square of one file (uint8 S x S x 3), or why there is none."""
    try:
        image = open_picture(Path(task.path), max_pixels=2**31, draft=draft_for(task.size))
    except PictureError as error:
        return str(error)
    return shrink_and_crop(image, task.size)


def _decode(
    images: np.ndarray, missing: np.ndarray, paths: list[Path], params: ResizeParams
) -> None:
    """Write the missing ones into ``images`` (uint8 N x S x S x 3, in the order of ``paths``)."""
    tasks = [_Task(str(paths[k]), params.size) for k in missing]
    for index, result in pool.each(
        square, tasks, workers=params.workers, what="resize", unit="pictures", chunk=32
    ):
        k = int(missing[index])
        if result is None or isinstance(result, str):
            why = result or "the decoder crashed or did not end"
            raise PipelineError(
                f"{paths[k]}: was kept but cannot be opened now ({why}): run `dvc repro dedupe`"
            )
        images[k] = result


def _summary(
    images: np.ndarray, labels: np.ndarray, split: np.ndarray, classes: list[str]
) -> dict[str, Any]:
    train = np.flatnonzero(split == TRAIN)
    mean, std, sigma_data = statistics(images, train)
    return {
        "size": int(images.shape[1]),
        "count": len(images),
        "train": len(train),
        "held_out": len(images) - len(train),
        "classes": classes,
        "mean": [round(float(value), 6) for value in mean],
        "std": [round(float(value), 6) for value in std],
        "sigma_data": round(sigma_data, 6),
        "digest": digest_of(images, labels, split),
    }


def statistics(images: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and standard deviation by channel, and over all values, of pixels in [-1, 1].

    From histograms of the 256 values: exact, and no float copy of the pictures is made.
    """
    counts = np.zeros((3, 256), np.int64)
    for start in range(0, len(chosen), 1024):
        part = images[chosen[start : start + 1024]].reshape(-1, 3)
        counts += np.stack([np.bincount(part[:, c], minlength=256) for c in range(3)])
    value = np.arange(256) / 127.5 - 1
    total = counts.sum(axis=1)
    mean = counts @ value / total
    std = np.sqrt(np.maximum(counts @ value**2 / total - mean**2, 0))
    together = counts.sum(axis=0) / counts.sum()
    sigma_data = float(np.sqrt(max(together @ value**2 - (together @ value) ** 2, 0)))
    return mean, std, sigma_data
