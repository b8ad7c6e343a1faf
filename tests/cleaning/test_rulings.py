"""Faults, pairs that a person parted, links across labels, and groups for the split."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.cleaning import parts, rulings
from pipeline.cleaning.decide import clean
from pipeline.cleaning.duplicates import Pairs
from pipeline.cleaning.files import File
from pipeline.cleaning.measure import measure
from pipeline.cleaning.overrides import Override, Wishes
from pipeline.cleaning.verdicts import FAULTS, REASONS, counts
from pipeline.dataset.split import held_out
from pipeline.params import QUALITIES, DedupeParams

PARAMS = DedupeParams(workers=1)


# ------------------------------------------------------------------ faults


@pytest.fixture(scope="module")
def faulty(pictures, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("faulty")
    pictures.save(root / "a/fine.jpg", pictures.photo(1))
    night = Image.eval(pictures.photo(2), lambda value: value // 5)
    pictures.save(root / "a/night.jpg", night)
    pictures.save(root / "a/white.jpg", Image.new("RGB", (300, 200), "white"))
    pictures.save(root / "a/white dot.jpg", Image.new("RGB", (30, 20), "white"))
    pictures.save(root / "a/white rope.jpg", Image.new("RGB", (600, 70), "white"))
    (root / "a/broken.jpg").write_bytes(b"<html>")
    return root


def decided(folder: Path, **changes: object) -> pd.DataFrame:
    params = dataclasses.replace(PARAMS, **changes)
    return clean(folder, params).table.set_index("path")


def test_a_fault_drops_only_if_it_is_to_and_the_first_one_counts(faulty):
    table = decided(faulty)
    assert table["reason"].to_dict() == {
        "a/broken.jpg": "corrupt",
        "a/fine.jpg": "kept",
        "a/night.jpg": "kept",
        "a/white.jpg": "blank",
        "a/white dot.jpg": "too_small",
        "a/white rope.jpg": "odd_aspect",
    }
    assert table.loc["a/white.jpg", "detail"].endswith("quality.blank is 0.5")
    strict = decided(faulty, drop=list(QUALITIES))
    assert strict.loc["a/night.jpg", "reason"] == "dark"
    lax = decided(faulty, drop=[])
    assert lax["keep"].sum() == 5


def test_every_fault_has_a_score_and_a_finding_dropped_or_not(faulty):
    table = decided(faulty)
    for name in QUALITIES:
        scores, found = table[f"{name}_score"], table[f"is_{name}"]
        assert found.dtype == bool and not found["a/broken.jpg"]
        assert np.isnan(scores["a/broken.jpg"]) and scores.drop("a/broken.jpg").between(0, 1).all()
    numbers = counts(table.reset_index())
    assert [numbers[f"found_{name}"] for name in FAULTS[:4]] == [1, 1, 3, 1]
    assert numbers["reason_blank"] == 1 and numbers["reason_dark"] == 0
    assert sum(numbers[f"reason_{name}"] for name in REASONS) == numbers["files"] == 6


# ------------------------------------------------------------------ distinct


@pytest.fixture
def alike(pictures, tmp_path: Path) -> Path:
    """Two copies of one photo, which a person may still tell apart."""
    root = tmp_path / "alike"
    pictures.save(root / "a/one.jpg", pictures.photo(1, (400, 300)))
    pictures.save(root / "b/two.jpg", pictures.photo(1, (400, 300)).resize((300, 225)))
    return root


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_pair_that_is_distinct_stays_so_after_a_second_run_and_a_move(alike):
    assert clean(alike, PARAMS).table["keep"].tolist() == [True, False]
    one, two = alike / "a/one.jpg", alike / "b/two.jpg"
    lines = [Override(sha(one)[:16], None, "seen", 2, sha(two)[:16])]
    for _ in range(2):
        cleaned = clean(alike, PARAMS, overrides=lines)
        assert cleaned.table["keep"].all() and not cleaned.idle and not len(cleaned.pairs)
        assert (cleaned.table[["cluster", "group"]] == -1).all(axis=None)
        assert not cleaned.table["conflict"].any()
    one.rename(alike / "b/moved.jpg")
    assert clean(alike, PARAMS, overrides=lines).table["keep"].all()
    gone = [Override("a/one.jpg", None, "seen", 2, "b/two.jpg")]
    cleaned = clean(alike, PARAMS, overrides=gone)
    assert cleaned.idle == gone and cleaned.table["keep"].sum() == 1


# ------------------------------------------------------------------ links

COUNT = 7


@pytest.fixture(scope="module")
def measured(pictures, tmp_path_factory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("some")
    rows = []
    for k in range(COUNT):
        path = pictures.save(folder / f"{k}.jpg", pictures.photo(100 + k, (160, 120)))
        rows.append((sha(path), measure((str(path), 10**6))))
    return parts.table(rows)


def linked(
    measured: pd.DataFrame,
    links: set[tuple[int, int]],
    breeds: list[str],
    wishes: Wishes | None = None,
) -> pd.DataFrame:
    """The decisions where these and no other rows are taken for copies of each other."""
    i, j = (np.array([link[k] for link in sorted(links)], np.int64) for k in (0, 1))
    pairs = Pairs(i, j, 2 + i % 3, np.full(len(i), 0.95), np.full(len(i), "whole", object))
    files = [
        File(f"{breed}/{k}.jpg", Path(), name, 1000)
        for k, (name, breed) in enumerate(zip(measured.index, breeds, strict=True))
    ]
    return rulings.decide(files, measured, np.zeros(len(files)), pairs, wishes or Wishes(), PARAMS)


def test_a_link_across_stars_is_a_conflict_and_one_group(measured):
    """b goes for a; c, like b alone, stays: two stars, and still one photo under two labels."""
    decisions = linked(measured, {(0, 1), (1, 2)}, [*"aab", *"a" * (COUNT - 3)])
    table = decisions.set_index("sha256").loc[measured.index]
    a, b, c = (table.iloc[k] for k in range(3))
    assert a["group"] == b["group"] == c["group"] >= 0
    assert b["conflict"] and c["conflict"] and (table["group"] >= 0).sum() == 3
    assert counts(decisions)["label_conflicts"] == 1
    if a["keep"] and c["keep"]:
        assert not b["keep"] and (a["cluster"] == -1 or c["cluster"] == -1)


def test_of_two_copies_that_a_person_keeps_both_drop_what_is_like_them(measured):
    wishes = Wishes({k: Override("", True, "", 2) for k in (0, 1)})
    table = linked(measured, {(0, 1), (1, 2)}, ["a"] * COUNT, wishes).set_index("sha256")
    a, b, c = (table.loc[measured.index[k]] for k in range(3))
    assert a["keep"] and b["keep"] and not c["keep"] and c["nearest"] == b["path"]
    assert a["cluster"] == b["cluster"] == c["cluster"] == 0


LINKS = st.sets(
    st.tuples(st.integers(0, COUNT - 1), st.integers(0, COUNT - 1)).filter(lambda p: p[0] < p[1])
)


@settings(max_examples=40, deadline=None)
@given(LINKS, st.lists(st.sampled_from("ab"), min_size=COUNT, max_size=COUNT), st.booleans())
def test_no_linked_pictures_lie_on_both_sides_of_the_split(measured, links, breeds, half):
    table = linked(measured, links, breeds)
    row = {name: k for k, name in enumerate(measured.index)}
    at = table["sha256"].map(row).to_numpy()
    reach = np.eye(COUNT, dtype=bool)
    for i, j in links:
        reach[i, j] = reach[j, i] = True
    for k in range(COUNT):  # Warshall's closure, an oracle apart from the code's
        reach |= reach[:, [k]] & reach[[k], :]
    groups = table["group"].to_numpy()
    same = (groups[:, None] == groups) & (groups >= 0) | np.eye(COUNT, dtype=bool)
    assert (same == reach[np.ix_(at, at)]).all()
    kept = table[table["keep"]].reset_index(drop=True)
    out = held_out(kept, 0.5 if half else 0.3)
    where = kept["sha256"].map(row).to_numpy()
    across = out[:, None] & ~out[None]
    assert not (across & reach[np.ix_(where, where)]).any()
    # Whatever goes is itself like the picture that stays.
    names = table.set_index("path")
    for path, gone in names[~names["keep"]].iterrows():
        pair = sorted((row[gone["sha256"]], row[names.loc[gone["nearest"], "sha256"]]))
        assert gone["reason"] == "near_duplicate" and tuple(pair) in links, path
        assert names.loc[gone["nearest"], "keep"]
    conflict = names["conflict"].any()
    assert conflict == any(breeds[i] != breeds[j] for i, j in links)
