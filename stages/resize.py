"""resize: the kept pictures of data/raw -> data/dataset, one array of squares."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pipeline import params as schema
from pipeline.dataset.pack import Known, pack
from pipeline.ending import run_stage
from pipeline.errors import PipelineError
from pipeline.params import Params
from pipeline.workspace import Workspace, alone


@alone("resize")
def run(params: Params, space: Workspace) -> dict[str, Any]:
    """Pack what the decisions keep. Returns what dataset.json says."""
    path = space.clean / "decisions.parquet"
    if not path.exists():
        raise PipelineError(f"{path}: no such file; `dvc repro dedupe` makes it")
    try:
        decisions = pd.read_parquet(path)
    except Exception as error:
        raise PipelineError(
            f"{path}: is damaged ({error}); make it again with `dvc repro -f dedupe`"
        ) from None
    known = Known(space.cache, params.dedupe.max_pixels)
    return pack(decisions, space.raw, space.dataset, params.resize, known, clean=space.clean)


def main() -> None:
    space = Workspace.find()
    summary = run(schema.load(space.params), space)
    print(
        f"{summary['count']:,} pictures of {summary['size']}x{summary['size']} in {space.dataset}: "
        f"{summary['train']:,} to train on, {summary['held_out']:,} held out, "
        f"{len(summary['classes'])} breeds"
    )


if __name__ == "__main__":
    run_stage(main)
