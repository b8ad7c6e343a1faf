"""dedupe: data/raw -> data/clean/decisions.parquet, review.html and reports/dedupe.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import params as schema
from pipeline.cleaning.decide import Cleaned, clean
from pipeline.cleaning.overrides import read_overrides
from pipeline.cleaning.review import write_review
from pipeline.cleaning.verdicts import REASONS, counts
from pipeline.errors import PipelineError, run_cleanly
from pipeline.params import Params
from pipeline.raw import MANIFEST
from pipeline.workspace import Workspace, atomic_write, write_json


def run(params: Params, space: Workspace) -> dict[str, Any]:
    """Decide about every file in data/raw. Returns the counts, which add up to the files."""
    if not space.raw.is_dir():
        raise PipelineError(
            f"{space.raw}: no such folder; `dvc repro scrape` or `pipeline import PATH` makes it"
        )
    overrides = read_overrides(space.overrides)
    # DVC may check its outs out as links into its cache.
    cleaned = clean(
        space.raw,
        params.dedupe,
        cache=space.cache,
        overrides=overrides,
        skip=(MANIFEST,),
        links=True,
    )
    metrics: dict[str, Any] = counts(cleaned.table)
    metrics["overrides_without_a_file"] = len(cleaned.idle)
    if cleaned.collages.recall is not None and cleaned.collages.alarms is not None:
        # Of composed collages, and of single pictures saved again, that no model had seen.
        metrics["collage_recall"] = round(cleaned.collages.recall, 4)
        metrics["collage_false_alarms"] = round(cleaned.collages.alarms, 4)
    metrics["manifest_rows"] = _manifest_rows(space.raw)
    write(cleaned, space.clean)
    write_json(space.reports / "dedupe.json", metrics)
    if not metrics["kept"]:
        raise PipelineError(
            f"none of {metrics['files']} files is kept: {space.clean / 'review.html'} says why; "
            "loosen params.yaml (dedupe) or keep some in overrides.csv"
        )
    return metrics


def write(cleaned: Cleaned, folder: Path) -> None:
    """The two files of data/clean."""
    folder.mkdir(parents=True, exist_ok=True)
    write_review(cleaned, folder / "review.html")
    with atomic_write(folder / "decisions.parquet") as file:
        cleaned.table.to_parquet(file, index=False)


def _manifest_rows(raw: Path) -> int | None:
    """Rows of the manifest: URLs with equal bytes in one breed are rows of one file."""
    path = raw / MANIFEST
    return len(pd.read_parquet(path, columns=["path"])) if path.exists() else None


def main() -> None:
    space = Workspace.find()
    metrics = run(schema.load(space.params), space)
    print(f"{metrics['kept']:,} of {metrics['files']:,} files kept in {space.clean}")
    dropped = [(name, metrics[f"reason_{name}"]) for name in REASONS if name != "kept"]
    print("  ".join(f"{name} {count:,}" for name, count in dropped if count) or "nothing dropped")
    if metrics["label_conflicts"]:
        print(f"{metrics['label_conflicts']:,} pictures lie under more than one breed")


if __name__ == "__main__":
    run_cleanly(main)
