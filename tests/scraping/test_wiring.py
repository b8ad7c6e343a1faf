"""That what a source file and the params say of manners really reaches who has to keep them."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest
import tiny_site
from ruamel.yaml import YAML
from test_quotas import add_source, asking, no_robots_left_over, place, site, table

from pipeline.scraping import run
from pipeline.scraping.download import Downloads, Limits
from pipeline.scraping.scrape import scrape
from pipeline.scraping.source_model import Limits as SourceLimits
from pipeline.workspace import Workspace

pytestmark = pytest.mark.browser
__all__ = ["no_robots_left_over", "place", "site"]  # the fixtures


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[Limits]:
    """The limits that the downloads of a run were given."""
    given: list[Limits] = []

    class Noting(Downloads):
        def __init__(self, store: Any, limits: Limits, *rest: Any, **more: Any) -> None:
            given.append(limits)
            super().__init__(store, limits, *rest, **more)

    monkeypatch.setattr(run, "Downloads", Noting)
    return given


def test_limits_of_hosts_and_private_addresses_reach_the_downloads(
    site: str, place: Workspace, limits: list[Limits]
) -> None:
    hosts = {"{base}": {"at_once": 3, "rate": 50}, "*.example.org": {"megabits": 8}}
    add_source(place, "one", hosts=hosts)
    params = asking(
        site, ["normal"], {"one": 5}, per_host=7, per_host_rate=90.0, connections=11,
        allow_private=["127.0.0.99:8080"], contact="mail@example.org",
    )  # fmt: skip
    scrape(params, place)
    (given,) = limits
    host = params.bases["one"].split("//")[1].partition(":")[0]
    assert (given.per_host, given.rate, given.connections) == (7, 90.0, 11)
    assert (given.hosts[host].at_once, given.hosts[host].rate) == (3, 50)
    assert given.hosts["*.example.org"].megabits == 8
    assert given.user_agent == "breed-diffusion/0.1 (mail@example.org)"
    assert ("127.0.0.99", 8080) in given.allowed


def test_the_contact_is_sent_with_pages_robots_and_pictures(site: str, place: Workspace) -> None:
    add_source(place, "one")
    tiny_site.agents.clear()
    scrape(asking(site, ["normal"], {"one": 3}, contact="mail@example.org"), place)
    for path in ("/robots.txt", "/search", "/original/normal-0.jpg"):
        assert "mail@example.org" in tiny_site.agents[path], path


def test_a_crawl_delay_is_kept_between_pages(
    site: str, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rest may be half of the pause, so the pause has to be twice the delay."""
    rests: list[float] = []
    monkeypatch.setattr(
        SourceLimits, "jittered_pause", lambda self: rests.append(self.pause) or 0.0
    )
    add_source(place, "one")
    scrape(asking(site, ["normal"], {"one": 3}), place)
    assert max(rests) < 14
    rests.clear()
    tiny_site.robots.append("User-agent: *\nCrawl-delay: 7\n")
    scrape(asking(site, ["mixed"], {"one": 3}), place)
    assert max(rests) == 14


def test_a_sites_own_licence_filter_speaks_for_pictures_that_say_nothing(
    site: str, place: Workspace
) -> None:
    text = (resources.files("pipeline.scraping") / "sources" / "gallery.yaml").read_text()
    detail = YAML(typ="safe").load(text)["detail"]
    del detail["licence"]
    add_source(place, "one", cc="&licence=cc", detail=detail)
    scrape(asking(site, ["normal"], {"one": 5}, license="cc"), place)
    assert set(table(place)["licence"]) == {"Creative Commons (by the site's filter)"}
