"""Miniature data sets in the forms they are downloaded in."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.dataset.importers import import_datasets
from pipeline.workspace import Workspace


def jpeg(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


def merged(where: Path, *specs: object, **options: object) -> pd.DataFrame:
    """The manifest after importing ``specs`` into a workspace ``where``."""
    import_datasets([str(spec) for spec in specs], Workspace(where, where), **options)  # type: ignore[arg-type]
    return pd.read_parquet(where / "data" / "raw" / "manifest.parquet")


def write_tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def seventy_dog_breeds(root: Path) -> Path:
    """70 Dog Breeds as Kaggle packs it: a split, breeds in plain words, a table and a model."""
    files = {
        f"{split}/{breed}/{number:03d}.jpg": jpeg(100 * k + 10 * s + number)
        for k, breed in enumerate(("American Hairless", "Shih-Tzu", "German Shorthaired Pointer"))
        for s, split in enumerate(("train", "valid", "test"))
        for number in range(1, 3)
    }
    return write_tree(root, files | {"dogs.csv": b"class id,filepaths\n", "model.h5": b"\x89HDF"})


def stanford_dogs(root: Path) -> Path:
    """Stanford Dogs: WordNet numbers before the names, annotations beside the pictures."""
    files = {}
    for k, (number, breed) in enumerate(
        (
            ("n02085620", "Chihuahua"),
            ("n02086240", "Shih-Tzu"),
            ("n02100236", "German_short-haired_pointer"),
        )
    ):
        for i in range(2):
            name = f"{number}_{1000 + i}"
            files[f"images/Images/{number}-{breed}/{name}.jpg"] = jpeg(5000 + 10 * k + i)
            files[f"annotations/Annotation/{number}-{breed}/{name}"] = b"<annotation/>"
    return write_tree(root, files)
