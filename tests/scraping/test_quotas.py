"""Several sources at once: quotas, what one that fails leaves to the others, robots, licences."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tiny_site
from ruamel.yaml import YAML

from pipeline.errors import ParamsError, PipelineError
from pipeline.params import ScrapeParams
from pipeline.scraping.browser import Browser
from pipeline.scraping.scrape import scrape
from pipeline.workspace import Workspace

pytestmark = pytest.mark.browser
BREEDS = "normal: [normal dog, normal puppy]\nmixed: mixed dog\nnothing: nothing dog\n"


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with tiny_site.running() as url:
        yield url


@pytest.fixture(autouse=True)
def no_robots_left_over() -> Iterator[None]:
    tiny_site.robots.clear()
    yield
    tiny_site.robots.clear()


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "breeds.yaml").write_text(BREEDS)
    (tmp_path / "sources").mkdir()
    return Workspace(tmp_path, tmp_path)


def add_source(place: Workspace, name: str, **changes: Any) -> None:
    """A source file of the user's own, by the gallery's structure."""
    yaml = YAML(typ="safe")
    text = (resources.files("pipeline.scraping") / "sources" / "gallery.yaml").read_text()
    document = yaml.load(text) | {"name": name} | changes
    with (place.here / "sources" / f"{name}.yaml").open("w") as file:
        yaml.dump(document, file)


def asking(site: str, breeds: list[str], sources: dict[str, int], **more: Any) -> ScrapeParams:
    # Every source has another address of the same server: other robots.txt, other downloads.
    bases = {
        name: site.replace("127.0.0.1", f"127.0.0.{10 + place}")
        for place, name in enumerate(sources)
    }
    return ScrapeParams(breeds=breeds, sources=sources, bases=bases, **more)


def table(place: Workspace) -> pd.DataFrame:
    return pd.read_parquet(place.raw / "manifest.parquet")


def test_each_source_gives_its_quota_and_queries_are_mixed_by_phrasings(
    site: str, place: Workspace
) -> None:
    add_source(place, "one")
    add_source(place, "two", queries=["{query}", "{query} portrait"])
    metrics = scrape(asking(site, ["normal"], {"one": 20, "two": 70}), place)
    rows = table(place)
    by_source = rows.groupby("source").size().to_dict()
    # The site has 50 pictures whatever is asked: phrasings repeat them, and count once.
    assert by_source == {"one": 20, "two": 50}
    assert metrics["missing"] == 20
    assert metrics["sources"]["two"] == {"fetched": 50, "with_licence": 50, "with_author": 50}
    searches = {line["source"]: line["searches"] for line in metrics["table"]}
    assert searches["two"].split("; ") == [
        f"{query}: end_of_results"
        for query in (
            "normal dog", "normal puppy", "normal dog portrait", "normal puppy portrait",
        )
    ]  # fmt: skip
    assert set(rows["robots"]) == {"heeded"}


def test_a_source_that_is_blocked_stops_alone_and_is_said(site: str, place: Workspace) -> None:
    add_source(place, "good")
    add_source(place, "captcha", search="{base}/search?q=sorry+{query}")
    params = asking(site, ["normal", "mixed"], {"good": 12, "captcha": 12})
    with pytest.raises(PipelineError) as caught:
        scrape(params, place)
    said = str(caught.value)
    assert said.startswith("captcha, ") and "blocked: " in said and "screenshot: " in said
    assert "captcha was left alone from then on" in said
    assert "scrape.strict=false goes on without it" in said and "\n" not in said
    assert not place.raw.exists()
    visits = (
        tiny_site.asked["/search sorry normal dog"] + tiny_site.asked["/search sorry mixed dog"]
    )
    assert visits == 1, "a captcha is not asked a second time"
    requests = sum(n for path, n in tiny_site.asked.items() if path.startswith("/original/normal"))

    lenient = asking(site, ["normal", "mixed"], {"good": 12, "captcha": 12}, strict=False)
    metrics = scrape(lenient, place)
    assert metrics["by_breed"]["normal"]["fetched"] == metrics["by_breed"]["mixed"]["fetched"] == 12
    assert list(metrics["stopped"]) == ["captcha"]
    again = sum(n for path, n in tiny_site.asked.items() if path.startswith("/original/normal"))
    assert again == requests, "what the good source gave was kept"


def test_a_source_that_keeps_failing_is_given_up(site: str, place: Workspace) -> None:
    add_source(place, "good")
    add_source(
        place,
        "broken",
        search="{base}/search?q=changed+{query}",
        queries=["{query}", "{query} a", "{query} b", "{query} c"],
        limits={"wait": 1, "pause": 0.01},
    )
    params = asking(site, ["normal", "mixed"], {"broken": 5, "good": 5}, strict=False)
    metrics = scrape(params, place)
    assert "3 searches in a row failed" in metrics["stopped"]["broken"]
    assert metrics["failed_searches"] == 3


def test_an_empty_result_is_no_failure_but_a_breed_without_pictures_is(
    site: str, place: Workspace
) -> None:
    add_source(place, "one")
    with pytest.raises(PipelineError, match=r"one gave no picture of nothing \(nothing dog: empty"):
        scrape(asking(site, ["normal", "nothing"], {"one": 5}), place)
    metrics = scrape(asking(site, ["normal", "nothing"], {"one": 5}, minimum=0), place)
    assert metrics["by_breed"]["nothing"]["fetched"] == 0
    with pytest.raises(PipelineError, match="gave only 50 of at least 60 pictures of normal"):
        scrape(asking(site, ["normal"], {"one": 80}, minimum=60), place)


def test_robots_txt_is_heeded_until_the_source_is_named(
    site: str, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_source(place, "one")
    tiny_site.robots.append("User-agent: *\nDisallow: /search\n")

    def no_browser(self: Browser) -> None:
        raise AssertionError("a browser was started")

    with monkeypatch.context() as patch:
        patch.setattr(Browser, "start", no_browser)
        with pytest.raises(PipelineError, match=r"one: .*robots.txt.*scrape.ignore_robots"):
            scrape(asking(site, ["normal"], {"one": 5}), place)
    scrape(asking(site, ["normal"], {"one": 5}, ignore_robots=["one"]), place)
    assert set(table(place)["robots"]) == {"ignored"}
    with pytest.raises(ParamsError, match=r"ignore_robots: unknown source uno; known: "):
        scrape(asking(site, ["normal"], {"one": 5}, ignore_robots=["uno"]), place)


def test_robots_txt_about_pictures_is_heeded_in_any_case(site: str, place: Workspace) -> None:
    add_source(place, "one")
    tiny_site.robots.append("User-agent: *\nDisallow: /original/normal-1\n")
    metrics = scrape(
        asking(site, ["normal"], {"one": 30}, ignore_robots=["one"], connections=2), place
    )
    forbidden = [n for n in range(50) if str(n).startswith("1")][:11]
    assert metrics["failures"] == {"robots": len(forbidden)}
    assert not table(place)["image_url"].str.contains("/original/normal-1").any()


def test_only_pictures_said_to_be_free_with_license_cc(site: str, place: Workspace) -> None:
    add_source(place, "one")
    metrics = scrape(asking(site, ["mixed"], {"one": 20}, license="cc"), place)
    rows = table(place)
    numbers = rows["image_url"].str.extract(r"mixed-(\d+)\.")[0].astype(int)
    assert list(numbers) == list(range(1, 41, 2)) and set(rows["licence"]) == {"CC0"}
    assert metrics["unlicensed"] >= 20


def test_what_is_found_is_remembered_until_refreshed(site: str, place: Workspace) -> None:
    add_source(place, "one")
    params = asking(site, ["normal"], {"one": 5})
    scrape(params, place)
    before = tiny_site.asked["/search normal dog"]
    scrape(params, place)
    assert tiny_site.asked["/search normal dog"] == before
    scrape(params, place, refresh=True)
    assert tiny_site.asked["/search normal dog"] == before + 1


def test_addresses_and_contacts_are_checked_before_anything_is_touched(
    site: str, place: Workspace
) -> None:
    add_source(place, "one")
    add_source(place, "theirs", base="https://example.org", needs_contact=True)
    for changes, said in [
        ({"sources": {"one": 5}, "bases": {}}, "scrape.bases: one has no address of its own"),
        ({"sources": {"one": 5}, "bases": {"one": "x"}}, "scrape.bases: one: got 'x', expected an"),
        ({"sources": {"one": 5}, "bases": {"eno": site}}, "scrape.bases: unknown source eno"),
        ({"sources": {"theirs": 5}}, "scrape.contact: theirs asks every program for a way"),
        (
            {"sources": {"one": 5}, "bases": {"one": site}, "grid_url": "grid"},
            "scrape.grid_url: got",
        ),
        ({"sources": {"theirs": 5}, "contact": "me"}, "scrape.contact: got 'me', expected a web"),
    ]:
        with pytest.raises(ParamsError, match=said):
            scrape(ScrapeParams(breeds=1, **changes), place)
    assert not (place.cache / "scrape").exists()
