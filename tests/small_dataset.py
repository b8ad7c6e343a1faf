"""A packed data set that trains in seconds."""

import json
from pathlib import Path

import numpy as np
import pandas as pd


def make_dataset(folder: Path, seed: int = 0, least: int = 0) -> None:
    """A set of 30 random pictures (values from ``least``) of two breeds, 26 of them to train on, in
    the form `resize` writes."""
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(seed).integers(least, 256, (30, 16, 16, 3), dtype=np.uint8)
    np.save(folder / "images.npy", images)
    index = pd.DataFrame(
        {
            "path": [f"x/{k:02d}.png" for k in range(30)],
            "breed": ["beagle", "poodle"] * 15,
            "label": [0, 1] * 15,
            "split": ["held_out" if k < 4 else "train" for k in range(30)],
            "cluster": range(30),
            "sha256": [f"{k:064x}" for k in range(30)],
        }
    )
    index.to_parquet(folder / "index.parquet", index=False)
    about = {
        "size": 16, "count": 30, "train": 26, "held_out": 4, "classes": ["beagle", "poodle"],
        "mean": [0.0] * 3, "std": [0.5] * 3, "sigma_data": 0.5, "digest": f"{seed:064x}",
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(about))
