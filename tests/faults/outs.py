"""What the five stages make of their inputs, less what no two runs share (times, ids of runs)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
from clone import Project

SAME = (
    "data/clean/decisions.parquet",
    "data/dataset/dataset.json",
    "data/dataset/images.npy",
    "data/dataset/index.parquet",
    "models/weights.safetensors",
    "reports/dedupe.json",
    "reports/loss.csv",
    "reports/metrics.json",
    "reports/samples.png",
    "reports/scrape.csv",
)


def outs_of(project: Project) -> dict[str, str]:
    """Every path under data/ and models/ and in ``SAME``, with the sha256 of what it must hold."""
    found = {path: sha256(project.root / path) for path in SAME}
    for path in (project.root / "data" / "raw").glob("*/*"):
        found[path.relative_to(project.root).as_posix()] = sha256(path)
    manifest = pd.read_parquet(project.root / "data/raw/manifest.parquet")
    table = manifest.drop(columns="fetched_at").to_csv(index=False)
    return found | {"manifest": hashlib.sha256(table.encode()).hexdigest()}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def unfinished(project: Project) -> list[Path]:
    """What a writer leaves behind that was cut off: temporary files of ours."""
    return [
        path
        for folder in ("data", "models", "reports", ".cache")
        for pattern in (".*.tmp", ".*.part")
        for path in (project.root / folder).rglob(pattern)
    ]


def error_line(said: str) -> str:
    """The one line of an error among what a stage said on standard error."""
    assert "Traceback" not in said, said
    [line] = [line for line in said.splitlines() if line.startswith("error: ")]
    return line
