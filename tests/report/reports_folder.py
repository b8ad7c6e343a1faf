"""A folder of reports as the stages leave it, with hostile names in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pipeline.evaluation.montage import write_png

HOSTILE = ["<script>alert('breed')</script>", "shih_tzu", '"><img src=x onerror=alert(1)>']
MODEL = {
    "parameters": 991_235,
    "weights_sha256": "c0ffee" * 10,
    "architecture": {"schedule": "cosine", "objective": "x0"},
    "training": {"seed": 7, "images": 24_000, "data_digest": "beef" * 16},
}


def make_reports(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for name, size in (("samples", (400, 900, 3)), ("denoising", (200, 800, 3))):
        write_png(folder / f"{name}.png", rng.integers(0, 256, size, dtype=np.uint8))
    write_png(folder / "nearest.png", rng.integers(0, 256, (300, 1600, 3), dtype=np.uint8))
    figures = {
        "swd": 0.1361,
        "swd_held_out": -0.00064,
        "spectrum": 50.54,
        "spectrum_held_out": 0.0229,
        "breed_accuracy": 0.9,
        "copies": 0.0,
        "copies_held_out": 0.0,
        "n_samples": 192,
        "n_train": 2700,
        "n_held_out": 300,
        "accuracy_by_breed": dict.fromkeys(HOSTILE, 0.5),
    }
    (folder / "metrics.json").write_text(json.dumps(figures))
    steps = range(1, 61)
    rows = [f"{400 * k},{0.05 + 0.5 / k:.6g},{120 + k},{0.002},{0.5 + k % 3}" for k in steps]
    header = "images,loss,images_per_second,lr,grad_norm"
    (folder / "loss.csv").write_text("\n".join([header, *rows]) + "\n")
    scrape = {
        "files": 470,
        "bytes": 123_456_789,
        "failures": {"404 </td><script>": 6},
        "by_breed": {name: {"wanted": 80, "fetched": 77} for name in HOSTILE},
    }
    (folder / "scrape.json").write_text(json.dumps(scrape))
    dedupe = {"files": 470, "kept": 380, "reason_kept": 380, "reason_near_duplicate": 90}
    (folder / "dedupe.json").write_text(json.dumps(dedupe | {"reason_corrupt": 0}))
    return folder
