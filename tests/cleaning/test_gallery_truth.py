"""What the embedded gallery plants, cleaning finds: held against the gallery's own truth table."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline.cleaning.decide import clean
from pipeline.params import DedupeParams
from pipeline.scraping.gallery import Gallery


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> pd.DataFrame:
    """The truth table with the decision about each result."""
    folder = tmp_path_factory.mktemp("gallery")
    gallery = Gallery(["beagle", "poodle"], seed=1, per_breed=60, planted=0.4)
    truth = gallery.truth()
    names = []
    for row in truth.itertuples():
        entry = gallery.collection.entry(row.id)
        answer = gallery.collection.original(entry) if entry is not None else None
        name = f"{row.breed}/{row.id}.{row.kind}"
        (folder / row.breed).mkdir(exist_ok=True)
        (folder / name).write_bytes(answer.body if answer is not None else b"")
        names.append(name)
    table = clean(folder, DedupeParams(workers=2)).table.set_index("path")
    decisions = table.loc[names, ["keep", "reason", "cluster"]].reset_index(drop=True)
    return pd.concat([truth, decisions], axis=1)


def of_kind(judged: pd.DataFrame, *kinds: str) -> pd.DataFrame:
    return judged[judged["kind"].isin(kinds)]


def test_all_collages_are_found_and_no_single_picture_is_called_one(judged):
    collages = of_kind(judged, "collage")
    assert len(collages) >= 6
    assert (collages["reason"] == "collage").mean() >= 0.9
    assert not (of_kind(judged, "single")["reason"] == "collage").any()


def test_copies_share_the_cluster_of_what_they_copy(judged):
    cluster = judged.set_index("id")["cluster"]
    copies = of_kind(judged, "exact_copy", "near_duplicate")
    together = [row.cluster >= 0 and row.cluster == cluster[row.of] for row in copies.itertuples()]
    assert len(copies) >= 14
    assert sum(together) / len(together) >= 0.9


def test_every_cluster_keeps_exactly_one(judged):
    clustered = judged[judged["cluster"] >= 0]
    assert (clustered.groupby("cluster")["keep"].sum() == 1).all()


def test_no_photo_is_lost(judged):
    """A single picture may go only if a copy of it stays."""
    singles = of_kind(judged, "single")
    lost = singles[~singles["keep"]]
    copied = set(of_kind(judged, "exact_copy", "near_duplicate")["of"])
    assert set(lost["id"]) <= copied


def test_broken_files_are_named(judged):
    broken = of_kind(judged, "broken")
    broken = broken[broken["edit"] != "wrong_type"]  # a whole picture under another format's name
    assert len(broken) >= 3
    assert (broken["reason"] == "corrupt").all()
