"""scrape: from breeds.yaml (or a data set one already has) to data/raw and its manifest."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pipeline.dataset.importers import import_datasets
from pipeline.ending import run_stage
from pipeline.errors import printable
from pipeline.params import Params, load
from pipeline.scraping.scrape import scrape
from pipeline.scraping.summary import summary
from pipeline.workspace import Workspace, write_json, write_text

# Twenty-six breeds would be a hundred columns in `dvc exp show`: the table has a file of its own.
_FOR_PEOPLE = ("by_breed", "table", "stopped")


def run(params: Params, workspace: Workspace, refresh: bool = False) -> dict[str, Any]:
    """Fill data/raw as ``params.scrape`` asks; returns the metrics, the tables among them."""
    wanted = params.scrape
    if wanted.import_path:
        path = wanted.import_path
        metrics = import_datasets(
            [path] if isinstance(path, str) else path,
            workspace,
            labels=wanted.import_labels,
            classes=wanted.import_classes,
            root=wanted.import_root,
            max_bytes=wanted.max_bytes,
        )
        table = [{"breed": breed, **mine} for breed, mine in metrics["by_breed"].items()]
    else:
        metrics = scrape(wanted, workspace, refresh=refresh)
        table = metrics["table"]
    report = {key: value for key, value in metrics.items() if key not in _FOR_PEOPLE}
    write_json(workspace.reports / "scrape.json", report)
    write_text(workspace.reports / "scrape.csv", pd.DataFrame(table).to_csv(index=False))
    return metrics


def main() -> None:
    workspace = Workspace.find()
    print(printable(summary(run(load(workspace.params), workspace))))


if __name__ == "__main__":
    run_stage(main)
