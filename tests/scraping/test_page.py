"""Every visit ends in the outcome that fits, and what needs a person's look is kept for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_site

from pipeline.scraping.browser import Browser
from pipeline.scraping.page import Outcome, Visit, visit
from pipeline.scraping.sources import Limits, Source, load_source

pytestmark = pytest.mark.browser
SOURCE = replace(
    load_source("gallery", Path("nowhere")), limits=Limits(1000, wait=1.0, idle=0.4, rounds=2)
)


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with tiny_site.running() as url:
        yield url


def go(
    browser: Browser, site: str, query: str, wanted: int, folder: Path, source: Source = SOURCE
) -> Visit:
    browser.driver.delete_all_cookies()
    search = source.searches("dog", [query], site)[0]
    return visit(browser.driver, source, search, wanted, folder / "seen")


@pytest.mark.parametrize(
    ("wanted", "outcome", "count"),
    [
        (5, "results", 5),
        (30, "results", 30),
        (50, "end_of_results", 50),
        (99, "end_of_results", 50),
    ],
)
def test_it_scrolls_presses_more_and_reads_just_as_many_as_wanted(
    browser: Browser, site: str, tmp_path: Path, wanted: int, outcome: str, count: int
) -> None:
    seen = go(browser, site, "normal dog", wanted, tmp_path)
    assert seen.outcome == outcome
    urls = [candidate.image_url for candidate in seen.candidates]
    assert urls == [f"{site}/original/normal-{i}.jpg" for i in range(count)]
    assert [candidate.rank for candidate in seen.candidates] == list(range(count))


def test_each_candidate_carries_its_provenance(browser: Browser, site: str, tmp_path: Path) -> None:
    first = go(browser, site, "normal dog", 1, tmp_path).candidates[0]
    assert (first.title, first.licence, first.author) == ("Dog normal-0", "CC0", "Ann")
    assert first.page_url == f"{site}/page/normal-0"


def test_tiles_are_clicked_when_their_fragments_fail(
    browser: Browser, site: str, tmp_path: Path
) -> None:
    seen = go(browser, site, "clicks", 4, tmp_path)
    assert [candidate.title for candidate in seen.candidates] == [
        f"Dog clicks-{i}" for i in range(4)
    ]


@pytest.mark.parametrize(
    ("query", "outcome", "said"),
    [
        ("stuck dog", Outcome.CONSENT_STUCK, "consent.overlay 'dialog#consent' stays"),
        ("sorry dog", Outcome.BLOCKED, "form#captcha-form"),
        ("teapot dog", Outcome.BLOCKED, "answered 429"),
        ("changed dog", Outcome.LAYOUT_CHANGED, "results.tile: nothing on"),
        ("bare dog", Outcome.LAYOUT_CHANGED, "image_url: nothing in 2 tiles fits a.original@href"),
        ("frozen dog", Outcome.LAYOUT_CHANGED, "results.end: after 24 tiles"),
    ],
)
def test_what_a_person_must_see_is_kept(
    browser: Browser, site: str, tmp_path: Path, query: str, outcome: Outcome, said: str
) -> None:
    seen = go(browser, site, query, 2 if query == "bare dog" else 40, tmp_path)
    assert seen.outcome is outcome and outcome.failed
    assert said in seen.detail
    assert seen.evidence == tmp_path / "seen"
    assert "<html" in (tmp_path / "seen" / "page.html").read_text()
    assert (tmp_path / "seen" / "screen.png").read_bytes().startswith(b"\x89PNG")


def test_no_results_is_no_failure(browser: Browser, site: str, tmp_path: Path) -> None:
    seen = go(browser, site, "nothing dog", 5, tmp_path)
    assert seen == Visit(Outcome.EMPTY)


@pytest.mark.parametrize(("where", "said"), [("down", "answered 503"), ("http://127.0.0.1:1", "")])
def test_a_site_that_is_not_there_is_offline(
    browser: Browser, site: str, tmp_path: Path, where: str, said: str
) -> None:
    base = where if ":" in where else site
    seen = go(browser, base, where if base == site else "dog", 5, tmp_path)
    assert seen.outcome is Outcome.OFFLINE and said in seen.detail
    assert seen.evidence is not None and (seen.evidence / "screen.png").is_file()


def test_without_an_end_marker_idle_rounds_end_the_results(
    browser: Browser, site: str, tmp_path: Path
) -> None:
    page = SOURCE.pages[0]
    source = replace(SOURCE, pages=(replace(page, results=replace(page.results, end="")),))
    seen = go(browser, site, "frozen dog", 40, tmp_path, source)
    assert (seen.outcome, len(seen.candidates)) == (Outcome.END, 24)


def test_the_limit_of_a_source_caps_what_is_read(
    browser: Browser, site: str, tmp_path: Path
) -> None:
    source = replace(SOURCE, limits=replace(SOURCE.limits, results=7))
    assert len(go(browser, site, "normal dog", 40, tmp_path, source).candidates) == 7
