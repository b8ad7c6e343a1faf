"""Pages are turned, tiles are read by rules with filters, and a failure keeps what there was."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paged_site
import pytest

from pipeline.scraping.browser import Browser
from pipeline.scraping.page import Outcome, Visit, visit
from pipeline.scraping.sources import parse_source

pytestmark = pytest.mark.browser
ALL = 24  # 3 pages of 10, of which 3 are seen again on the next
PAGED: dict[str, Any] = {
    "name": "paged",
    "search": "{base}/{query}",
    "results": {"tile": "li.tile", "next": "a.next"},
    "tile": {
        "image_url": ["@data-none", "@data-m | json murl", "a.page@href | param imgurl"],
        "page_url": ["a.page@href"],
        "title": [r"b | match no\. \d+ \(CC0\) | replace /no\.\s(\d+).*/number $1/"],
        "licence": [r"b | match \((\w+)\)"],
        "width": ["@data-m | json size.w"],
        "height": ["@data-m | json size.h", "@data-m | json size.none.x"],
    },
    "blocked": {"selectors": ["form#captcha"]},
    "limits": {"wait": 2, "idle": 0.3, "rounds": 2, "pause": 0.01},
}
BUTTON = PAGED | {"results": {"tile": "li.tile", "next": "button#turn"}}
DETAILS = PAGED | {
    "tile": {"detail": ["a.detail@href"]},
    "detail": {"image_url": ["a.original@href"]},
}


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with paged_site.running() as url:
        yield url


@pytest.fixture
def go(browser: Browser, site: str, tmp_path: Path) -> Any:
    def visit_word(word: str, wanted: int = 99, document: dict[str, Any] = PAGED) -> Visit:
        paged_site.asked.clear()
        paged_site.times.clear()
        source = parse_source(document, "f.yaml")
        search = source.searches("dog", [word], site)[0]
        return visit(browser.driver, source, search, wanted, tmp_path)

    return visit_word


def numbers(seen: Visit) -> list[int]:
    return [int(each.image_url.rpartition("-")[2][:-4]) for each in seen.candidates]


@pytest.mark.parametrize(
    ("wanted", "outcome", "pages"),
    [
        (5, "results", 1),
        (10, "results", 1),
        (11, "results", 2),
        (23, "results", 3),
        (24, "end_of_results", 3),
        (99, "end_of_results", 3),
    ],
)
@pytest.mark.parametrize("word", ["linked", "button"])
def test_pages_are_turned_and_what_comes_again_counts_once(
    go: Any, word: str, wanted: int, outcome: str, pages: int
) -> None:
    seen = go(word, wanted, BUTTON if word == "button" else PAGED)
    assert seen.outcome == outcome
    assert numbers(seen) == list(range(min(wanted, ALL)))
    assert len(paged_site.times) == pages
    assert max(count for path, count in paged_site.asked.items() if word in path) == 1


def test_filters_read_json_parameters_and_parts_of_a_text(go: Any, site: str) -> None:
    seen = go("linked", 4)
    third = seen.candidates[3]
    assert third.image_url == f"{site}/full/dog-3.jpg"
    assert third.page_url == f"{site}/imgres?imgurl=%2Ffull%2Fdog-3.jpg&w=3"
    assert (third.title, third.licence) == ("number 3", "CC0")
    assert (third.width, third.height) == (103, None)
    assert seen.matched["image_url"] == {"@data-m | json murl": 4}
    tile = {"image_url": ["img@src", "a.page@href | param imgurl"]}  # a data: address is no picture
    assert go("linked", 4, PAGED | {"tile": {"image_url": tile["image_url"][1:]}}).candidates
    seen = go("linked", 4, PAGED | {"tile": {"image_url": tile["image_url"][:1]}})
    assert (
        seen.outcome is Outcome.LAYOUT_CHANGED and "nothing in 4 tiles fits img@src" in seen.detail
    )


def test_a_script_reads_all_tiles_in_place_of_rules(go: Any, site: str) -> None:
    script = """
      return [...document.querySelectorAll("li.tile")].map((tile) => {
        const facts = JSON.parse(tile.dataset.m);
        return {image_url: facts.murl, title: null, width: facts.size.w};
      });"""
    document = {key: value for key, value in PAGED.items() if key != "tile"} | {"script": script}
    seen = go("linked", 12, document)
    assert numbers(seen) == list(range(12))
    assert seen.candidates[11].width == 111
    assert seen.matched == {"image_url": {"script": 12}, "width": {"script": 12}}
    seen = go("linked", 12, document | {"script": "return nothing.at.all;"})
    assert seen.outcome is Outcome.LAYOUT_CHANGED and "nothing is not defined" in seen.detail


@pytest.mark.parametrize(
    ("word", "outcome", "said", "kept"),
    [
        ("captcha", Outcome.BLOCKED, "form#captcha", 10),
        ("refused", Outcome.BLOCKED, "answered 429", 17),
        ("away", Outcome.LAYOUT_CHANGED, "results.next leads away from 127.0.0.1", 10),
        ("stays", Outcome.LAYOUT_CHANGED, "was pressed and the page stayed as it was", 10),
    ],
)
def test_a_failure_half_way_keeps_what_was_gathered(
    go: Any, tmp_path: Path, word: str, outcome: Outcome, said: str, kept: int
) -> None:
    seen = go(word, 99, BUTTON if word == "stays" else PAGED)
    assert seen.outcome is outcome and said in seen.detail
    assert numbers(seen) == list(range(kept))
    assert seen.evidence == tmp_path and (tmp_path / "page.html").is_file()


def test_a_link_back_to_a_page_that_was_read_is_the_end(go: Any) -> None:
    circle = PAGED | {"search": "{base}/{query}?page=1"}
    seen = go("circle", 99, circle)
    assert (seen.outcome, len(seen.candidates)) == (Outcome.END, 10)


def test_pages_are_turned_with_a_pause(go: Any) -> None:
    go("linked", 99, PAGED | {"limits": {"wait": 2, "pause": 0.6}})
    gaps = [later - sooner for sooner, later in itertools.pairwise(paged_site.times)]
    assert len(gaps) == 2 and min(gaps) >= 0.3


@pytest.mark.parametrize("at_once", [1, 3])
def test_fragments_are_fetched_no_more_at_once_than_allowed_and_each_once(
    go: Any, at_once: int
) -> None:
    paged_site.inside["most"] = 0
    limits = PAGED["limits"] | {"details": at_once}
    seen = go("details", 99, DETAILS | {"limits": limits})
    assert (seen.outcome, numbers(seen)) == (Outcome.END, list(range(ALL)))
    assert paged_site.inside["most"] == at_once
    details = [count for path, count in paged_site.asked.items() if "/detail/" in path]
    assert details == [1] * ALL


def test_refused_fragments_stop_the_source_and_keep_what_came_before(go: Any) -> None:
    seen = go("details", 99, DETAILS)
    assert not seen.outcome.failed
    original = paged_site.Handler.detail

    def refusing(self: paged_site.Handler, word: str) -> None:
        self.give("no", 403) if word.endswith("-15") else original(self, word)

    paged_site.Handler.detail = refusing  # type: ignore[method-assign]
    try:
        seen = go("details", 99, DETAILS)
    finally:
        paged_site.Handler.detail = original  # type: ignore[method-assign]
    assert seen.outcome is Outcome.BLOCKED and "answered 403" in seen.detail
    assert numbers(seen) == [*range(15), 16]
    assert not any("page=3" in path for path in paged_site.asked)


def test_more_than_80_tiles_a_second_with_scrolling(go: Any) -> None:
    document = PAGED | {"results": {"tile": "li.tile"}}
    start = time.monotonic()
    seen = go("endless", 800, document)
    seconds = time.monotonic() - start
    assert (seen.outcome, len(seen.candidates)) == (Outcome.RESULTS, 800)
    assert 800 / seconds > 80


def test_a_selector_that_is_none_is_said_in_one_line(go: Any) -> None:
    seen = go("linked", 5, PAGED | {"results": {"tile": "li..tile"}})
    assert seen.outcome is Outcome.LAYOUT_CHANGED
    assert "not a valid selector" in seen.detail and "\n" not in seen.detail
