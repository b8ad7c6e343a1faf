"""One request: from an address to content in the store, to another address or to a failure."""

from __future__ import annotations

import asyncio
import email.utils
import os
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
from yarl import URL

from pipeline.raw import Content
from pipeline.scraping.failures import Failure, named
from pipeline.scraping.hosts import Lane
from pipeline.scraping.partials import Body, Partials, validator
from pipeline.scraping.robots import opted_out


class Moved(Exception):
    """The answer was a redirect to ``url``."""

    def __init__(self, url: URL) -> None:
        super().__init__(str(url))
        self.url = url


def address_of(url: str | URL) -> URL:
    """Raises ``ValueError`` for what is no address of the web."""
    address = URL(url)
    if address.scheme not in ("http", "https") or not address.host:
        raise ValueError(f"{url}: no address of the web")
    return address


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """Seconds that a Retry-After header asks for (a number or a date); None without."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = date.timestamp() - (time.time() if now is None else now)
    return max(seconds, 0.0) if seconds == seconds else None


class Fetcher:
    """Makes the requests. Inside ``with`` it has the threads that examine what came.

    ``token`` is our name in X-Robots-Tag; bodies of more than ``max_bytes`` are refused.
    """

    def __init__(
        self, session: aiohttp.ClientSession, partials: Partials, token: str, max_bytes: int
    ) -> None:
        self._session, self._partials = session, partials
        self._token, self._max_bytes = token, max_bytes

    def __enter__(self) -> Fetcher:
        # Decoding holds a core for milliseconds: more threads than cores only get in the way.
        self._decoders = ThreadPoolExecutor(os.cpu_count() or 1, "decode")
        return self

    def __exit__(self, *_: object) -> None:
        self._decoders.shutdown(cancel_futures=True)

    async def fetch(self, lane: Lane[Any], url: str, address: URL, seconds: float) -> Body:
        """The whole body at ``address``, a hop of ``url``, within so many seconds.

        Raises:
            Failure: why there is none.
            Moved: to another address.
        """
        body = Body(self._partials, url)
        try:
            with named():
                async with asyncio.timeout(max(seconds, 0.01)):
                    while not await self._request(lane, address, body):
                        pass  # a range that does not fit: once more, from the start
        except Failure as failure:
            if failure.reason == "cut_short" and not body.resumable:
                failure.tries = failure.tries or 2  # it begins anew each time
            # Half a body is worth keeping if the next attempt can go on from there.
            body.leave(keep=failure.passing)
            raise
        except BaseException as error:
            body.leave(keep=isinstance(error, (asyncio.CancelledError, Moved)))
            raise
        return body

    async def take_in(self, body: Body) -> Content:
        """What a whole body is, when it has its place in the store."""
        job = self._decoders.submit(body.take_in)
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            if job.cancel():
                body.leave(keep=True)
            raise

    async def _request(self, lane: Lane[Any], address: URL, body: Body) -> bool:
        """Whether ``body`` is whole now; if not, it is to begin anew."""
        headers = body.request()
        if not lane.served and not len(lane):
            headers["Connection"] = "close"  # this host may well have no other picture
        async with self._session.get(address, headers=headers, allow_redirects=False) as response:
            if response.status in (301, 302, 303, 307, 308) and "Location" in response.headers:
                raise Moved(address_of(address.join(URL(response.headers["Location"]))))
            if (what := _check_status(response.status, response.headers, body)) is not None:
                return what
            if opted_out(response.headers, self._token):
                raise Failure("opted_out", status=response.status)
            announced = response.content_length
            if announced is not None and body.size + announced > self._max_bytes:
                raise Failure("too_large")
            while data := await response.content.readany():
                if body.size + len(data) > self._max_bytes:
                    raise Failure("too_large")
                body.write(data)
                if wait := lane.spend(len(data), time.monotonic()):
                    await asyncio.sleep(wait)
        return True


def _check_status(status: int, headers: Mapping[str, str], body: Body) -> bool | None:
    """None: what ``body`` lacks follows. Else whether it is whole; if not, it is to begin anew.

    Raises:
        Failure: there is no body.
    """
    wait = retry_after(headers.get("Retry-After"))
    if status == 429:
        raise Failure("rate_limited", passing=True, status=status, wait=wait)
    if status >= 500:
        raise Failure("server_error", passing=True, status=status, wait=wait)
    if status in (404, 410):
        raise Failure("dead_link", status=status)
    if status in (401, 403, 451):
        raise Failure("forbidden", status=status)
    if status == 200:
        body.restart(validator(headers, status))
        return None
    if not body.size or status not in (206, 416):
        raise Failure("refused", status=status)
    place = headers.get("Content-Range", "").strip()
    if body.is_of(headers):
        if status == 416 and place == f"bytes */{body.size}":  # else it were a 200
            return True
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", place)
        if found and int(found[1]) == body.size and int(found[2]) + 1 == int(found[3]):
            return None
    body.restart()
    return False
