"""Where a result comes from: pictures by breed, source and licence, the commit, the MLflow run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import pandas as pd

from pipeline import params as schema
from pipeline.dataset.dataset import HELD_OUT, TRAIN, Dataset
from pipeline.errors import ParamsError
from pipeline.evaluation.montage import spoken
from pipeline.knobs import parse_yaml
from pipeline.provenance import NOT_CODE
from pipeline.raw import MANIFEST
from pipeline.report.figures import Table
from pipeline.stamp import name_in, read_run
from pipeline.tracking_store import charts_link, compare_link, ui_base
from pipeline.workspace import Workspace, committed, git_state

REVIEW = "../data/clean/review.html"  # from the page
UNSAID = "not said"
_LICENCES = 24  # rows at most: sites may write anything


@dataclass(frozen=True)
class Origins:
    """What the page tells of its origins beyond ``reports/``; what is not known is left out.

    Attributes:
        review: whether the review page of the cleaning is there.
        manifest: of data/raw: a row for each picture found.
        index: of data/dataset: a row for each picture kept.
        shown: rows of ``index`` whose pictures are on the sheet of what the model saw.
        commit: checked out when this was made; dirty: whether the code differed from it.
        base: the params of that commit, as a plain mapping.
        run: id of the MLflow run; links: (text, address) of its pages.
    """

    review: bool = False
    manifest: pd.DataFrame | None = None
    index: pd.DataFrame | None = None
    shown: pd.DataFrame | None = None
    commit: str | None = None
    dirty: bool = False
    base: Mapping[str, Any] | None = None
    run: str | None = None
    links: list[tuple[str, str]] = field(default_factory=list)


def origins_of(space: Workspace, dataset: Dataset, shown: np.ndarray | None = None) -> Origins:
    """What a workspace tells.

    Args:
        shown: indices into ``dataset`` of the pictures on the sheet of what the model saw.
    """
    git = git_state(space.here, ignoring=NOT_CODE)
    run, links = mlflow_links(space)
    return Origins(
        review=(space.clean / "review.html").is_file(),
        manifest=read_manifest(space.raw / MANIFEST),
        index=dataset.index,
        shown=None if shown is None else dataset.index.iloc[shown],
        commit=git.commit,
        dirty=git.dirty,
        base=committed_params(space) if git.commit else None,
        run=run,
        links=links,
    )


def read_manifest(path: Path) -> pd.DataFrame | None:
    try:
        found = pd.read_parquet(path)
    except Exception:  # missing, or damaged in one of the ways of pyarrow, which share no class
        return None
    wanted = {"breed", "source", "licence", "author", "page_url", "robots", "path"}
    return found if wanted <= set(found) else None


def committed_params(space: Workspace) -> dict[str, Any] | None:
    """params.yaml of the last commit with every default filled in; None if it cannot be read."""
    text = committed(space.here, "params.yaml")
    try:
        return None if text is None else schema.to_dict(
            schema.from_document(parse_yaml(text, "params.yaml"))
        )  # fmt: skip
    except ParamsError:
        return None


def mlflow_links(space: Workspace) -> tuple[str | None, list[tuple[str, str]]]:
    """Id of the training's run and where MLflow's pages about it are, as far as is known."""
    found = read_run(space.models)
    run, experiment = name_in(found, "run_id"), name_in(found, "experiment_id")
    if not run or not experiment:
        return None, []
    base = without_login(ui_base(space))
    page = compare_link(base, experiment, [run])
    return run, [
        ("The run", page),
        ("its curves", f"{page}/model-metrics"),
        ("its pictures, checkpoints and files", f"{page}/artifacts"),
        ("all runs as charts", charts_link(base, experiment)),
    ]


def without_login(address: str) -> str:
    """An address without the name and password that may be in it: the page goes to others."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


# --------------------------------------------------------------------------- counts


def by_breed(outcomes: pd.DataFrame, index: pd.DataFrame | None) -> Table | None:
    """A row a breed: pictures wanted and found, fetched from each source, kept, and for what.

    Args:
        outcomes: reports/scrape.csv.
        index: of data/dataset.
    """
    counts = _counts_by_breed(outcomes, index)
    if counts.empty:
        return None
    counts = counts.sort_index()
    if len(counts) > 1:
        counts.loc["all breeds"] = counts.sum()
    rows = [
        (spoken(str(breed)), *(f"{int(value):,}" for value in values))
        for breed, values in zip(counts.index, counts.to_numpy(), strict=True)
    ]
    return Table("Pictures by breed", rows, tuple(map(str, counts.columns)))


