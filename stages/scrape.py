"""scrape: from breeds.yaml (or a data set one already has) to data/raw and its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.dataset.importers import import_dataset
from pipeline.errors import run_cleanly
from pipeline.params import Params, load
from pipeline.scraping.scrape import scrape
from pipeline.scraping.summary import summary
from pipeline.workspace import Workspace, write_json


def run(params: Params, workspace: Workspace) -> dict[str, Any]:
    """Fill data/raw as ``params.scrape`` asks; returns the metrics, ``by_breed`` among them."""
    wanted = params.scrape
    if wanted.import_path is not None:
        path = workspace.shared / Path(wanted.import_path).expanduser()
        metrics = import_dataset(path, workspace, max_bytes=wanted.max_bytes)
    else:
        metrics = scrape(wanted, workspace)
    # Twenty-six breeds would be a hundred columns in `dvc exp show`.
    report = {key: value for key, value in metrics.items() if key != "by_breed"}
    write_json(workspace.reports / "scrape.json", report)
    return metrics


def main() -> None:
    workspace = Workspace.find()
    print(summary(run(load(workspace.params), workspace)))


if __name__ == "__main__":
    run_cleanly(main)
