"""``pipeline compare``: what differs between runs, and two models drawn from equal noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline import params as schema
from pipeline.commands.common import COUNT, example
from pipeline.commands.runs import PORT, port_is_taken
from pipeline.errors import ParamsError, PipelineError, printable
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.model import Model
    from pipeline.report.comparison import Side
    from pipeline.tracking_store import RunSummary

Rows = list[list[str]]


@click.command(
    epilog=example(
        "pipeline compare",
        "pipeline compare loamy-froe 3f2a91",
        "pipeline compare models/ models:/dogs@champion",
    )
)
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("-n", "count", type=COUNT, default=5, help="Without RUN: how many of the last runs.")
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, help="Port of `pipeline ui`.")
@click.option("--page/--no-page", default=True, help="Of two: draw both and write a page.")
@click.option("--samples", type=click.IntRange(1, 64), default=4, help="Of the page: a breed.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Of the page: first.")
@click.option("--device", default="auto", help="auto, cpu, cuda or mps.")
def compare(
    runs: tuple[str, ...], count: int, port: int, page: bool, samples: int, seed: int, device: str
) -> None:
    """Show what differs between runs, and link to compare them.

    RUN is a run's name or the start of its id, or a model as `pipeline generate --model` takes it.
    Two of them are also drawn from the same seeds, in reports/compare-A-B.html.
    """
    workspace = Workspace.find()
    chosen, models = choose(workspace, runs, count)
    params, metrics = differing(chosen), figures(chosen)
    show_table(chosen, params, metrics)
    link(workspace, chosen, port)
    if page and len(runs) == 2:
        seeds = range(seed, seed + samples)
        try:
            path = draw_page(workspace, chosen, models, seeds, device, (params, metrics))
        except PipelineError as error:
            click.echo(printable(f"no page: {error}"), err=True)
        else:
            click.echo(str(path))


# --------------------------------------------------------------------------- what is compared


def choose(
    workspace: Workspace, texts: Sequence[str], count: int
) -> tuple[list[RunSummary], list[Path | None]]:
    """The runs that ``texts`` name, or the last ones; and the model's folder where one is named."""
    from pipeline.tracking_store import last_runs

    experiment = schema.load(workspace.params).tracking.experiment
    try:
        known = last_runs(workspace, 1000 if texts else count, experiment)
    except PipelineError:
        if not texts:
            raise
        known = []
    if not texts and not known:
        raise PipelineError(f"experiment {experiment!r} has no runs yet; `dvc repro` makes one")
    models = [model_of(workspace, known, text) for text in texts]
    chosen = [
        pick(known, text) if folder is None else summary_of(known, text, folder)
        for text, folder in zip(texts, models, strict=True)
    ]
    return chosen or known, models


def model_of(workspace: Workspace, known: list[RunSummary], text: str) -> Path | None:
    """The folder of a model that ``text`` names as a folder or an address; None for a run."""
    from pipeline.model_names import find_model

    if ":/" not in text and (any(run.name == text for run in known) or not Path(text).is_dir()):
        return None
    return find_model(workspace, text)


def summary_of(known: list[RunSummary], text: str, folder: Path) -> RunSummary:
    """The run that trained a model, under the name ``text``; else what model.json says."""
    from pipeline.knobs import flatten
    from pipeline.model import read_info
    from pipeline.stamp import trained_by
    from pipeline.tracking_run import text_of
    from pipeline.tracking_store import RunSummary

    run_id = trained_by(folder)
    for run in known:
        if run.run_id == run_id:
            return dataclasses.replace(run, name=text)
    training = read_info(folder).get("training", {})
    own = flatten({key: training[key] for key in ("seed", "train") if key in training})
    return RunSummary("", "", text, "no run", 0, {key: text_of(v) for key, v in own.items()})


