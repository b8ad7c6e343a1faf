"""A folder of reports as the stages leave it, with hostile names in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.evaluation.montage import write_film, write_png
from pipeline.report.origins import Origins

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
    for name in ("seen", "sweep", "interpolation"):
        write_png(folder / f"{name}.png", rng.integers(0, 256, (100, 500, 3), dtype=np.uint8))
    write_film(folder / "denoising.webp", list(rng.integers(0, 256, (3, 60, 450, 3), np.uint8)))
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
    outcomes = {"breed": HOSTILE, "source": "a<b", "wanted": 80, "found": 97, "fetched": 77}
    pd.DataFrame(outcomes).to_csv(folder / "scrape.csv", index=False)
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


def origins() -> Origins:
    """What a workspace with two sources, four licences and an MLflow run tells of itself."""
    count = 12
    breeds = [HOSTILE[k % 3] for k in range(count)]
    paths = [f"x/{k}.png" for k in range(count)]
    manifest = pd.DataFrame(
        {
            "breed": breeds,
            "source": ["a<b", "c"] * 6,
            "title": ["<i>title</i>", None, "plain"] * 4,
            "licence": ["CC0", "CC BY 4.0", None, "<u>own</u>"] * 3,
            "author": ["<b>A</b>", None] * 6,
            "page_url": [f'https://example.org/{k}?a=1&b="2' for k in range(6)]
            + ["javascript:alert(1)", None, "", "data:text/html,x", "file:///etc", "gallery:/1"],
            "robots": ["heeded", None] * 6,
            "path": paths,
        }
    )
    index = pd.DataFrame(
        {
            "path": paths[:9],
            "breed": breeds[:9],
            "split": ["held_out"] * 3 + ["train"] * 6,
        }
    )
    run = "0" * 32
    address = f"http://127.0.0.1:5000/#/experiments/1/runs/{run}"
    return Origins(
        review=True,
        manifest=manifest,
        index=index,
        shown=pd.concat([index, manifest[9:]]),
        commit="c" * 40,
        run=run,
        links=[("The run", address)],
    )
