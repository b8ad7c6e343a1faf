"""GET of JSON documents by the rules of this house: patient, bounded, and to no private network."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from pipeline.scraping.guard import is_open
from pipeline.scraping.outcome import Outcome, Stop

_ATTEMPTS = 4  # for 429, 5xx and broken connections
_LONGEST_REST = 90.0  # seconds; a site that asks for more is left for this run
_MAX_BYTES = 10 * 2**20
_DEADLINE = 60.0  # seconds for one answer to arrive


class Client:
    """GET of JSON documents: patient with what passes, bounded in time and size.

    Only the host and port of ``home``, which a person chose, may lie in a private network.
    """

    def __init__(
        self, home: str, user_agent: str, wait: float, sleep: Callable[[float], object]
    ) -> None:
        self.sleep = sleep
        self.last = b""  # body of the last answer
        self.pool = urllib3.PoolManager(
            headers={"User-Agent": user_agent, "Accept": "application/json"},
            timeout=urllib3.Timeout(connect=10, read=wait),
            retries=urllib3.Retry(None, connect=0, read=0, redirect=5, status=0, other=0),
        )
        self.pool.pool_classes_by_scheme = _guarded_pools(urllib3.util.parse_url(home))

    def ask(self, url: str) -> Any:
        """The document at ``url``.

        Raises:
            Stop: BLOCKED (401, 403, 429), OFFLINE (5xx, no answer), LAYOUT_CHANGED (other 4xx, no
                JSON, too large), after ``_ATTEMPTS`` where it can pass.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            status, pause = self.try_once(url)
            if status == 200:
                return self.document(url)
            passing = status is None or status == 429 or status >= 500
            if not passing or attempt == _ATTEMPTS or pause > _LONGEST_REST:
                break
            self.sleep(max(pause, random.uniform(0.5, 1.0) * 2 ** (attempt - 1)))
        asks = f" and asks to wait {pause:g} s" if pause > _LONGEST_REST else ""
        if status is None:
            raise Stop(Outcome.OFFLINE, f"{url} cannot be reached ({self.last.decode()})")
        if status in (401, 403, 429):
            raise Stop(Outcome.BLOCKED, f"{url} answered {status}{asks}")
        if status >= 500:
            raise Stop(Outcome.OFFLINE, f"{url} answered {status}{asks}")
        raise Stop(Outcome.LAYOUT_CHANGED, f"{url} answered {status}")

    def try_once(self, url: str) -> tuple[int | None, float]:
        """(status, seconds that the site asks to wait); status None: no whole answer."""
        try:
            answer = self.pool.request("GET", url, preload_content=False)
            try:
                self.last = b"".join(_bounded(answer))
            finally:
                answer.close()  # does nothing to a connection whose answer was read to its end
            return answer.status, _retry_after(answer.headers.get("Retry-After"))
        except (HTTPError, TimeoutError) as error:
            self.last = type(getattr(error, "reason", None) or error).__name__.encode()
            return None, 0.0

    def document(self, url: str) -> Any:
        if len(self.last) > _MAX_BYTES:
            raise Stop(Outcome.LAYOUT_CHANGED, f"{url} answered more than {_MAX_BYTES} bytes")
        try:
            return json.loads(self.last)
        except (ValueError, RecursionError):
            raise Stop(
                Outcome.LAYOUT_CHANGED, f"{url} answered something that is no JSON"
            ) from None


def _bounded(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """The body in pieces, to just above the limit. Raises TimeoutError when it takes too long."""
    deadline, size = time.monotonic() + _DEADLINE, 0
    while size <= _MAX_BYTES and (piece := answer.read(65536, decode_content=True)):
        size += len(piece)
        yield piece
        if time.monotonic() > deadline:
            raise TimeoutError


def _retry_after(text: str | None) -> float:
    """Seconds (an HTTP date: from now on), six hours at most; 0 where nothing sensible is said."""
    try:
        return max(urllib3.Retry().parse_retry_after(text), 0.0) if text else 0.0
    except (HTTPError, ValueError, OverflowError):  # a year of twenty digits
        return 0.0


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return []  # connecting will say so
    return [str(info[4][0]) for info in found]


def _guarded_pools(home: urllib3.util.Url) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Pools whose connections refuse private addresses before a word is said, but for ``home``."""
    own = (home.host, home.port or {"http": 80, "https": 443}.get(home.scheme or ""))

    class Guarded(HTTPConnection):
        def connect(self) -> None:
            if (self.host, self.port) == own:
                super().connect()
                return
            for address in _addresses(self.host, self.port):
                self.check(address)
            super().connect()
            self.check(self.sock.getpeername()[0])  # the name may mean something else by now

        def check(self, address: str) -> None:
            if not is_open(address, self.port):
                self.close()
                raise Stop(
                    Outcome.LAYOUT_CHANGED,
                    f"{home.url} leads to {self.host}:{self.port}, which is no public address",
                )

    class GuardedTLS(Guarded, HTTPSConnection): ...

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Guarded

    class PoolTLS(urllib3.HTTPSConnectionPool):
        ConnectionCls = GuardedTLS

    return {"http": Pool, "https": PoolTLS}
