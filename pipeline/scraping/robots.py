"""What a site asks of programs: robots.txt (RFC 9309), X-Robots-Tag and TDM-Reservation."""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from protego import Protego
from yarl import URL

from pipeline.scraping.failures import Failure, named

MOST_BYTES = 500 << 10  # of a robots.txt are read; the standard asks for no more
LONGEST_DELAY = 120.0  # seconds between two requests; sites that ask for more are left alone
_REDIRECTS = 5
_LIFETIME = 24 * 3600.0  # seconds that a robots.txt is believed
_TIMEOUT = 20.0
_TRIES = 2  # for an answer that says the site is out of order
_OPT_OUTS = frozenset({"noai", "noimageai", "noindex", "noimageindex", "noml", "none"})
_VALUED = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
_NO_SITE = ("unreachable", "private_address", "bad_address", "bad_certificate")
_AGENT = re.compile(r"\s*([^\s:,]+)\s*:(.*)", re.DOTALL)


@dataclass(frozen=True)
class Verdict:
    """Whether robots.txt lets us fetch an address, ``why`` not, and the seconds it wants between
    two requests."""

    allowed: bool
    why: str = ""
    delay: float | None = None


def product_token(user_agent: str) -> str:
    """The name a robots.txt knows us by: ``breed-diffusion`` of ``breed-diffusion/0.1 (+mail)``."""
    return user_agent.split("/")[0].split(" ")[0].strip().lower() or "*"


def opted_out(headers: Mapping[str, str], token: str) -> bool:
    """Whether the headers of an answer keep programs as ours from using what it holds."""
    # TDM Reservation Protocol: 1 = the rights of text and data mining are reserved.
    if headers.get("TDM-Reservation", "").strip() == "1":
        return True
    getall = getattr(headers, "getall", None)
    name = "X-Robots-Tag"
    tags = getall(name, []) if getall else [headers[name]] if name in headers else []
    return any(_forbids(tag, token) for tag in tags)


def _forbids(tag: str, token: str) -> bool:
    """One header: rules for all, until ``agent:`` says whom the rules after it are for."""
    ours = True
    for part in tag.lower().split(","):
        found = _AGENT.fullmatch(part)
        if found and found[1] not in _VALUED:
            ours, part = found[1] in ("*", token), found[2]
        if ours and part.strip() in _OPT_OUTS:
            return True
    return False


@dataclass
class Rules:
    """The robots.txt of one origin as read. ``failure``: the site could not be connected to."""

    parser: Protego | None = None
    closed: str = ""  # why everything is disallowed
    failure: Failure | None = None
    failures: int = 0  # in a row
    read_at: float = 0.0

    def verdict(self, url: str, token: str) -> Verdict:
        if self.closed:
            return Verdict(False, self.closed)
        if self.parser is None:
            return Verdict(True)
        delay = _delay(self.parser, token)
        if not self.parser.can_fetch(url, token):
            return Verdict(False, "robots.txt disallows it", delay)
        if delay is not None and delay > LONGEST_DELAY:
            return Verdict(False, f"robots.txt asks for {delay:g} s between requests", delay)
        return Verdict(True, delay=delay)


def _delay(parser: Protego, token: str) -> float | None:
    delay, rate = parser.crawl_delay(token), parser.request_rate(token)
    gaps = [] if delay is None else [float(delay)]
    if rate is not None:
        gaps.append(rate.seconds / rate.requests)
    return max(gaps, default=None)


class Robots:
    """Reads the robots.txt of each origin once and remembers it.

    A site that cannot be connected to is asked again, ``tries`` times in all. ``spawn`` starts a
    task, whose end the owner sees to.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        user_agent: str,
        tries: int = 1,
        spawn: Callable[[Coroutine[Any, Any, Rules]], asyncio.Task[Rules]] = asyncio.ensure_future,
    ) -> None:
        self._session, self.token, self._tries = session, product_token(user_agent), tries
        self._spawn = spawn
        self._known: dict[URL, Rules] = {}
        self._reading: dict[URL, asyncio.Task[Rules]] = {}

    async def verdict(self, url: URL) -> Verdict:
        """Raises ``Failure`` if the site cannot be connected to."""
        origin = url.origin()
        rules = self._known.get(origin)
        if rules is None or self._stale(rules):
            task = self._reading.get(origin)
            if task is None:
                task = self._spawn(self._read(origin, rules))
                self._reading[origin] = task
            # Others may be waiting for it too: it outlives whoever asked first.
            rules = await asyncio.shield(task)
        if rules.failure is not None:
            last = rules.failures >= self._tries
            failure = rules.failure
            raise Failure(
                failure.reason, passing=failure.passing, tries=1 if last else failure.tries
            )
        return rules.verdict(str(url), self.token)

    def _stale(self, rules: Rules) -> bool:
        if rules.failure is not None:
            return rules.failure.passing and rules.failures < self._tries
        return time.monotonic() - rules.read_at > _LIFETIME

    async def _read(self, origin: URL, before: Rules | None) -> Rules:
        try:
            try:
                rules = await self._rules(origin)
            except Failure as failure:
                failures = 1 if before is None else before.failures + 1
                rules = Rules(failure=failure, failures=failures)
            rules.read_at = time.monotonic()
            self._known[origin] = rules
            return rules
        finally:
            del self._reading[origin]

    async def _rules(self, origin: URL) -> Rules:
        for left in reversed(range(_TRIES)):
            status, body = await self._fetch(origin)
            if 0 < status < 500 and status != 429:
                break
            if left:
                await asyncio.sleep(0.5)
        else:
            why = f"HTTP {status}" if status else "no whole answer"
            return Rules(closed=f"robots.txt of {origin.host} cannot be read ({why})")
        if status != 200:
            return Rules()  # none there: all is allowed
        if len(body) < 10_000:
            return Rules(Protego.parse(body))
        # Half a megabyte of rules takes a good part of a second.
        return Rules(await asyncio.to_thread(Protego.parse, body))

    async def _fetch(self, origin: URL) -> tuple[int, str]:
        """Status and text, through redirects; status 0 for no whole answer. Raises ``Failure`` if
        the origin cannot be connected to."""
        url = origin.with_path("/robots.txt")
        for hop in range(_REDIRECTS + 1):
            try:
                with named():
                    async with (
                        asyncio.timeout(_TIMEOUT),
                        self._session.get(url, allow_redirects=False) as response,
                    ):
                        if response.status in (301, 302, 303, 307, 308):
                            url = url.join(URL(response.headers.get("Location", "")))
                            continue
                        if response.status != 200:
                            return response.status, ""
                        return 200, await _text(response)
            except Failure as failure:
                if hop == 0 and failure.reason in _NO_SITE:
                    raise
                return 0, ""
        return 404, ""  # too many redirects count as "there is none"


async def _text(response: aiohttp.ClientResponse) -> str:
    """The body's first ``MOST_BYTES``, cut at the end of a line."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= MOST_BYTES:
            break
    data = bytes(body)
    if response.headers.get("Content-Encoding", "").lower() == "gzip":
        data = _gunzip(data)
    if len(data) >= MOST_BYTES:
        data = data[:MOST_BYTES].rpartition(b"\n")[0]
    return data.decode("utf-8-sig", "replace")


def _gunzip(data: bytes) -> bytes:
    """At most ``MOST_BYTES`` of it; what is no gzip stays as it is."""
    try:
        return zlib.decompressobj(31).decompress(data, MOST_BYTES)
    except zlib.error:
        return data