def pick(known: list[RunSummary], text: str) -> RunSummary:
    """The newest run named ``text`` or whose id starts with it."""
    for run in known:
        if run.name == text or (len(text) >= 4 and run.run_id.startswith(text)):
            return run
    names = ", ".join(dict.fromkeys(run.name for run in known[:8])) or "none"
    raise ParamsError(f"no run {text!r}; the last ones are {names}")


# --------------------------------------------------------------------------- as a table


def differing(runs: list[RunSummary]) -> Rows:
    """The params that differ: name, and the value of each run."""
    keys = sorted({key for run in runs for key in run.params})
    # A run that was not evaluated has no evaluate.*: that is no difference.
    values = {key: {run.params[key] for run in runs if key in run.params} for key in keys}
    return [
        [key, *(run.params.get(key, "-") for run in runs)] for key in keys if len(values[key]) > 1
    ]


def figures(runs: list[RunSummary]) -> Rows:
    """The metrics of the result: name, and the value of each run."""
    rows = []
    for key in sorted({key for run in runs for key in run.metrics}):
        if key.startswith("system/"):
            continue
        results = [run.metrics.get(key) for run in runs]
        rows.append([key, *("-" if value is None else f"{value:.4g}" for value in results)])
    return rows


def show_table(runs: list[RunSummary], params: Rows, metrics: Rows) -> None:
    """One column a run: the params that differ, then the metrics of the result."""
    rows = [["", *(run.name for run in runs)], ["", *(run.run_id[:8] for run in runs)]]
    rows.append(["status", *(run.status.lower() for run in runs)])
    rows += params + metrics
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        click.echo(printable("  ".join(cells).rstrip()))
    click.echo()


def link(workspace: Workspace, chosen: list[RunSummary], port: int) -> None:
    """The compare page of the UI, for the runs that MLflow has."""
    recorded = {run.run_id: run.experiment_id for run in chosen if run.run_id}
    if not recorded:
        return
    from pipeline import tracking_store as store

    base = store.ui_base(workspace, port)
    experiments = list(dict.fromkeys(recorded.values()))
    click.echo(store.compare_link(base, experiments, list(recorded)))
    if not port_is_taken("127.0.0.1", port) and base.endswith(f"127.0.0.1:{port}"):
        click.echo("(the link opens while `pipeline ui` runs)", err=True)


# --------------------------------------------------------------------------- as a page


def draw_page(
    workspace: Workspace,
    chosen: list[RunSummary],
    folders: Sequence[Path | None],
    seeds: range,
    device: str,
    tables: tuple[Rows, Rows],
) -> Path:
    """Draw with both models from ``seeds``, and write the page."""
    from pipeline.commands.generate import sampling
    from pipeline.model import load_model
    from pipeline.model_names import find_model
    from pipeline.report.comparison import common_breeds, draw_grid, picture, write_comparison

    found = [
        folder or find_model(workspace, f"runs:/{run.run_id}")
        for run, folder in zip(chosen, folders, strict=True)
    ]
    models = [load_model(folder, device) for folder in found]
    breeds = common_breeds(models)
    settings = schema.load(workspace.params).evaluate
    how = sampling(settings, 1.0)
    sides = []
    for run, model in zip(chosen, models, strict=True):
        drawing = f"drawing {len(breeds) * len(seeds)} pictures: {run.name}"
        click.echo(printable(drawing), err=True)
        grid = picture(draw_grid(model, breeds, seeds, how, settings.batch_size))
        sides.append(side(run, model, grid))
    return write_comparison(workspace.reports, sides, *tables, breeds, seeds, how)


def side(run: RunSummary, model: Model, grid: object) -> Side:
    from pipeline.report.comparison import Side

    facts = [
        ("weights", str(model.info.get("weights_sha256", ""))[:16]),
        ("parameters", f"{model.info.get('parameters', 0):,}"),
        ("images seen", f"{model.info.get('training', {}).get('images', 0):,}"),
        ("run", run.run_id[:8] or "none"),
    ]
    return Side(run.name, facts, grid)  # type: ignore[arg-type]
