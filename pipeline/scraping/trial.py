"""One real visit to each of a source's pages, to see which of its selectors still work."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from selenium.common.exceptions import WebDriverException

from pipeline.errors import PipelineError
from pipeline.params import ScrapeParams
from pipeline.raw import Store
from pipeline.scraping.api import visit_api
from pipeline.scraping.breeds import Breed
from pipeline.scraping.browser import Browser, clean_orphans
from pipeline.scraping.download import Downloads, Limits, Verdict
from pipeline.scraping.guard import resolve
from pipeline.scraping.outcome import Visit
from pipeline.scraping.page import keep, visit
from pipeline.scraping.site import GALLERY, check_sites, open_site, user_agent
from pipeline.scraping.source_model import FIELDS, Page, Search, Source
from pipeline.workspace import Workspace

NEVER, NOT_NEEDED = "never", "not needed"


@dataclass(frozen=True)
class Trial:
    """What one search gave. ``visit`` is None where robots.txt, as ``refusal`` says, forbids it.

    ``evidence`` is the folder with the page and a screenshot, or the answer of an API, if any.
    """

    search: Search
    visit: Visit | None
    refusal: str = ""
    evidence: Path | None = None


@dataclass(frozen=True)
class Match:
    """How often an alternative gave a field; ``note`` says why it did not."""

    field: str
    alternative: str
    count: int
    note: str = ""


def matches(page: Page, visit: Visit) -> list[Match]:
    """Every alternative of every field, in the order in which they are tried.

    One that found nothing was not needed if those before it served all tiles.
    """
    found: list[Match] = []
    tiles = max((sum(counts.values()) for counts in visit.matched.values()), default=0)
    for field in FIELDS:
        counts = visit.matched.get(field, {})
        # What the detail says replaces what the tile said.
        rules = dict.fromkeys([*page.detail.get(field, ()), *page.tile.get(field, ())])
        if page.script:
            rules["script"] = None
        served = 0
        for rule in rules:
            count = counts.get(rule, 0)
            note = "" if count else NOT_NEEDED if tiles and served == tiles else NEVER
            served += count
            found.append(Match(field, rule, count, note))
    return found


def try_source(
    source: Source,
    params: ScrapeParams,
    breed: Breed,
    wanted: int,
    workspace: Workspace,
) -> Iterator[Trial]:
    """Search for the first query of ``breed`` by each of the source's pages, one after the other.

    Raises:
        ParamsError: the source needs an address or a contact that params do not give.
        PipelineError: no browser can be started, or it broke down.
    """
    asked = replace(params, sources={**params.sources, source.name: wanted})
    check_sites(asked, [source], workspace)
    folder = workspace.cache / "scrape"
    clean_orphans(folder / "browsers")
    with open_site(source, asked, [breed], workspace) as site:
        searches = source.searches(breed.name, breed.queries, site.url, params.license == "cc")
        agent = user_agent(params)
        hand = _Hand(source, agent, wanted, folder, params.grid_url)
        with tempfile.TemporaryDirectory() as scraps:
            limits = Limits(user_agent=agent, allowed=resolve(site.allowed))
            with Downloads(Store(Path(scraps)), limits, _ignore, _ignore) as robots, hand:
                for search in _first_of_each_page(searches):
                    verdict = robots.may_visit(search.url)
                    if verdict.allowed or source.name in (*params.ignore_robots, GALLERY):
                        yield hand.visit(search)
                    else:
                        yield Trial(search, None, _refusal(source, search, verdict))


def _ignore(*_: object) -> None:
    """Nothing is downloaded: the pool is asked about robots.txt alone."""


def _first_of_each_page(searches: list[Search]) -> list[Search]:
    first: dict[str, Search] = {}
    for search in searches:
        first.setdefault(search.page.name, search)
    return list(first.values())


def _refusal(source: Source, search: Search, verdict: Verdict) -> str:
    return (
        f"{source.name}: {verdict.why} ({search.url}); "
        f"-S 'scrape.ignore_robots=[{source.name}]' visits it all the same"
    )


class _Hand:
    """Makes visits, by a browser that is started when it is first needed or by the API's client."""

    def __init__(
        self, source: Source, agent: str, wanted: int, folder: Path, grid_url: str | None
    ) -> None:
        self.source, self.agent, self.wanted = source, agent, wanted
        self.evidence = folder / "check"
        self.browser = Browser(folder / "browsers", source.pictures, grid_url, agent)
        self.visited = False

    def __enter__(self) -> _Hand:
        return self

    def __exit__(self, *_: object) -> None:
        if self.browser.running:
            self.browser.stop()

    def visit(self, search: Search) -> Trial:
        if self.visited:
            time.sleep(self.source.limits.jittered_pause())
        self.visited = True
        name = "-".join(filter(None, (self.source.name, search.page.name)))
        kept = self.evidence / name
        if self.source.kind == "api":
            seen = visit_api(self.source, search, self.wanted, self.agent, kept)
            return Trial(search, seen, evidence=seen.evidence)
        try:
            if not self.browser.running:
                self.browser.start()
            seen = visit(self.browser.driver, self.source, search, self.wanted, kept)
            # Also of a visit that went well, for a person who wonders about a field.
            return Trial(search, seen, evidence=seen.evidence or keep(self.browser.driver, kept))
        except WebDriverException as error:
            reason = str(error.msg).strip().partition("\n")[0]
            raise PipelineError(f"{self.source.name}: the browser broke down: {reason}") from None
