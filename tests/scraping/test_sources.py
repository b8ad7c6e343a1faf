"""Sources are data: every mistake in a file is named with file and key before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.errors import ParamsError
from pipeline.scraping.sources import load_source, parse_source, source_names

MINIMAL: dict[str, Any] = {
    "name": "mine",
    "search": "https://example.org/?q={query}",
    "results": {"tile": "a.tile"},
    "tile": {"image_url": ["@href"]},
}


def test_every_source_that_ships_is_valid_and_dated(tmp_path: Path) -> None:
    assert "gallery" in source_names(tmp_path)
    for name in source_names(tmp_path):
        source = load_source(name, tmp_path)
        assert source.verified and source.terms and source.robots


def test_the_query_is_quoted_into_the_address(tmp_path: Path) -> None:
    source = load_source("gallery", tmp_path)
    address = source.search_url("shih tzu & friends", "http://127.0.0.1:1")
    assert address == "http://127.0.0.1:1/search?q=shih+tzu+%26+friends"


def test_a_users_own_file_wins_and_new_ones_are_known(tmp_path: Path) -> None:
    for name in ("gallery", "mine"):
        with (tmp_path / f"{name}.yaml").open("w") as file:
            YAML(typ="safe").dump(MINIMAL | {"name": name}, file)
    assert set(source_names(tmp_path)) >= {"gallery", "mine"}
    assert load_source("gallery", tmp_path).results.tile == "a.tile"


def test_an_unknown_source_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"unknown source galery; did you mean gallery\?"):
        load_source("galery", tmp_path)
    with pytest.raises(ParamsError, match=r"unknown source \.\./x; known: "):
        load_source("../x", tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"serch": "x"}, "f.yaml: serch: unknown key; did you mean search?"),
        ({"name": ""}, "f.yaml: name: got '', expected text"),
        ({"search": "https://example.org"}, "f.yaml: search: got 'https://example.org', expected"),
        ({"search": 5}, "f.yaml: search: got 5, expected text"),
        ({"kind": "rss"}, "f.yaml: kind: got 'rss', expected browser"),
        ({"results": {}}, "f.yaml: results: got {}, expected a section"),
        ({"results": {"tile": 3}}, "f.yaml: results.tile: got 3, expected text"),
        ({"results": {"tile": "a", "sentinel": "b"}}, "f.yaml: results.sentinel: unknown key"),
        ({"tile": {"title": ["x"]}}, "f.yaml: image_url: missing"),
        ({"tile": {"image_url": [1]}}, "f.yaml: tile.image_url: got [1], expected a list of texts"),
        ({"tile": {"id": "@i"}, "detail": {"image_url": "a"}}, "f.yaml: detail: its fields are"),
        ({"limits": {"wait": "long"}}, "f.yaml: limits.wait: got 'long', expected a number"),
        ({"limits": {"idle": 0}}, "f.yaml: limits.idle: got 0, expected a number above 0"),
        ({"pictures": "yes"}, "f.yaml: pictures: got 'yes', expected true or false"),
        ({"consent": ["x"]}, "f.yaml: consent: got ['x'], expected a section"),
    ],
)
def test_each_mistake_is_one_line_with_file_and_key(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ParamsError) as caught:
        parse_source(MINIMAL | change, "f.yaml")
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_file_must_bear_its_own_name(tmp_path: Path) -> None:
    with (tmp_path / "other.yaml").open("w") as file:
        YAML(typ="safe").dump(MINIMAL, file)
    with pytest.raises(ParamsError, match=r"sources/other.yaml: name: got 'mine'"):
        load_source("other", tmp_path)
