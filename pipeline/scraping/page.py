"""One search on one site: open it, get past consent, scroll, read every tile. Typed outcome.

A scraper that cannot tell "the page changed" from "nothing was found" from "we are blocked" fails
in silence, so every visit ends in one ``Outcome``, and those that need a person to look keep the
page and a screenshot.
"""

from __future__ import annotations

import contextlib
import enum
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import (
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
    WebDriverException,
)
from selenium.webdriver.common.by import By

from pipeline.scraping.sources import Page, Results, Search, Source
from pipeline.workspace import atomic_write, write_text

_CHUNK = 200  # tiles read by one call
_TICK = 0.05  # seconds between two looks at a page that should change
_SCRIPT = (resources.files("pipeline.scraping") / "reader.js").read_text(encoding="utf-8")


class Outcome(enum.StrEnum):
    RESULTS = "results"  # as many as wanted; there may be more
    END = "end_of_results"  # all there are
    EMPTY = "empty"  # the site says it has nothing
    CONSENT_STUCK = "consent_stuck"
    BLOCKED = "blocked"
    LAYOUT_CHANGED = "layout_changed"
    OFFLINE = "offline"

    @property
    def failed(self) -> bool:
        return self not in (Outcome.RESULTS, Outcome.END, Outcome.EMPTY)


@dataclass(frozen=True)
class Candidate:
    """An image that a source offers. ``rank`` counts from 0 in the order of the page."""

    rank: int
    image_url: str
    page_url: str | None = None
    title: str | None = None
    licence: str | None = None
    author: str | None = None


@dataclass(frozen=True)
class Visit:
    """What came of one visit. ``detail`` says in words what failed, ``evidence`` where it lies."""

    outcome: Outcome
    candidates: list[Candidate] = field(default_factory=list)
    detail: str = ""
    evidence: Path | None = None


class _Stop(Exception):
    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome


def visit(
    driver: webdriver.Chrome,
    source: Source,
    search: Search | str,
    wanted: int,
    evidence: Path,
) -> Visit:
    """Up to ``wanted`` candidates of ``search`` (or of the page at an address).

    Args:
        evidence: folder that receives page and screenshot when a person has to look.

    Raises:
        selenium's WebDriverException, urllib3's HTTPError: the browser is gone or hangs.
    """
    if isinstance(search, str):
        search = Search(source.pages[0], search, search)
    page = _Page(driver, source, search.page)
    wanted = min(wanted, source.limits.results)
    try:
        page.open(search.url)
        outcome = page.scroll(wanted)
        candidates = page.read(wanted) if outcome is not Outcome.EMPTY else []
        return Visit(outcome, candidates)
    except _Stop as stop:
        kept = None if stop.outcome is Outcome.OFFLINE else _keep(driver, evidence)
        return Visit(stop.outcome, [], str(stop), kept)


