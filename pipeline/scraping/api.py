"""One search of a site that offers an API: JSON pages instead of a browser, the same ``Visit``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from pipeline.scraping import fields
from pipeline.scraping.api_client import Client
from pipeline.scraping.outcome import Gathered, Outcome, Stop, Visit
from pipeline.scraping.sources import Search, Source
from pipeline.workspace import write_text

_BARREN = 3  # whole answers in a row that bring nothing new, after which the rest is left
_IDLE = 50  # answers in a row, whole or in parts, that bring nothing new
_DENIALS = ("limit", "block", "denied", "forbid")  # in the code of an error told with status 200


def visit_api(
    source: Source,
    search: Search,
    wanted: int,
    user_agent: str,
    evidence: Path,
    sleep: Callable[[float], object] = time.sleep,
) -> Visit:
    """Up to ``wanted`` candidates of ``search``; never raises for what a site does.

    Args:
        evidence: folder that receives the last answer when a person has to look.
        sleep: waits for so many seconds between two answers, or less when the run is stopped.
    """
    wanted = min(wanted, source.limits.results)
    walk = _Walk(source, search, wanted, user_agent, sleep)
    try:
        outcome, detail, kept = walk.pages(), "", None
    except Stop as stop:
        outcome, detail = stop.outcome, str(stop)
        kept = None if outcome is Outcome.OFFLINE else evidence
    except RecursionError:
        outcome, detail = Outcome.LAYOUT_CHANGED, f"{search.url} answered lists in lists in lists"
        kept = evidence
    if kept is not None:
        write_text(kept / "answer.txt", walk.last.decode(errors="replace"))
    return walk.gathered.visit(outcome, wanted, detail, kept)


class _Walk:
    """From answer to answer. An item may come in parts (MediaWiki), which are put together."""

    def __init__(
        self,
        source: Source,
        search: Search,
        wanted: int,
        user_agent: str,
        sleep: Callable[[float], object],
    ) -> None:
        self.source, self.search, self.wanted, self.sleep = source, search, wanted, sleep
        self.client = Client(search.url, user_agent, source.limits.wait, sleep)
        self.items: dict[Any, Any] = {}  # key -> item, in the order of arrival
        self.gathered = Gathered()

    @property
    def last(self) -> bytes:
        return self.client.last

    def pages(self) -> Outcome:
        """Ask until there is enough or no more. No address is asked for twice."""
        url, asked, barren, idle = self.address(self.first()), set[str](), 0, 0
        while True:
            asked.add(url)
            before, items, document = len(self.gathered), len(self.items), self.client.ask(url)
            whole = self.take(document, url)
            self.gathered = self.gather()
            idle = 0 if len(self.gathered) > before else idle + 1
            following = self.following(document, len(asked), len(self.items) > items)
            if whole and len(self.gathered) >= self.wanted:
                exactly = len(self.gathered) == self.wanted and following is None
                return Outcome.END if exactly else Outcome.RESULTS
            barren = 0 if len(self.gathered) > before or not whole else barren + 1
            over = barren == _BARREN or idle == _IDLE
            if following is None or over or self.address(following) in asked:
                return self.ended()
            url = self.address(following)
            self.sleep(self.source.limits.jittered_pause())

    def ended(self) -> Outcome:
        if self.items and not self.gathered:
            rules = " or ".join(self.search.page.tile["image_url"])
            raise Stop(
                Outcome.LAYOUT_CHANGED,
                f"image_url: nothing in {len(self.items)} items fits {rules}",
            )
        return Outcome.END if self.items else Outcome.EMPTY

    def first(self) -> dict[str, str]:
        rule = self.search.page.next
        return {rule.count: str(rule.start)} if rule and rule.count else {}

    def following(self, document: Any, answers: int, grew: bool) -> dict[str, str] | None:
        """What the next answer's address adds to the search's; None where this was the last."""
        rule = self.search.page.next
        if rule is None:
            return None
        if rule.merge:
            more = fields.at(document, rule.merge)
            known = isinstance(more, dict) and more
            return (
                {key: fields.as_text(value) or "" for key, value in more.items()} if known else None
            )
        number = rule.start + answers
        last = fields.at(document, rule.until) if rule.until else None
        going = number <= last if isinstance(last, (int, float)) else grew
        return {rule.count: str(number)} if going else None

    def address(self, added: dict[str, str]) -> str:
        parts = urlsplit(self.search.url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True)) | added
        return urlunsplit(parts._replace(query=urlencode(query)))

    def take(self, document: Any, url: str) -> bool:
        """Put the answer's items to those there are; whether all of them have come wholly."""
        page = self.search.page
        check_error(document, url)
        found = fields.at(document, page.items)
        done = isinstance(document, dict) and "batchcomplete" in document
        if found is None and (done or self.items):
            return done  # MediaWiki leaves out the list when it has nothing
        if not isinstance(found, (dict, list)):
            raise Stop(
                Outcome.LAYOUT_CHANGED, f"items: no list or mapping at {page.items!r} in {url}"
            )
        pairs = found.items() if isinstance(found, dict) else ((_key(item), item) for item in found)
        for key, item in pairs:
            name = len(self.items) if key is None else key
            self.items[name] = merged(self.items.get(name), item)
        return done or not page.next or not page.next.merge

    def gather(self) -> Gathered:
        """Candidates of all items so far, in the order that the site ranks them."""
        gathered, page = Gathered(), self.search.page
        items = list(self.items.values())
        if page.order:
            items.sort(key=lambda item: _number(fields.at(item, page.order)))
        for item in items:
            found = {name: fields.read(item, rules) for name, rules in page.tile.items()}
            values = {name: value for name, value in found.items() if value is not None}
            for name in {"image_url", "page_url"} & set(values):
                text, rule = values.pop(name)
                if address := self.absolute(text):
                    values[name] = (address, rule)
            gathered.add(values)
        return gathered

    def absolute(self, address: str) -> str | None:
        try:
            address = urljoin(self.search.url, address)
            return address if urlsplit(address).scheme in ("http", "https") else None
        except ValueError:
            return None


def _key(item: Any) -> Any:
    """What tells an item of a list from the others; None where it has nothing such."""
    for name in ("pageid", "id", "title"):
        if isinstance(value := fields.at(item, name), (str, int)):
            return value
    return None


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("inf")


def merged(old: Any, new: Any) -> Any:
    """``old`` with what ``new`` adds: mappings grow key by key, lists by their ends."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: merged(old.get(key), value) for key, value in new.items()}
    if isinstance(old, list) and isinstance(new, list):
        return old + [item for item in new if item not in old]
    return old if new is None else new


def check_error(document: Any, url: str) -> None:
    """Raises ``Stop`` for an error told in the answer itself, as MediaWiki does with status 200."""
    error = fields.at(document, "error")
    if not error:
        return
    code = str(fields.at(error, "code") or error)
    said = f"{url} answered {code}: {fields.at(error, 'info') or error}"
    denied = any(word in code.lower() for word in _DENIALS)
    raise Stop(Outcome.BLOCKED if denied else Outcome.LAYOUT_CHANGED, said)
