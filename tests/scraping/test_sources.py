"""Sources are data: every mistake in a file is named with file and key before anything runs."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.errors import ParamsError
from pipeline.scraping import fields
from pipeline.scraping.sources import HostLimits, load_source, parse_source, source_names

MINIMAL: dict[str, Any] = {
    "name": "mine",
    "search": "https://example.org/?q={query}",
    "results": {"tile": "a.tile"},
    "tile": {"image_url": ["@href"]},
}
PAGED: dict[str, Any] = {
    "name": "paged",
    "base": "https://example.org/",
    "queries": ["{query}", "{query} puppy"],
    "cc": "&cc=1",
    "pages": [
        {key: MINIMAL[key] for key in ("results", "tile")}
        | {"name": "category", "search": "{base}/Category:{title}"},
        {key: MINIMAL[key] for key in ("results", "tile")}
        | {"name": "search", "search": "{base}/?q={query}"},
    ],
}
API: dict[str, Any] = {
    "name": "mine",
    "kind": "api",
    "search": "https://example.org/?q={query}",
    "items": "results",
    "tile": {"image_url": ["url"]},
}


def test_every_source_that_ships_is_valid_and_dated(tmp_path: Path) -> None:
    assert "gallery" in source_names(tmp_path)
    for name in source_names(tmp_path):
        source = load_source(name, tmp_path)
        assert date.fromisoformat(source.verified) and source.about and source.proven
        assert source.terms and source.robots


def test_the_query_is_quoted_into_the_address(tmp_path: Path) -> None:
    source = load_source("gallery", tmp_path)
    (search,) = source.searches("shih_tzu", ["shih tzu & friends"], "http://127.0.0.1:1/")
    assert search.url == "http://127.0.0.1:1/search?q=shih+tzu+%26+friends"
    assert search.label == search.query == "shih tzu & friends"


def test_searches_go_page_by_page_and_phrasing_by_phrasing() -> None:
    source = parse_source(PAGED, "f.yaml")
    assert [each.label for each in source.searches("jack_russell", ["a", "b"])] == [
        *("category: Jack Russell", "search: a", "search: b", "search: a puppy", "search: b puppy")
    ]
    urls = [each.url for each in source.searches("jack_russell", ["a b"], "http://h:1", cc=True)]
    assert urls == [
        "http://h:1/Category:Jack_Russell",
        "http://h:1/?q=a+b&cc=1",
        "http://h:1/?q=a+b+puppy&cc=1",
    ]
    assert source.searches("x", ["a"])[1].url == "https://example.org/?q=a"
    assert not source.needs_base and parse_source(PAGED | {"base": ""}, "f.yaml").needs_base


def test_limits_of_hosts_may_name_the_host_of_the_base() -> None:
    hosts = {"{base}": {"at_once": 2}, "*.example.net": {"rate": 0.5, "megabits": 25}}
    source = parse_source(PAGED | {"hosts": hosts}, "f.yaml")
    assert source.hosts_at() == {
        "example.org": HostLimits(at_once=2),
        "*.example.net": HostLimits(rate=0.5, megabits=25),
    }
    assert "127.0.0.1" in source.hosts_at("http://127.0.0.1:8000")


def test_a_users_own_file_wins_and_new_ones_are_known(tmp_path: Path) -> None:
    for name in ("gallery", "mine"):
        with (tmp_path / f"{name}.yaml").open("w") as file:
            YAML(typ="safe").dump(MINIMAL | {"name": name}, file)
    assert set(source_names(tmp_path)) >= {"gallery", "mine"}
    assert load_source("gallery", tmp_path).pages[0].results.tile == "a.tile"


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
        ({"search": "ftp://x/{query}"}, "f.yaml: search: got 'ftp://x/{query}', expected an addr"),
        ({"search": "{base}/{querry}/{query}"}, "f.yaml: search: got '{base}/{querry}/{query}'"),
        ({"base": "example.org"}, "f.yaml: base: got 'example.org', expected an address as https"),
        ({"queries": ["dog"]}, "f.yaml: queries: got 'dog', expected a text with {query}"),
        ({"script": "return [];"}, "f.yaml: tile: stands beside script"),
        ({"items": "x"}, "f.yaml: items: unknown key"),
        ({"pages": []}, "f.yaml: search: stands beside pages"),
        ({"needs_contact": 1}, "f.yaml: needs_contact: got 1, expected true or false"),
        ({"limits": {"pause": -1}}, "f.yaml: limits.pause: got -1, expected a number of 0 or more"),
        ({"limits": {"nap": 1}}, "f.yaml: limits.nap: unknown key"),
        ({"hosts": {"a b": {"rate": 1}}}, "f.yaml: hosts.a b: expected a host as img.example.org"),
        ({"hosts": {"a.org": {"speed": 1}}}, "f.yaml: hosts.a.org.speed: unknown key"),
        ({"tile": {"image_url": ["@m | jason a"]}}, "f.yaml: tile.image_url: unknown filter 'jas"),
        ({"tile": {"image_url": ["@m | match ("]}}, "f.yaml: tile.image_url: '(' is no regular"),
        ({"tile": {"image_url": ["@m | match (?i)a"]}}, "f.yaml: tile.image_url: '(?i)a': named"),
        ({"tile": {"image_url": ["@m | replace a"]}}, "f.yaml: tile.image_url: 'replace a': exp"),
        ({"tile": {"image_url": ["@m | param"]}}, "f.yaml: tile.image_url: the filter 'param' ne"),
        ({"tile": {"image_url": [""]}}, "f.yaml: tile.image_url: '' names no place"),
    ],
)
def test_each_mistake_is_one_line_with_file_and_key(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ParamsError) as caught:
        parse_source(MINIMAL | change, "f.yaml")
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"results": {"tile": "a"}}, "f.yaml: results: unknown key"),
        ({"items": ""}, "f.yaml: items: got '', expected text"),
        ({"tile": {"title": ["x"]}}, "f.yaml: tile.image_url: missing; expected a dotted path"),
        ({"next": {"merge": "a", "count": "b"}}, "f.yaml: next: expected either {merge: PATH} or"),
        ({"next": {"from": 1}}, "f.yaml: next: expected either {merge: PATH} or"),
        ({"next": {"cuont": "b"}}, "f.yaml: next.cuont: unknown key; did you mean count?"),
    ],
)
def test_mistakes_in_a_file_of_an_api(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ParamsError) as caught:
        parse_source(API | change, "f.yaml")
    assert str(caught.value).startswith(said)


def test_mistakes_among_pages_name_the_page() -> None:
    pages = [dict(page) for page in PAGED["pages"]]
    for change, said in (
        ({"name": ""}, "f.yaml: pages.1.name: got '', expected text"),
        ({"name": "category"}, "f.yaml: pages: two have one name (category, category)"),
        ({"results": {"tile": 1}}, "f.yaml: pages.1.results.tile: got 1, expected text"),
        ({"limits": {}}, "f.yaml: pages.1.limits: unknown key"),
    ):
        with pytest.raises(ParamsError) as caught:
            parse_source(PAGED | {"pages": [pages[0], pages[1] | change]}, "f.yaml")
        assert str(caught.value).startswith(said)


def test_alternatives_are_read_from_an_apis_item_in_order() -> None:
    item = {"a": {"b": [{"c": "https://x.org/?u=%2Fi.jpg"}]}, "n": 5, "j": '{"k": [1, {"l": "z"}]}'}
    for alternatives, expected in (
        (["none", "n"], "5"),
        (["a.b.0.c | param u"], "/i.jpg"),
        (["a.b.1.c", "a.b.0.c | match ^(https)"], "https"),
        (["a.b.0.c | match org"], "org"),
        (["j | json k.1.l", "n"], "z"),
        (["j | json k | json 0"], "1"),
        (["n | json a | match x", "n | match 6"], None),
        (["a.b.0.c | replace /https:\\/\\/(\\w)/$1$1\\/-/ | match ^[^?]+"], "xx/-.org/"),
    ):
        found = fields.read(item, alternatives)
        assert (found and found[0]) == expected
        assert found is None or found[1] in alternatives


def test_a_file_must_bear_its_own_name(tmp_path: Path) -> None:
    with (tmp_path / "other.yaml").open("w") as file:
        YAML(typ="safe").dump(MINIMAL, file)
    with pytest.raises(ParamsError, match=r"sources/other.yaml: name: got 'mine'"):
        load_source("other", tmp_path)
