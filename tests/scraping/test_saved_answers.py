"""Sources with an API over answers written by hand after the APIs' documentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import saved_site
import tiny_site

from pipeline.scraping.api import visit_api
from pipeline.scraping.licences import is_cc
from pipeline.scraping.outcome import Candidate, Outcome, Visit
from pipeline.scraping.sources import load_source


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with tiny_site.running(saved_site.app) as url:
        yield url


def urls(seen: Visit) -> list[str]:
    assert [candidate.rank for candidate in seen.candidates] == list(range(len(seen.candidates)))
    return [candidate.image_url for candidate in seen.candidates]


def ask(site: str, name: str, query: str, wanted: int, folder: Path, page: str = "") -> Visit:
    """One visit by the source that ships, without its pauses."""
    source = load_source(name, Path("nowhere"))
    source = replace(source, limits=replace(source.limits, pause=0.0))
    searches = source.searches("beagle", [query], f"{site}/{name}")
    search = next(each for each in searches if each.page.name == page)
    agent = "test/1 (+mail@example.org)"
    return visit_api(source, search, wanted, agent, folder / "seen", lambda seconds: None)


@pytest.mark.parametrize(
    ("wanted", "outcome", "count"),
    [(30, Outcome.RESULTS, 30), (45, Outcome.END, 45), (99, Outcome.END, 45)],
)
def test_openverse_counts_pages(
    site: str, tmp_path: Path, wanted: int, outcome: Outcome, count: int
) -> None:
    seen = ask(site, "openverse", "beagle", wanted, tmp_path)
    assert (seen.outcome, seen.detail) == (outcome, "")
    assert urls(seen) == [f"https://live.photos.example/{n}_b.jpg" for n in range(count)]
    assert seen.candidates[6] == Candidate(
        6,
        "https://live.photos.example/6_b.jpg",
        "https://photos.example/6",
        "Beagle 6",
        "https://creativecommons.org/publicdomain/zero/1.0/",
        "Ann 6",
        1024,
        706,
    )
    assert seen.candidates[5].author is None
    assert all(is_cc(candidate.licence) for candidate in seen.candidates)


def test_openverse_never_asks_for_more_than_240(site: str, tmp_path: Path) -> None:
    saved_site.asked.clear()
    seen = ask(site, "openverse", "deep", 1000, tmp_path)
    assert (seen.outcome.failed, len(seen.candidates)) == (False, 240)
    assert saved_site.asked["openverse/v1/images/"] == 12


def test_commons_api_puts_parts_of_answers_together(site: str, tmp_path: Path) -> None:
    seen = ask(site, "commons-api", "beagle", 99, tmp_path, "search")
    assert (seen.outcome, seen.detail) == (Outcome.END, "")
    upload = "https://upload.wikimedia.org/wikipedia/commons"
    assert urls(seen) == [
        # The standard width where the file is larger, else the file.
        f"{upload}/a/ae/Beagle_3.v2.jpg"
        if n == 3
        else f"{upload}/thumb/a/ae/Beagle_{n}.v2.jpg/960px-Beagle_{n}.v2.jpg"
        for n in range(7)
    ]
    facts = ("CC BY-SA 4.0", "Ann 2", 960, 720)
    found = seen.candidates[2]
    assert (found.licence, found.author, found.width, found.height) == facts
    assert found.title == "Beagle 2.v2"
    assert found.page_url == "https://commons.wikimedia.org/wiki/File:Beagle_2.v2.jpg"
    assert (seen.candidates[3].width, seen.candidates[3].height) == (800, 600)


def test_commons_api_tries_the_category_of_the_breed_first(site: str, tmp_path: Path) -> None:
    source = load_source("commons-api", Path("nowhere"))
    assert [search.label for search in source.searches("beagle", ["beagle dog"])] == [
        "category: Beagle",
        "search: beagle dog",
        "search: beagle dog puppy",
    ]
    seen = ask(site, "commons-api", "beagle", 99, tmp_path, "category")
    assert seen.outcome is Outcome.END
    titles = {candidate.title for candidate in seen.candidates}  # a category has no order
    assert titles == {f"Beagle {n}.v2" for n in range(5, 8)}


@pytest.mark.parametrize(
    ("name", "query", "outcome", "said"),
    [
        ("openverse", "nothing", Outcome.EMPTY, ""),
        ("commons-api", "nothing", Outcome.EMPTY, ""),
        ("openverse", "changed", Outcome.LAYOUT_CHANGED, "image_url: nothing in"),
        ("openverse", "refused", Outcome.BLOCKED, "answered 429"),
        ("commons-api", "refused", Outcome.BLOCKED, "answered ratelimited"),
    ],
)
def test_apis_fail_by_name(
    site: str, tmp_path: Path, name: str, query: str, outcome: Outcome, said: str
) -> None:
    seen = ask(site, name, query, 5, tmp_path, "search" if name == "commons-api" else "")
    assert (seen.outcome, seen.candidates) == (outcome, [])
    assert said in seen.detail
