"""Each source over hand-written pages of its site's structure, by the real browser or client.

These prove that a file says what the structure asks for, that it scrolls, presses and pages through
to the end and gives up with the right outcome; not that the live sites look like this today.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import saved_site
import tiny_site

from pipeline.scraping.browser import Browser
from pipeline.scraping.licences import is_cc
from pipeline.scraping.outcome import Candidate, Outcome, Visit
from pipeline.scraping.page import visit
from pipeline.scraping.sources import Search, Source, load_source

KENNEL = "https://kennel.example"
BROWSED = ("bing", "duckduckgo", "flickr", "google", "searxng")


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with tiny_site.running(saved_site.app) as url:
        yield url


def hurried(name: str, wait: float = 5.0) -> Source:
    """The source that ships, without its politeness."""
    source = load_source(name, Path("nowhere"))
    limits = replace(source.limits, wait=wait, idle=0.6, rounds=2, pause=0.0)
    return replace(source, limits=limits)


def search_of(source: Source, query: str, site: str, page: str = "") -> Search:
    searches = source.searches("beagle", [query], f"{site}/{source.name}")
    return next(search for search in searches if search.page.name == page or not page)


def go(
    browser: Browser, site: str, name: str, query: str, wanted: int, folder: Path, page: str = ""
) -> Visit:
    browser.driver.delete_all_cookies()
    source = hurried(name, 1.5 if query == "changed" else 5.0)
    search = search_of(source, query, site, page)
    return visit(browser.driver, source, search, wanted, folder / "seen")


def urls(seen: Visit) -> list[str]:
    assert [candidate.rank for candidate in seen.candidates] == list(range(len(seen.candidates)))
    return [candidate.image_url for candidate in seen.candidates]


# ------------------------------------------------------------------------------------- success


@pytest.mark.browser
@pytest.mark.parametrize("query", ["beagle", "asked", "overlay"])
def test_google_presses_tiles_for_their_addresses(
    browser: Browser, site: str, tmp_path: Path, query: str
) -> None:
    """Also past the consent page of its own (``asked``) and the dialog (``overlay``)."""
    seen = go(browser, site, "google", query, 10, tmp_path)
    assert (seen.outcome, seen.detail) == (Outcome.RESULTS, "")
    assert urls(seen) == [f"{KENNEL}/dogs/{n}.jpg?w=1600&v={n}" for n in range(10)]
    assert seen.candidates[9] == Candidate(
        9,
        f"{KENNEL}/dogs/9.jpg?w=1600&v=9",
        f"{KENNEL}/page/9?from=google",
        "Beagle 9",
        width=1600,
        height=1209,
    )


@pytest.mark.browser
def test_google_ends_where_scrolling_brings_no_more(
    browser: Browser, site: str, tmp_path: Path
) -> None:
    seen = go(browser, site, "google", "beagle", 99, tmp_path)
    assert (seen.outcome, len(seen.candidates)) == (Outcome.END, 18)


@pytest.mark.browser
@pytest.mark.parametrize(
    ("wanted", "outcome", "count"),
    [(15, Outcome.RESULTS, 15), (35, Outcome.RESULTS, 35), (99, Outcome.END, 38)],
)
def test_bing_scrolls_presses_see_more_and_leaves_out_repeats(
    browser: Browser, site: str, tmp_path: Path, wanted: int, outcome: Outcome, count: int
) -> None:
    seen = go(browser, site, "bing", "beagle", wanted, tmp_path)
    assert (seen.outcome, seen.detail) == (outcome, "")
    assert urls(seen) == [f"{KENNEL}/dogs/{n}.jpg?a=1&b=2" for n in range(10, 10 + count)]
    assert seen.candidates[3] == Candidate(
        3,
        f"{KENNEL}/dogs/13.jpg?a=1&b=2",
        f"{KENNEL}/page/13",
        "Beagle nr 13",
        width=1600,
        height=1213,
    )


@pytest.mark.browser
def test_duckduckgo_reads_originals_from_the_batches_that_the_page_loaded(
    browser: Browser, site: str, tmp_path: Path
) -> None:
    saved_site.asked.clear()
    seen = go(browser, site, "duckduckgo", "beagle", 99, tmp_path)
    assert (seen.outcome, seen.detail) == (Outcome.END, "")
    assert urls(seen) == [f"{KENNEL}/dogs/{n}.jpg" for n in range(26)]
    assert seen.candidates[25] == Candidate(
        25, f"{KENNEL}/dogs/25.jpg", f"{KENNEL}/page/25", "Beagle 25", width=1600, height=1225
    )
    # Three batches, asked for once by the page and once by the source, however often it reads.
    assert saved_site.asked["duckduckgo/i.js"] <= 6


@pytest.mark.browser
def test_duckduckgo_takes_previews_where_the_batches_are_out_of_reach(
    browser: Browser, site: str, tmp_path: Path
) -> None:
    seen = go(browser, site, "duckduckgo", "unread", 4, tmp_path)
    assert seen.outcome is Outcome.RESULTS
    assert urls(seen) == [f"https://tse1.mm.bing.net/th?id=OIP.{n}&pid=Api" for n in range(4)]
    assert seen.candidates[0].page_url == f"{KENNEL}/page/0"


@pytest.mark.browser
@pytest.mark.parametrize(
    ("wanted", "outcome", "count"),
    [(5, Outcome.RESULTS, 5), (20, Outcome.RESULTS, 20), (99, Outcome.END, 24)],
)
def test_searxng_goes_from_page_to_page_by_its_form(
    browser: Browser, site: str, tmp_path: Path, wanted: int, outcome: Outcome, count: int
) -> None:
    seen = go(browser, site, "searxng", "beagle", wanted, tmp_path)
    assert (seen.outcome, seen.detail) == (outcome, "")
    assert urls(seen) == [f"{KENNEL}/dogs/{n}.png" for n in range(100, 100 + count)]
    assert seen.candidates[0] == Candidate(
        0,
        f"{KENNEL}/dogs/100.png",
        f"{KENNEL}/page/100",
        "Beagle 100",
        author="Ann 100",
        width=2100,
        height=1100,
    )


@pytest.mark.browser
def test_flickr_takes_the_largest_size_and_makes_the_best_of_small_ones(
    browser: Browser, site: str, tmp_path: Path
) -> None:
    seen = go(browser, site, "flickr", "beagle", 99, tmp_path)
    assert (seen.outcome, seen.detail) == (Outcome.END, "")
    static, base = "http://live.staticflickr.com/65535", site
    assert seen.candidates[:3] == [
        Candidate(
            0,
            f"{static}/101_ffff9_o.jpg",
            f"{base}/photos/ann/101/",
            "Beagle in the snow",
            "5",
            "Ann Lee",
            4180,
            2769,
        ),
        Candidate(
            1,
            f"{static}/102_bbbb2_b.jpg",
            f"{base}/photos/22@N02/102/",
            "Two beagles, 100% happy",
            "0",
            "bob",
            1024,
            768,
        ),
        Candidate(
            2, f"{static}/103_c0ffee103_z.jpg", f"{base}/photos/carl/103/", "Beagle 103 by carl"
        ),
    ]
    assert urls(seen)[3:] == [f"{static}/{n}_c0ffee{n}_z.jpg" for n in range(104, 107)]
    assert [is_cc(candidate.licence) for candidate in seen.candidates[:3]] == [True, False, False]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("wanted", "outcome"), [(12, Outcome.RESULTS), (25, Outcome.RESULTS), (99, Outcome.END)]
)
def test_mediasearch_waits_for_its_pending_mark_and_presses_load_more(
    browser: Browser, site: str, tmp_path: Path, wanted: int, outcome: Outcome
) -> None:
    """One batch takes 2.5 s: four times as long as an idle round."""
    seen = go(browser, site, "commons", "beagle", wanted, tmp_path, "mediasearch")
    assert (seen.outcome, seen.detail) == (outcome, "")
    count, base = min(wanted, 40), f"{site}/commons"
    assert urls(seen) == [f"{base}/images/a/ae/Beagle_{n}.jpg" for n in range(count)]
    assert seen.candidates[3] == Candidate(
        3,
        f"{base}/images/a/ae/Beagle_3.jpg",
        f"{base}/wiki/File:Beagle_3.jpg",
        "Beagle_3",
        "CC BY-SA 4.0",
        "Ann Lee",
        4000,
        3000,
    )


@pytest.mark.browser
def test_mediasearch_without_results_or_changed(
    browser: Browser, site: str, tmp_path: Path
) -> None:
    assert go(browser, site, "commons", "nothing", 5, tmp_path, "mediasearch").outcome == "empty"
    changed = go(browser, site, "commons", "changed", 5, tmp_path, "mediasearch")
    assert changed.outcome is Outcome.LAYOUT_CHANGED


@pytest.mark.browser
@pytest.mark.parametrize("name", BROWSED)
def test_which_alternatives_matched_is_told(
    browser: Browser, site: str, tmp_path: Path, name: str
) -> None:
    source = load_source(name, Path("nowhere"))
    seen = go(browser, site, name, "beagle", 3, tmp_path)
    told = {field for field, counts in seen.matched.items() if counts}
    assert told >= {"image_url", "page_url", "title", "width", "height"}
    for field, counts in seen.matched.items():
        assert set(counts) <= {*source.pages[0].tile.get(field, ()), "script"}


@pytest.mark.browser
def test_the_worked_example_of_the_documentation_works(
    browser: Browser, site: str, tmp_path: Path
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "sources.md").read_text(encoding="utf-8")
    (tmp_path / "kennel.yaml").write_text(text.split("```yaml\n")[1].split("```")[0])
    source = load_source("kennel", tmp_path)
    source = replace(source, limits=replace(source.limits, pause=0.0))
    seen = visit(browser.driver, source, search_of(source, "beagle", site), 99, tmp_path / "seen")
    assert (seen.outcome, seen.detail) == (Outcome.END, "")
    assert urls(seen) == [f"{site}/files/{n}.jpg" for n in range(10, 40)]
    assert seen.candidates[5] == Candidate(
        5,
        f"{site}/files/15.jpg",
        f"{site}/kennel/photo/15",
        "Dog 15",
        "https://creativecommons.org/licenses/by/4.0/",
        "Ann 15",
        3000,
        2015,
    )
    nothing = search_of(source, "nothing", site)
    assert visit(browser.driver, source, nothing, 9, tmp_path) == Visit(Outcome.EMPTY)


# ------------------------------------------------------------------------------------- failure


@pytest.mark.browser
@pytest.mark.parametrize("name", BROWSED)
def test_no_results_is_told_from_a_page_that_changed(
    browser: Browser, site: str, tmp_path: Path, name: str
) -> None:
    assert go(browser, site, name, "nothing", 5, tmp_path) == Visit(Outcome.EMPTY)
    seen = go(browser, site, name, "changed", 5, tmp_path)
    assert (seen.outcome, seen.candidates) == (Outcome.LAYOUT_CHANGED, [])
    assert seen.detail.startswith("results.tile: nothing on http://127.0.0.1")
    assert seen.evidence and (seen.evidence / "page.html").is_file()


@pytest.mark.browser
@pytest.mark.parametrize("name", [name for name in BROWSED if name != "duckduckgo"])
def test_a_site_that_refuses_is_blocked(
    browser: Browser, site: str, tmp_path: Path, name: str
) -> None:
    seen = go(browser, site, name, "refused", 5, tmp_path)
    assert seen.outcome is Outcome.BLOCKED and seen.detail.endswith("answered 429")


@pytest.mark.browser
@pytest.mark.parametrize(
    ("name", "query", "outcome", "said"),
    [
        ("google", "captcha", Outcome.BLOCKED, "form#captcha-form on"),
        ("google", "stuck", Outcome.CONSENT_STUCK, "consent.overlay '#W0wltc"),
        ("bing", "captcha", Outcome.BLOCKED, "div.captcha"),
        ("bing", "stuck", Outcome.CONSENT_STUCK, "consent.overlay '#bnp_container"),
        ("duckduckgo", "captcha", Outcome.BLOCKED, ".anomaly-modal__title"),
        ("duckduckgo", "refused", Outcome.LAYOUT_CHANGED, "results.tile"),
        ("searxng", "engines", Outcome.BLOCKED, "#urls .dialog-error > div"),
    ],
)
def test_what_stands_in_the_way_is_named(
    browser: Browser, site: str, tmp_path: Path, name: str, query: str, outcome: Outcome, said: str
) -> None:
    seen = go(browser, site, name, query, 5, tmp_path)
    assert (seen.outcome, seen.candidates) == (outcome, [])
    assert said in seen.detail
    assert seen.evidence and (seen.evidence / "screen.png").is_file()


@pytest.mark.browser
def test_what_came_before_the_engines_failed_is_kept(
    browser: Browser, site: str, tmp_path: Path
) -> None:
    seen = go(browser, site, "searxng", "tired", 20, tmp_path)
    assert (seen.outcome, len(seen.candidates)) == (Outcome.BLOCKED, 12)
