"""One search on one site: open it, get past consent, scroll, read every tile. Typed outcome.

A scraper that cannot tell "the page changed" from "nothing was found" from "we are blocked" fails
in silence, so every visit ends in one ``Outcome``, and those that need a person to look keep the
page and a screenshot. What was gathered before something failed is kept too.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urldefrag, urlsplit

from selenium.common.exceptions import (
    ElementNotInteractableException,
    InvalidSelectorException,
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
    WebDriverException,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.remote_connection import RemoteConnection
from selenium.webdriver.remote.webdriver import WebDriver
from urllib3.exceptions import HTTPError, ReadTimeoutError

from pipeline.scraping.outcome import Candidate, Gathered, Outcome, Stop, Visit
from pipeline.scraping.reader import Reader, Tile
from pipeline.scraping.sources import Search, Source
from pipeline.workspace import atomic_write, write_text

__all__ = ["Candidate", "Outcome", "Visit", "visit"]

_BARREN = 3  # pages in a row that bring nothing new, after which the rest is left
_GRACE = 10.0  # seconds by which a driver may be late in saying that a page did not come
_TICK = 0.05  # seconds between two looks at a page that should change


def visit(
    driver: WebDriver,
    source: Source,
    search: Search,
    wanted: int,
    evidence: Path,
) -> Visit:
    """Up to ``wanted`` candidates of ``search``.

    Args:
        evidence: folder that receives page and screenshot when a person has to look.

    Raises:
        selenium's WebDriverException, urllib3's HTTPError: the browser is gone or hangs.
    """
    wanted = min(wanted, source.limits.results)
    walk = _Walk(driver, source, search, wanted)
    try:
        return walk.gathered.visit(walk.pages(), wanted)
    except Stop as stop:
        # Of a page that never came there is nothing to keep, and the browser still waits for it.
        waiting = isinstance(stop.__context__, TimeoutException | ReadTimeoutError)
        kept = None if waiting else keep(driver, evidence)
        walk.save(stop.outcome)
        return walk.gathered.visit(stop.outcome, wanted, str(stop), kept)


class _Walk:
    """From page to page of one search."""

    def __init__(self, driver: WebDriver, source: Source, search: Search, wanted: int) -> None:
        self.driver, self.source, self.search, self.wanted = driver, source, search, wanted
        self.results = search.page.results
        self.reader = Reader(driver, source, search.page)
        self.gathered = Gathered()
        self.known: set[str] = set()  # fragments and pictures that were seen
        self.fresh_page()

    def fresh_page(self) -> None:
        self.tiles: list[Tile] = []  # of this page
        self.taken: set[int] = set()  # places of those that were gathered
        self.left = False  # whether this page has more than was wanted

    @property
    def missing(self) -> int:
        return self.wanted - len(self.gathered)

    def pages(self) -> Outcome:
        """Gather until there is enough or no further page. No address is opened twice."""
        opened, barren = {_same(self.search.url)}, 0
        self.open(self.search.url)
        while True:
            before = len(self.gathered)
            outcome = self.exhaust()
            if outcome is Outcome.EMPTY:
                return Outcome.END if before else outcome
            following = self.reader.following() if self.results.next else None
            if self.left or following is None:
                return Outcome.RESULTS if self.left else outcome
            if self.missing <= 0:
                return Outcome.RESULTS
            barren = 0 if len(self.gathered) > before else barren + 1
            if _same(following) in opened or barren == _BARREN:
                return Outcome.END
            time.sleep(self.source.limits.jittered_pause())
            if following:
                opened.add(_same(following))
            self.turn(following)

    def exhaust(self) -> Outcome:
        """Gather from this page until there is enough or it has no more.

        As many tiles as are missing need not do: a site may list a picture twice.
        """
        target = self.missing
        while True:
            outcome = self.scroll(target)
            if outcome is Outcome.EMPTY:
                return outcome
            before, self.tiles = len(self.gathered), self.reader.tiles()
            self.gather()
            enough = self.missing <= 0 or len(self.gathered) == before
            if outcome is not Outcome.RESULTS or enough:
                return outcome
            target = len(self.tiles) + self.missing

    def turn(self, address: str) -> None:
        """To the next page, by its address or by pressing a button."""
        if address:
            here = urlsplit(self.driver.current_url).hostname
            if urlsplit(address).hostname != here:
                raise Stop(
                    Outcome.LAYOUT_CHANGED, f"results.next leads away from {here}, to {address}"
                )
            self.open(address)
            return
        mark = self.reader.mark()
        self.press(self.results.next)
        self.wait(
            lambda seen: seen["none"] or self.reader.mark() not in (mark, None),
            self.source.limits.wait,
        )
        if self.reader.mark() == mark:
            raise Stop(
                Outcome.LAYOUT_CHANGED,
                f"results.next: {self.results.next!r} was pressed and the page stayed as it was",
            )
        self.fresh_page()

    def open(self, url: str) -> None:
        """Until there are tiles, or a sign of why there are none."""
        limits = self.source.limits
        self.fresh_page()
        self.driver.set_page_load_timeout(limits.wait)
        try:
            with patience(self.driver, limits.wait + _GRACE):
                self.driver.get(url)
        except (TimeoutException, ReadTimeoutError) as error:
            late = ", nor did the browser say a word" if isinstance(error, HTTPError) else ""
            reason = f"{url} gave no page in {limits.wait:g} s{late}"
            raise Stop(Outcome.OFFLINE, reason) from None
        except WebDriverException as error:
            if "net::ERR_" not in str(error.msg):
                raise
            reason = str(error.msg).split("net::")[1].split()[0]
            raise Stop(Outcome.OFFLINE, f"{url} cannot be reached ({reason})") from None
        state = self.wait(
            lambda seen: seen["tiles"] or seen["none"] or seen["status"] >= 500, limits.wait
        )
        if not state["tiles"] and not state["none"]:
            if state["status"] >= 500:
                raise Stop(Outcome.OFFLINE, f"{url} answered {state['status']}")
            raise Stop(
                Outcome.LAYOUT_CHANGED,
                f"results.tile: nothing on {url} fits {self.results.tile!r}",
            )

    def wait(self, ready: Callable[[dict[str, Any]], Any], seconds: float) -> dict[str, Any]:
        """The state once ``ready``, or the last one. Longer while the page says it is busy."""
        start = time.monotonic()
        while True:
            state = self.reader.state()
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
            raise Stop(Outcome.OFFLINE, "the browser shows its own error page")
        marks = [mark for mark in self.source.blocked.addresses if mark in state["url"]]
        if state["blocked"] or marks:
            sign = state["blocked"] or marks[0]
            raise Stop(Outcome.BLOCKED, f"the site wants no robots ({sign} on {state['url']})")
        if state["status"] in (403, 429):
            raise Stop(Outcome.BLOCKED, f"{state['url']} answered {state['status']}")

    def consent(self) -> None:
        rule = self.source.consent
        for button in rule.buttons:
            self.press(button)
            deadline = time.monotonic() + 2.0
            while time.monotonic() < deadline:
                if not self.reader.state()["consent"]:
                    return
                time.sleep(_TICK)
        raise Stop(
            Outcome.CONSENT_STUCK,
            f"consent.overlay {rule.overlay!r} stays; none of consent.buttons closes it",
        )

    def press(self, selector: str) -> None:
        """A real click where possible: some sites ignore those that a script dispatches."""
        try:
            found = self.driver.find_elements(By.CSS_SELECTOR, selector)
            for element in [each for each in found if each.is_displayed()][:1] or found[:1]:
                self.press_element(element)
        except InvalidSelectorException:
            raise Stop(Outcome.LAYOUT_CHANGED, f"{selector!r} is not a valid selector") from None
        except (NoSuchElementException, StaleElementReferenceException):
            pass  # gone already: the next look at the page tells

    def press_element(self, element: Any) -> None:
        try:
            element.click()
        except ElementNotInteractableException:  # also: something lies over it
            self.driver.execute_script("arguments[0].click()", element)

    def scroll(self, wanted: int) -> Outcome:
        """Scroll and press "more" until there are ``wanted`` tiles or no more come.

        Never sleeps a fixed time: a round ends when tiles were added, the end came, or nothing
        happened for ``limits.idle`` seconds; and it is not over while the spinner turns. What came
        is read at once, for the next round may meet a captcha in its place.
        """
        limits, results, idle = self.source.limits, self.results, 0
        fixed = results.next and not (results.more or results.end or results.spinner)
        while True:
            state = self.reader.state()
            tiles, more = state["tiles"], state["more"]
            if not tiles and state["none"]:
                return Outcome.EMPTY
            if (state["end"] and tiles <= wanted) or fixed:
                return Outcome.END
            if tiles >= wanted:
                return Outcome.RESULTS
            self.tiles += self.reader.tiles(len(self.tiles))
            if idle == limits.rounds:
                return self.gave_up(tiles)
            self.reader.scroll()
            if more:
                self.press(results.more)
            after = self.wait(_changed(tiles, more), limits.idle)
            idle = 0 if _changed(tiles, more)(after) else idle + 1

    def gave_up(self, tiles: int) -> Outcome:
        end = self.results.end
        if not end or self.results.next:
            return Outcome.END
        raise Stop(
            Outcome.LAYOUT_CHANGED,
            f"results.end: after {tiles} tiles neither more came nor anything that fits {end!r}",
        )

    def gather(self, ask: bool = True) -> None:
        """Candidates from the tiles of this page, each once, as long as more are wanted.

        Args:
            ask: whether the site may be asked for what the tiles do not say.
        """
        fresh = self.fresh()
        places, self.left = fresh[: self.missing], len(fresh) > self.missing
        self.taken.update(places)
        try:
            if ask:
                self.fetch_fragments(places)
                self.click_for_missing(places)
        finally:
            for place in places:
                self.gathered.add(self.tiles[place])
        if places and not self.gathered:
            page = self.search.page
            rules = page.detail.get("image_url") or page.tile.get("image_url") or ("script",)
            raise Stop(
                Outcome.LAYOUT_CHANGED,
                f"image_url: nothing in {len(places)} tiles fits {' or '.join(rules)}",
            )

    def fresh(self) -> list[int]:
        """Places of the tiles that are new: not gathered, and no picture or page seen before."""
        places: list[int] = []
        for place, tile in enumerate(self.tiles):
            key = next((tile[name][0] for name in ("image_url", "detail") if name in tile), None)
            if place not in self.taken and key not in self.known:
                places.append(place)
                self.known |= {key} if key and len(places) <= self.missing else set()
        return places

    def fetch_fragments(self, places: list[int]) -> None:
        due = [
            place
            for place in places
            if "detail" in self.tiles[place] and "image_url" not in self.tiles[place]
        ]
        batch = 4 * self.source.limits.details
        for start in range(0, len(due), batch):
            part = due[start : start + batch]
            answers = self.reader.fragments([self.tiles[place]["detail"][0] for place in part])
            for place, (found, _) in zip(part, answers, strict=True):
                self.tiles[place] |= found
            refused = [status for _, status in answers if status]
            if refused:
                raise Stop(
                    Outcome.BLOCKED,
                    f"{self.tiles[part[0]]['detail'][0]} and the like answered {refused[0]}",
                )

    def click_for_missing(self, places: list[int]) -> None:
        """Open the panel of tiles whose fragment gave no address, as a person would."""
        misses = 0
        for place in places:
            tile = self.tiles[place]
            if "image_url" in tile or not self.search.page.panel:
                continue
            opened = self.click_tile(place, tile["id"][0] if "id" in tile else "")
            misses = 0 if opened else misses + 1
            tile.update(opened)
            if misses == 3:
                return

    def click_tile(self, place: int, identity: str) -> Tile:
        """What the panel says, or the tile itself: some fill in an address when pressed."""
        elements = self.driver.find_elements(By.CSS_SELECTOR, self.results.tile)
        with contextlib.suppress(StaleElementReferenceException, IndexError):
            self.press_element(elements[place])
        selector = self.search.page.panel.replace("{id}", identity)
        deadline = time.monotonic() + min(5.0, self.source.limits.wait)
        while time.monotonic() < deadline:
            for opened in (self.reader.panel(selector), *self.reader.tiles(place)[:1]):
                if "image_url" in opened:
                    return opened
            time.sleep(_TICK)
        return {}

    def save(self, outcome: Outcome) -> None:
        """Gather what the tiles at hand say; a site that refuses robots is asked nothing more."""
        with contextlib.suppress(Stop, WebDriverException):
            self.gather(ask=outcome is Outcome.LAYOUT_CHANGED)


def _same(address: str) -> str:
    return urldefrag(address).url


def _changed(tiles: int, more: bool) -> Callable[[dict[str, Any]], bool]:
    def changed(state: dict[str, Any]) -> bool:
        button_came = state["more"] and not more
        return bool(state["tiles"] > tiles or state["end"] or button_came)

    return changed


@contextlib.contextmanager
def patience(driver: WebDriver, seconds: float) -> Iterator[None]:
    """A driver silent for so long is taken for hung (HTTPError), sooner than it usually is.

    A browser's first page sometimes hangs the driver beyond its own page load timeout.
    """
    config = cast(RemoteConnection, driver.command_executor).client_config
    before, config.timeout = config.timeout, min(seconds, config.timeout or seconds)
    try:
        yield
    finally:
        config.timeout = before


def keep(driver: WebDriver, folder: Path) -> Path | None:
    """Page and screenshot for a person to look at; None if not even that works."""
    try:
        write_text(folder / "page.html", driver.page_source)
        with atomic_write(folder / "screen.png") as file:
            file.write(driver.get_screenshot_as_png())
    except (WebDriverException, HTTPError):
        return None
    return folder
