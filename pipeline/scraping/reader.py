"""The hands of a visit inside the page: runs reader.js there by the rules of one source."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict
from importlib import resources
from typing import Any

from selenium.common.exceptions import InvalidElementStateException, JavascriptException
from selenium.webdriver.remote.webdriver import WebDriver

from pipeline.scraping import fields
from pipeline.scraping.outcome import Outcome, Stop
from pipeline.scraping.sources import Page, Source

_SCRIPT = (resources.files("pipeline.scraping") / "reader.js").read_text(encoding="utf-8")
_PATIENCE = 40  # seconds for one batch of fragments

Tile = dict[str, tuple[str, str]]  # field -> (text, the alternative that gave it)


class Reader:
    """Bulk reading of one results page. Every method is one call to the browser.

    Raises:
        Stop: a selector or script of the source cannot be run in this page.
    """

    def __init__(self, driver: WebDriver, source: Source, page: Page) -> None:
        self.driver, self.source, self.page = driver, source, page
        self._results = asdict(page.results)
        self._tile, self._detail = _prepared(page.tile), _prepared(page.detail)

    def state(self) -> dict[str, Any]:
        """Counts and marks of the page as it is now (``state`` in reader.js)."""
        consent, blocked = self.source.consent.overlay, self.source.blocked.selectors
        return self._call("state", self._results, consent, blocked)

    def scroll(self) -> None:
        self._call("scroll", self.page.results.tile)

    def mark(self) -> str | None:
        """Differs between two pages of results; None while there is no tile."""
        return self._call("mark", self.page.results.tile)

    def following(self) -> str | None:
        """Address of the next page, "" where it is a button to press, None where there is none."""
        return self._call("following", self.page.results.next)

    def tiles(self, start: int = 0) -> list[Tile]:
        """All tiles from ``start`` on, by one call."""
        rest = (self.page.results.tile, self._tile, start)
        body = f"() => {{\n{self.page.script}\n}}" if self.page.script else "null"
        found = self._run(f"return read(...arguments, {body});", *rest)
        return [_named(tile, self.page.tile) for tile in found]

    def fragments(self, addresses: Sequence[str]) -> list[tuple[Tile, int | None]]:
        """(fields, status if the site refused) of each address, ``limits.details`` at once."""
        rest = (list(addresses), self._detail, self.source.limits.details, _PATIENCE)
        self.driver.set_script_timeout(_PATIENCE + 20)
        answers = self._run(
            "const done = arguments[arguments.length - 1];"
            "fragments(...[...arguments].slice(0, -1)).then(done);",
            *rest,
            wait=True,
        )
        return [(_named(each["found"], self.page.detail), each.get("refused")) for each in answers]

    def panel(self, selector: str) -> Tile:
        """Fields of what a click opened; empty while it is not there."""
        return _named(self._call("panel", selector, self._detail), self.page.detail)

    def _call(self, function: str, *arguments: Any) -> Any:
        return self._run(f"return {function}(...arguments);", *arguments)

    def _run(self, code: str, *arguments: Any, wait: bool = False) -> Any:
        execute = self.driver.execute_async_script if wait else self.driver.execute_script
        try:
            return execute(f"{_SCRIPT}\n{code}", *arguments)
        except (JavascriptException, InvalidElementStateException) as error:  # or no selector
            said = str(error.msg).strip().splitlines()[0]
            raise Stop(
                Outcome.LAYOUT_CHANGED, f"a selector or script cannot be run: {said}"
            ) from None


def _prepared(rules: dict[str, tuple[str, ...]]) -> dict[str, list[dict[str, Any]]]:
    return {name: [_parsed(text) for text in texts] for name, texts in rules.items()}


@functools.cache
def _parsed(text: str) -> dict[str, Any]:
    return asdict(fields.parse(text))


def _named(tile: dict[str, list[Any]], rules: dict[str, tuple[str, ...]]) -> Tile:
    return {
        name: (text, rules[name][place] if place >= 0 else "script")
        for name, (text, place) in tile.items()
    }