def _counts_by_breed(outcomes: pd.DataFrame, index: pd.DataFrame | None) -> pd.DataFrame:
    parts = []
    if {"breed", "source", "fetched"} <= set(outcomes) and len(outcomes):
        numbers = outcomes.assign(
            **{name: pd.to_numeric(outcomes[name], errors="coerce").fillna(0)
               for name in ("wanted", "found", "fetched") if name in outcomes}
        )  # fmt: skip
        kept = [name for name in ("wanted", "found") if name in numbers]
        parts += [numbers.groupby("breed")[kept].sum()]
        fetched = numbers.pivot_table(
            index="breed", columns="source", values="fetched", aggfunc="sum", fill_value=0
        )
        parts += [fetched.rename(columns=lambda name: f"from {name}")]
    if index is not None and len(index):
        split = pd.crosstab(index["breed"], index["split"])
        both = split.reindex(columns=[TRAIN, HELD_OUT], fill_value=0)
        parts += [both.sum(axis=1).rename("kept").to_frame()]
        parts += [both.rename(columns={TRAIN: "to train on", HELD_OUT: "held out"})]
    return pd.concat(parts, axis=1).fillna(0) if parts else pd.DataFrame()


def split_sizes(
    manifest: pd.DataFrame | None, index: pd.DataFrame | None
) -> tuple[list[str], dict[str, list[int]]]:
    """Names of the breeds, and for each how many files were trained on, held out and dropped."""
    if index is None or not len(index):
        return [], {}
    split = pd.crosstab(index["breed"], index["split"])
    breeds = list(split.index)
    parts = {
        "to train on": split.get(TRAIN, 0 * split.iloc[:, 0]).to_numpy(),
        "held out": split.get(HELD_OUT, 0 * split.iloc[:, 0]).to_numpy(),
    }
    if manifest is not None:
        files = manifest.dropna(subset=["path"]).groupby("breed")["path"].nunique()
        own = index[index["path"].isin(manifest["path"].dropna())]  # not cut out of another
        kept = own.groupby("breed").size().reindex(breeds, fill_value=0).to_numpy()
        dropped = files.reindex(breeds, fill_value=0).to_numpy() - kept
        parts["dropped"] = np.maximum(dropped, 0)
    return [spoken(str(name)) for name in breeds], {
        name: [int(value) for value in values] for name, values in parts.items()
    }


def by_licence(manifest: pd.DataFrame | None, index: pd.DataFrame | None) -> Table | None:
    """A row a licence: pictures found under it, and how many the model was trained on."""
    if manifest is None or not len(manifest):
        return None
    said = manifest["licence"].astype(object)
    said = said.where(said.notna() & (said != ""), UNSAID)
    found = said.value_counts(sort=False).sort_index().sort_values(ascending=False, kind="stable")
    columns = {"found": found}
    if index is not None:
        first = pd.Series(said.to_numpy(), manifest["path"]).groupby(level=0).first()
        used = index.loc[index["split"] == TRAIN, "path"].map(first)
        columns["trained on"] = used.value_counts().reindex(found.index, fill_value=0)
    rows = [
        (str(name), *(f"{int(one[name]):,}" for one in columns.values())) for name in found.index
    ]
    if len(rows) > _LICENCES:
        rest = found.index[_LICENCES:]
        rows[_LICENCES:] = [
            (f"{len(rest):,} others", *(f"{int(one[rest].sum()):,}" for one in columns.values()))
        ]
    return Table("Pictures by licence", rows, tuple(columns))


def by_source(manifest: pd.DataFrame | None) -> Table | None:
    """A row a source: pictures, how many say licence and author, what robots.txt was to it."""
    if manifest is None or not len(manifest):
        return None
    rows = []
    for name, mine in manifest.groupby("source", dropna=False):
        told = ((mine[key].notna() & (mine[key] != "")).sum() for key in ("licence", "author"))
        robots = ", ".join(sorted(map(str, mine["robots"].dropna().unique()))) or "–"
        rows.append((str(name), f"{len(mine):,}", *(f"{int(n):,}" for n in told), robots))
    columns = ("pictures", "with a licence", "with an author", "robots.txt")
    return Table("Pictures by source", rows, columns)


@dataclass(frozen=True)
class Credit:
    """Who made a picture. ``page`` is an address that a browser may follow, or None."""

    breed: str
    title: str
    author: str
    licence: str
    source: str
    page: str | None


def credits_of(manifest: pd.DataFrame | None, shown: pd.DataFrame | None) -> list[Credit]:
    """The makers of the pictures shown, in their order."""
    if manifest is None or shown is None:
        return []
    first = manifest.drop_duplicates("path").set_index("path")
    rows = first.reindex(shown["path"]).dropna(subset=["source"])
    return [
        Credit(
            spoken(str(row["breed"])),
            _said(row.get("title")) or "untitled",
            _said(row["author"]) or "author not said",
            _said(row["licence"]) or f"licence {UNSAID}",
            str(row["source"]),
            page if (page := _said(row["page_url"])).startswith(("http://", "https://")) else None,
        )
        for _, row in rows.iterrows()
    ]


def _said(value: Any) -> str:
    return "" if pd.isna(value) else str(value).strip()
