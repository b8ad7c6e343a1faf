"""Where a result comes from: counts by breed, source and licence, credits, commit, run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from reports_folder import HOSTILE, origins
from small_dataset import make_dataset

from pipeline import params as schema
from pipeline.dataset.dataset import Dataset
from pipeline.report.origins import (
    by_breed,
    by_licence,
    by_source,
    credits_of,
    mlflow_links,
    origins_of,
    read_manifest,
    split_sizes,
    without_login,
)
from pipeline.workspace import Workspace

ORIGIN = origins()


def outcomes() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "breed": ["b_2", "b_1", "b_1"],
            "source": ["one", "one", "two"],
            "wanted": [10, 10, 5],
            "found": [9, 12, 5],
            "fetched": [8, 10, ""],  # torn
        }
    )


def test_counts_by_breed_have_a_column_a_source_and_add_up():
    index = pd.DataFrame({"breed": ["b_1"] * 4, "split": ["train"] * 3 + ["held_out"]})
    table = by_breed(outcomes(), index)
    assert table is not None
    assert table.columns == (
        "wanted", "found", "from one", "from two", "kept", "to train on", "held out",
    )  # fmt: skip
    assert table.rows == [
        ("b 1", "15", "17", "10", "0", "4", "3", "1"),
        ("b 2", "10", "9", "8", "0", "0", "0", "0"),
        ("all breeds", "25", "26", "18", "0", "4", "3", "1"),
    ]


def test_without_a_scrape_or_a_data_set_the_other_half_is_shown():
    index = pd.DataFrame({"breed": ["a", "b"], "split": ["train", "train"]})
    told = by_breed(pd.DataFrame(), index)
    assert told is not None and told.columns == ("kept", "to train on", "held out")
    told = by_breed(outcomes(), None)
    assert told is not None and told.columns == ("wanted", "found", "from one", "from two")
    assert by_breed(pd.DataFrame(), None) is None


def test_licences_are_counted_as_found_and_as_trained_on():
    table = by_licence(ORIGIN.manifest, ORIGIN.index)
    assert table is not None
    rows = {name: (found, used) for name, found, used in table.rows}
    assert rows == {
        "CC0": ("3", "2"),
        "CC BY 4.0": ("3", "1"),
        "not said": ("3", "1"),
        "<u>own</u>": ("3", "2"),
    }
    trained = (ORIGIN.index["split"] == "train").sum() if ORIGIN.index is not None else 0
    assert sum(int(used) for _, used in rows.values()) == trained


def test_many_licences_end_in_others():
    manifest = pd.DataFrame({"licence": [f"own {k}" for k in range(100)], "path": range(100)})
    table = by_licence(manifest, None)
    assert table is not None and len(table.rows) == 25
    assert table.rows[-1] == ("76 others", "76")


def test_sources_tell_licences_authors_and_robots():
    table = by_source(ORIGIN.manifest)
    assert table is not None
    assert table.rows == [("a<b", "6", "3", "6", "heeded"), ("c", "6", "6", "0", "–")]


def test_bars_hold_every_file_once():
    names, parts = split_sizes(ORIGIN.manifest, ORIGIN.index)
    assert names == [name.replace("_", " ") for name in sorted(HOSTILE)]
    assert parts == {"to train on": [2, 2, 2], "held out": [1, 1, 1], "dropped": [1, 1, 1]}


def test_credits_link_only_where_a_browser_may_go():
    found = credits_of(ORIGIN.manifest, ORIGIN.shown)
    assert len(found) == 12
    assert [bool(one.page) for one in found] == [True] * 6 + [False] * 6
    assert found[1].title == "untitled" and found[1].author == "author not said"
    assert found[2].licence == "licence not said"


def test_no_manifest_and_no_run_leave_out_what_they_would_tell(tmp_path: Path):
    assert read_manifest(tmp_path / "manifest.parquet") is None
    (tmp_path / "manifest.parquet").write_bytes(b"PAR1")
    assert read_manifest(tmp_path / "manifest.parquet") is None
    assert by_licence(None, None) is None and by_source(None) is None
    assert credits_of(None, ORIGIN.shown) == [] and split_sizes(None, None) == ([], {})


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    space = Workspace(tmp_path, tmp_path)
    make_dataset(space.dataset)
    space.models.mkdir()
    return space


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"run_id": "", "experiment_id": "1"}'])
def test_a_run_that_is_not_known_has_no_links(space: Workspace, text: str | None):
    if text is not None:
        (space.models / "run.json").write_text(text)
    assert mlflow_links(space) == (None, [])


def test_links_lead_to_the_run_wherever_it_is_kept_but_never_tell_a_password(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
):
    (space.models / "run.json").write_text(json.dumps({"run_id": "r1", "experiment_id": "7"}))
    run, links = mlflow_links(space)
    assert run == "r1"
    assert links[0][1] == "http://127.0.0.1:5000/#/experiments/7/runs/r1"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@example.org:8443/mlflow/")
    _, links = mlflow_links(space)
    assert links[0][1] == "https://example.org:8443/mlflow/#/experiments/7/runs/r1"
    assert all("secret" not in address for _, address in links)
    assert without_login("http://127.0.0.1:5000") == "http://127.0.0.1:5000"


def test_commit_and_its_params_are_told_where_there_is_a_repository(space: Workspace):
    dataset = Dataset.load(space.dataset)
    assert origins_of(space, dataset).commit is None

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        command = ["git", "-C", str(space.here), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    space.params.write_text("seed: 3\n")
    git("init", "-q")
    git("add", "params.yaml")
    git("commit", "-q", "-m", "x")
    space.params.write_text("seed: 4\n")
    origin = origins_of(space, dataset)
    assert origin.commit == git("rev-parse", "HEAD") and not origin.dirty
    assert origin.base == schema.to_dict(schema.from_document({"seed": 3}))
    space.params.write_text("nonsense: 4\n")
    git("commit", "-q", "-am", "y")
    assert origins_of(space, dataset).base is None  # of another schema
