"""The packed data set: one array of squares, their labels and their split.

Needs numpy and pandas (with pyarrow) only, so it loads on a bare GPU image too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import PipelineError

IMAGES, INDEX, SUMMARY = "images.npy", "index.parquet", "dataset.json"
TRAIN, HELD_OUT = "train", "held_out"


@dataclass(frozen=True)
class Dataset:
    """N pictures of S x S.

    ``images`` uint8 N x S x S x 3, RGB (a memory map: nothing is read until it is used);
    ``labels`` int64 N, indices into ``classes``; ``split`` N texts, train or held_out; ``mean`` and
    ``std`` (3) and ``sigma_data`` of the training pixels scaled to [-1, 1]; ``index`` has a row for
    each picture: path, breed, label, split, cluster, sha256. ``digest`` identifies the content.
    """

    images: np.ndarray
    labels: np.ndarray
    split: np.ndarray
    classes: list[str]
    mean: np.ndarray
    std: np.ndarray
    sigma_data: float
    digest: str
    index: pd.DataFrame

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Side of the pictures in pixels."""
        return int(self.images.shape[1])

    @property
    def train_indices(self) -> np.ndarray:
        return np.flatnonzero(self.split == TRAIN)

    @property
    def held_out_indices(self) -> np.ndarray:
        return np.flatnonzero(self.split == HELD_OUT)

    @classmethod
    def load(cls, folder: Path) -> Dataset:
        """Open a packed data set.

        Raises:
            PipelineError: a file is missing, damaged, or does not fit the others.
        """
        try:
            summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
            images = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
            index = pd.read_parquet(folder / INDEX)
        except FileNotFoundError as error:
            raise PipelineError(
                f"{error.filename}: no such file; `pipeline resize` or `dvc repro resize` makes it"
            ) from None
        except Exception as error:  # three formats, each with errors of its own
            raise PipelineError(
                f"{folder}: is damaged ({' '.join(str(error).split())}); make it again with "
                "`dvc repro -f resize`"
            ) from None
        try:
            return cls._checked(images, index, summary)
        except (KeyError, TypeError, ValueError) as error:
            raise PipelineError(
                f"{folder}: its files do not fit together ({error}); make them again with "
                "`dvc repro -f resize`"
            ) from None

    @classmethod
    def _checked(cls, images: np.ndarray, index: pd.DataFrame, summary: dict[str, Any]) -> Dataset:
        size, classes = int(summary["size"]), [str(name) for name in summary["classes"]]
        if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3):
            raise ValueError(f"{IMAGES} is {images.dtype} {images.shape}, {SUMMARY} says {size}")
        if not len(images) == len(index) == summary["count"]:
            raise ValueError(
                f"{len(images)} images, {len(index)} rows in {INDEX}, count {summary['count']}"
            )
        labels = index["label"].to_numpy(dtype=np.int64)
        if len(labels) and not (labels.min() >= 0 and labels.max() < len(classes)):
            raise ValueError(f"labels beyond the {len(classes)} classes")
        split = index["split"].to_numpy(dtype=object)
        if not set(split) <= {TRAIN, HELD_OUT}:
            raise ValueError(f"a split that is neither {TRAIN} nor {HELD_OUT}")
        return cls(
            images=images,
            labels=labels,
            split=split,
            classes=classes,
            mean=np.array(summary["mean"], np.float64),
            std=np.array(summary["std"], np.float64),
            sigma_data=float(summary["sigma_data"]),
            digest=str(summary["digest"]),
            index=index,
        )


def digest_of(images: np.ndarray, labels: np.ndarray, split: np.ndarray) -> str:
    """sha256 (hex) over the pixels, the labels and the split."""
    total = hashlib.sha256()
    total.update(str(images.shape).encode())
    total.update(np.ascontiguousarray(images).data)
    total.update(np.ascontiguousarray(labels, dtype="<i8").data)
    total.update("\n".join(split.tolist()).encode())
    return total.hexdigest()
