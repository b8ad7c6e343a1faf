"""The ``commons`` source against a real MediaWiki: every file arrives, byte for byte."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pandas as pd
import pytest
import wiki
from ruamel.yaml import YAML

from pipeline.params import ScrapeParams
from pipeline.scraping.browser import Browser
from pipeline.scraping.gallery.picture import describe, encode, on_white, render
from pipeline.scraping.page import Outcome, Visit, visit
from pipeline.scraping.scrape import scrape
from pipeline.scraping.sources import Source, load_source
from pipeline.workspace import Workspace

pytestmark = pytest.mark.browser
BREEDS = {"beagle": "Beagle", "siberian_husky": "Siberian Husky"}
EACH, CATEGORISED = 24, 20
COMMONS = load_source("commons", Path("nowhere"))
QUICK = replace(COMMONS, limits=replace(COMMONS.limits, pause=0.01, details=8))


def drawn(breed: str, number: int) -> wiki.File:
    """A small drawn dog; what is odd in a file's name must survive addresses and paging."""
    kind = ("jpg", "png", "webp")[number % 3]
    picture = on_white(render(describe(5, breed, number), 320, 240))
    mark = " & co (é)" if number == 7 else ""
    name = f"{BREEDS[breed]} {number:02}{mark}.{kind}".replace(" ", "_")
    content = encode(picture, kind, 85)
    return wiki.File(name, BREEDS[breed], number, content, categorised=number < CATEGORISED)


@pytest.fixture(scope="module")
def files() -> dict[str, list[wiki.File]]:
    return {breed: [drawn(breed, number) for number in range(EACH)] for breed in BREEDS}


@pytest.fixture(scope="module")
def site(
    files: dict[str, list[wiki.File]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[wiki.Wiki]:
    if reason := wiki.missing():
        pytest.skip(f"no MediaWiki to scrape: {reason}")
    folder = tmp_path_factory.mktemp("wiki")
    with wiki.running(folder, [*itertools.chain(*files.values())]) as site:
        yield site


def go(
    browser: Browser, site: wiki.Wiki, breed: str, page: str, folder: Path, source: Source = QUICK
) -> Visit:
    queries = [f"{breed} dog".replace("_", " ")]
    search = next(
        each for each in source.searches(breed, queries, site.url) if each.page.name == page
    )
    return visit(browser.driver, source, search, 100, folder)


def digests(urls: list[str]) -> list[str]:
    opener = build_opener(ProxyHandler({}))
    found = []
    for url in urls:
        with opener.open(url, timeout=20) as answer:
            found.append(hashlib.sha256(answer.read()).hexdigest())
    return found


@pytest.mark.parametrize("new_markup", [False, True])
@pytest.mark.parametrize(("page", "count"), [("category", CATEGORISED), ("search", EACH)])
@pytest.mark.parametrize("breed", BREEDS)
def test_every_file_is_found_once_and_arrives_as_it_is(
    browser: Browser,
    site: wiki.Wiki,
    files: dict[str, list[wiki.File]],
    tmp_path: Path,
    breed: str,
    page: str,
    count: int,
    new_markup: bool,
) -> None:
    site.new_markup(new_markup)
    seen = go(browser, site, breed, page, tmp_path)
    assert (seen.outcome, seen.detail) == (Outcome.END, "")
    sent = {hashlib.sha256(each.content).hexdigest() for each in files[breed][:count]}
    arrived = digests([candidate.image_url for candidate in seen.candidates])
    assert len(arrived) == len(sent) == count and set(arrived) == sent
    # Without ImageMagick there is no thumbnail of the WebP third, and so no link around it.
    chosen = "a.mw-file-description@href" if new_markup else "a.image@href"
    matched = seen.matched["detail"]
    assert sum(matched.values()) == count and matched[chosen] >= 2 * count // 3
    assert "a.image@href" not in matched or not new_markup


@pytest.mark.parametrize("new_markup", [False, True])
@pytest.mark.parametrize(("page", "count"), [("category", CATEGORISED), ("search", EACH)])
def test_the_whole_scrape_brings_every_file_of_both_breeds(
    site: wiki.Wiki,
    files: dict[str, list[wiki.File]],
    tmp_path: Path,
    page: str,
    count: int,
    new_markup: bool,
) -> None:
    site.new_markup(new_markup)
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "breeds.yaml").write_text(
        "".join(f"{breed}: {name}\n" for breed, name in BREEDS.items())
    )
    if page == "search":  # what a user does whose wiki lacks the rest: a file of one's own
        yaml = YAML(typ="safe")
        shipped = resources.files("pipeline.scraping") / "sources" / "commons.yaml"
        document = yaml.load(shipped.read_text())
        document["pages"] = [each for each in document["pages"] if each["name"] == page]
        (tmp_path / "sources").mkdir()
        with (tmp_path / "sources" / "commons.yaml").open("w") as file:
            yaml.dump(document, file)
    params = ScrapeParams(breeds=2, sources={"commons": count}, bases={"commons": site.url})
    metrics = scrape(params, Workspace(tmp_path, tmp_path))
    table = pd.read_parquet(tmp_path / "data" / "raw" / "manifest.parquet")
    sent = {
        (breed, hashlib.sha256(each.content).hexdigest())
        for breed in BREEDS
        for each in files[breed][:count]
    }
    assert set(zip(table["breed"], table["sha256"], strict=True)) == sent
    assert (metrics["fetched"], metrics["missing"], metrics["failures"]) == (len(sent), 0, {})
    assert set(table["licence"]) == {"CC BY-SA 4.0"}


def test_each_picture_carries_author_licence_and_size(
    browser: Browser, site: wiki.Wiki, tmp_path: Path
) -> None:
    seen = go(browser, site, "beagle", "category", tmp_path)
    by_title = {candidate.title: candidate for candidate in seen.candidates}
    found = by_title["Beagle 07 & co (é)"]
    assert (found.licence, found.author) == ("CC BY-SA 4.0", "Ann Lee")
    assert (found.width, found.height) == (320, 240)
    assert found.page_url == f"{site.url}/wiki/File:Beagle_07_%26_co_(%C3%A9).png"


def test_search_turns_its_pages_and_counts_a_file_that_comes_twice_once(
    browser: Browser, site: wiki.Wiki, tmp_path: Path
) -> None:
    pages = tuple(
        replace(page, search=page.search.replace("limit=100", "limit=10")) for page in QUICK.pages
    )
    source = replace(QUICK, pages=pages)
    seen = go(browser, site, "beagle", "search", tmp_path, source)
    assert (seen.outcome, len(seen.candidates)) == (Outcome.END, EACH)
    few = replace(source, limits=replace(source.limits, results=15))
    seen = go(browser, site, "beagle", "search", tmp_path, few)
    assert (seen.outcome, len(seen.candidates)) == (Outcome.RESULTS, 15)


@pytest.mark.parametrize("page", ["category", "search"])
def test_a_breed_that_the_wiki_does_not_have_is_empty(
    browser: Browser, site: wiki.Wiki, tmp_path: Path, page: str
) -> None:
    seen = go(browser, site, "unicorn", page, tmp_path)
    assert (seen.outcome, seen.detail) == (Outcome.EMPTY, "")


def test_a_wiki_without_mediasearch_is_no_silent_zero(
    browser: Browser, site: wiki.Wiki, tmp_path: Path
) -> None:
    source = replace(QUICK, limits=replace(QUICK.limits, wait=4.0))
    seen = go(browser, site, "beagle", "mediasearch", tmp_path, source)
    assert seen.outcome is Outcome.LAYOUT_CHANGED and seen.evidence == tmp_path
