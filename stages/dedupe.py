"""dedupe: data/raw -> data/clean (decisions.parquet, review.html, cells) and its counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import params as schema
from pipeline.cleaning.decide import Cleaned, clean
from pipeline.cleaning.overrides import read_overrides
from pipeline.cleaning.review import write_review
from pipeline.cleaning.verdicts import FAULTS, REASONS, counts
from pipeline.ending import run_stage
from pipeline.errors import PipelineError, printable
from pipeline.params import Params
from pipeline.raw import MANIFEST
from pipeline.workspace import Workspace, alone, atomic_write, write_json


@alone("dedupe")
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
        cells=space.clean,
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
    if not metrics["kept"] + metrics["cells_kept"]:
        raise PipelineError(
            f"none of {metrics['files']} files is kept: {space.clean / 'review.html'} says why; "
            "loosen params.yaml (dedupe) or keep some in overrides.csv"
        )
    return metrics


def write(cleaned: Cleaned, folder: Path) -> None:
    """The decisions and the page of data/clean; the cells of collages are there already."""
    folder.mkdir(parents=True, exist_ok=True)
    write_review(cleaned, folder / "review.html")
    with atomic_write(folder / "decisions.parquet") as file:
        cleaned.table.to_parquet(file, index=False)


def _manifest_rows(raw: Path) -> int | None:
    """Rows of the manifest: URLs with equal bytes in one breed are rows of one file."""
    path = raw / MANIFEST
    if not path.exists():
        return None
    try:
        return len(pd.read_parquet(path, columns=["path"]))
    except Exception as error:  # whatever Arrow makes of it
        why = " ".join(str(error).split())
        raise PipelineError(
            f"{path}: is damaged ({why}); make it again with `dvc repro -f scrape`"
        ) from None


def main() -> None:
    space = Workspace.find()
    print(printable(summary(run(schema.load(space.params), space))))


def summary(metrics: dict[str, Any]) -> str:
    """What is worth a line on the terminal, of the metrics of ``run`` or of ``counts``."""
    others = _listed(metrics, {name: f"reason_{name}" for name in REASONS if name != "kept"})
    lines = [f"{metrics['kept']:,} of {metrics['files']:,} files kept"]
    # Not "dropped": an override keeps as well.
    lines.append(f"reasons: {others}" if others else "nothing dropped")
    # What was found and is dropped for it stands in the line above already.
    shown = [name for name in FAULTS if metrics[f"found_{name}"] > metrics[f"reason_{name}"]]
    found = _listed(metrics, {name: f"found_{name}" for name in shown})
    if found:
        lines.append(f"found, dropped or not: {found}")
    if metrics["cells"]:
        lines.append(f"{metrics['cells_kept']:,} of {metrics['cells']:,} cells of collages kept")
    if metrics["label_conflicts"]:
        lines.append(f"{metrics['label_conflicts']:,} photos lie under more than one breed")
    if idle := metrics.get("overrides_without_a_file"):
        lines.append(f"{idle:,} lines of overrides.csv name no file")
    return "\n".join(lines)


def _listed(metrics: dict[str, Any], names: dict[str, str]) -> str:
    return "  ".join(f"{name} {metrics[key]:,}" for name, key in names.items() if metrics[key])


if __name__ == "__main__":
    run_stage(main)