class _Page:
    def __init__(self, driver: webdriver.Chrome, source: Source, page: Page) -> None:
        self.driver, self.source, self.page = driver, source, page

    def call(self, function: str, *arguments: Any) -> Any:
        return self.driver.execute_script(
            f"{_SCRIPT}\nreturn {function}(...arguments);", *arguments
        )

    def state(self) -> dict[str, Any]:
        source = self.source
        parts = {key: getattr(self.page.results, key) for key in Results.__dataclass_fields__}
        return self.call("state", parts, source.consent.overlay, source.blocked.selectors)

    def open(self, url: str) -> None:
        """Until there are tiles, or a sign of why there are none."""
        limits = self.source.limits
        self.driver.set_page_load_timeout(limits.wait)
        self.driver.set_script_timeout(60)
        try:
            self.driver.get(url)
        except TimeoutException:
            raise _Stop(Outcome.OFFLINE, f"{url} gave no page in {limits.wait:g} s") from None
        except WebDriverException as error:
            if "net::ERR_" not in str(error.msg):
                raise
            reason = str(error.msg).split("net::")[1].split()[0]
            raise _Stop(Outcome.OFFLINE, f"{url} cannot be reached ({reason})") from None
        state = self.wait(
            lambda seen: seen["tiles"] or seen["none"] or seen["status"] >= 500, limits.wait
        )
        if not state["tiles"] and not state["none"]:
            if state["status"] >= 500:
                raise _Stop(Outcome.OFFLINE, f"{url} answered {state['status']}")
            missing = self.page.results.tile
            raise _Stop(Outcome.LAYOUT_CHANGED, f"results.tile: nothing on {url} fits {missing!r}")

    def wait(self, ready: Callable[[dict[str, Any]], Any], seconds: float) -> dict[str, Any]:
        """The state once ``ready``, or the last one. Longer while the page says it is busy."""
        start = time.monotonic()
        while True:
            state = self.state()
            self.check_blocked(state)
            if state["consent"]:
                self.consent()
            elif ready(state):
                return state
            waited = time.monotonic() - start
            if waited > (max(seconds, self.source.limits.wait) if state["busy"] else seconds):
                return state
            time.sleep(_TICK)

    def check_blocked(self, state: dict[str, Any]) -> None:
        if state["url"].startswith("chrome-error:"):
            raise _Stop(Outcome.OFFLINE, "the browser shows its own error page")
        marks = [mark for mark in self.source.blocked.addresses if mark in state["url"]]
        if state["blocked"] or marks:
            sign = state["blocked"] or marks[0]
            raise _Stop(Outcome.BLOCKED, f"the site wants no robots ({sign} on {state['url']})")
        if state["status"] in (403, 429):
            raise _Stop(Outcome.BLOCKED, f"{state['url']} answered {state['status']}")

    def consent(self) -> None:
        rule = self.source.consent
        for button in rule.buttons:
            self.press(button)
            deadline = time.monotonic() + 2.0
            while time.monotonic() < deadline:
                if not self.state()["consent"]:
                    return
                time.sleep(_TICK)
        raise _Stop(
            Outcome.CONSENT_STUCK,
            f"consent.overlay {rule.overlay!r} stays; none of consent.buttons closes it",
        )

    def press(self, selector: str) -> None:
        """A real click where possible: some sites ignore those that a script dispatches."""
        with contextlib.suppress(NoSuchElementException, StaleElementReferenceException):
            element = self.driver.find_element(By.CSS_SELECTOR, selector)
            self.press_element(element)

    def press_element(self, element: Any) -> None:
        try:
            element.click()
        except ElementNotInteractableException:  # also: something lies over it
            self.driver.execute_script("arguments[0].click()", element)

    def scroll(self, wanted: int) -> Outcome:
        """Scroll and press "more" until there are ``wanted`` tiles or no more come.

        Never sleeps a fixed time: a round ends when tiles were added, the end came, or nothing
        happened for ``limits.idle`` seconds; and it is not over while the spinner turns.
        """
        limits, idle = self.source.limits, 0
        while True:
            state = self.state()
            tiles, more = state["tiles"], state["more"]
            if not tiles and state["none"]:
                return Outcome.EMPTY
            if state["end"] and tiles <= wanted:
                return Outcome.END
            if tiles >= wanted:
                return Outcome.RESULTS
            if idle == limits.rounds:
                return self.gave_up(tiles)
            self.call("scroll", self.page.results.tile)
            if more:
                self.press(self.page.results.more)
            after = self.wait(_changed(tiles, more), limits.idle)
            idle = 0 if _changed(tiles, more)(after) else idle + 1

    def gave_up(self, tiles: int) -> Outcome:
        end = self.page.results.end
        if not end:
            return Outcome.END
        raise _Stop(
            Outcome.LAYOUT_CHANGED,
            f"results.end: after {tiles} tiles neither more came nor anything that fits {end!r}",
        )

    def read(self, wanted: int) -> list[Candidate]:
        """The first ``wanted`` tiles that have a full-size address, each address once."""
        found = []
        for start in range(0, wanted, _CHUNK):
            found += self.read_tiles(start, min(start + _CHUNK, wanted))
        self.click_for_missing(found)
        candidates: dict[str, Candidate] = {}
        for tile in found:
            url = tile.get("image_url")
            if url and url not in candidates:
                rest = {key: tile.get(key) for key in ("page_url", "title", "licence", "author")}
                candidates[url] = Candidate(len(candidates), url, **rest)
        if found and not candidates:
            rules = self.page.detail.get("image_url") or self.page.tile.get("image_url")
            raise _Stop(
                Outcome.LAYOUT_CHANGED,
                f"image_url: nothing in {len(found)} tiles fits {' or '.join(rules or ())}",
            )
        return list(candidates.values())

    def read_tiles(self, start: int, stop: int) -> list[dict[str, str]]:
        script = (
            f"{_SCRIPT}\nconst done = arguments[arguments.length - 1];"
            "read(...[...arguments].slice(0, -1)).then(done, () => done([]));"
        )
        arguments = (self.page.results.tile, start, stop, self.page.tile, self.page.detail)
        return self.driver.execute_async_script(script, *arguments)

    def click_for_missing(self, found: list[dict[str, str]]) -> None:
        """Open the panel of tiles whose fragment gave no address, as a person would."""
        misses = 0
        for index, tile in enumerate(found):
            if "image_url" in tile or not self.page.panel:
                continue
            opened = self.click_tile(index, tile.get("id", ""))
            misses = 0 if opened else misses + 1
            tile.update(opened)
            if misses == 3:
                return

    def click_tile(self, index: int, identity: str) -> dict[str, str]:
        tiles = self.driver.find_elements(By.CSS_SELECTOR, self.page.results.tile)
        with contextlib.suppress(StaleElementReferenceException):
            self.press_element(tiles[index])
        panel = self.page.panel.replace("{id}", identity)
        deadline = time.monotonic() + min(5.0, self.source.limits.wait)
        while time.monotonic() < deadline:
            opened = self.call("panel", panel, self.page.detail)
            if "image_url" in opened:
                return opened
            time.sleep(_TICK)
        return {}


def _changed(tiles: int, more: bool) -> Callable[[dict[str, Any]], bool]:
    def changed(state: dict[str, Any]) -> bool:
        button_came = state["more"] and not more
        return bool(state["tiles"] > tiles or state["end"] or button_came)

    return changed


def _keep(driver: webdriver.Chrome, folder: Path) -> Path | None:
    """Page and screenshot for a person to look at; None if not even that works."""
    try:
        write_text(folder / "page.html", driver.page_source)
        with atomic_write(folder / "screen.png") as file:
            file.write(driver.get_screenshot_as_png())
    except WebDriverException:
        return None
    return folder
