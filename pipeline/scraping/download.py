"""A bounded pool of downloads in a thread of its own. No answer of a server is believed.

Every body is counted while it streams, goes to a temporary file, is hashed, decoded and only then
takes its place in the store. Failures that can pass are tried again later, without holding a
connection while they wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import aiohttp

from pipeline.raw import Content, Store, examine
from pipeline.scraping.guard import REFUSED, guarded_sockets

REDIRECTS = 5
_CONNECT = 10.0  # seconds
_FIRST_BACK_OFF, _LONGEST_BACK_OFF = 0.5, 60.0  # seconds


Key = tuple[str, str]  # the ledger's: base and written-down URL


@dataclass(frozen=True)
class Limits:
    connections: int = 8
    timeout: float = 30.0  # seconds for one attempt, from connecting to the last byte
    retries: int = 4  # attempts in all
    max_bytes: int = 26_214_400
    user_agent: str = "breed-diffusion"
    allowed: frozenset[tuple[str, int]] = frozenset()  # private (IP, port) pairs let through


@dataclass(frozen=True)
class Result:
    """How one URL ended: ``content`` and when, or the ``reason`` why there is none.

    ``lasting`` reasons (the page is gone, the file too large, …) are not tried again by a later
    run; the others are.
    """

    content: Content | None = None
    fetched_at: str | None = None
    reason: str | None = None
    lasting: bool = True
    status: int | None = None
    attempts: int = 1


class _Failure(Exception):
    """An attempt that failed. ``tries`` bounds the attempts for this cause (0: as configured)."""

    def __init__(
        self,
        reason: str,
        *,
        passing: bool = False,
        status: int | None = None,
        wait: float | None = None,
        tries: int = 0,
    ) -> None:
        super().__init__(reason)
        self.reason, self.passing, self.status = reason, passing, status
        self.wait, self.tries = wait, tries


@dataclass
class _Ticket:
    url: str
    key: Key
    attempts: int = 0


class Downloads:
    """Fetches URLs side by side.

    ``on_result(key, result)`` and, if the pool itself fails (a full disk), ``on_crash(error)`` are
    called from the pool's thread.
    """

    def __init__(
        self,
        store: Store,
        limits: Limits,
        on_result: Callable[[Key, Result], None],
        on_crash: Callable[[BaseException], None],
    ) -> None:
        self.store, self.limits = store, limits
        self.on_result, self.on_crash = on_result, on_crash
        self._loop = asyncio.new_event_loop()
        self._queue: asyncio.Queue[_Ticket] = asyncio.Queue()
        self._thread = threading.Thread(target=self._run, name="downloads", daemon=True)
        self._main: asyncio.Task[None] | None = None
        self._ready = threading.Event()

    def __enter__(self) -> Downloads:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join(10)

    def submit(self, url: str, key: Key) -> None:
        self._loop.call_soon_threadsafe(self._queue.put_nowait, _Ticket(url, key))

    def _cancel(self) -> None:
        if self._main is not None:
            self._main.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._main = self._loop.create_task(self._serve())
        self._loop.call_soon(self._ready.set)
        try:
            self._loop.run_until_complete(self._main)
        except asyncio.CancelledError:
            pass
        except BaseExceptionGroup as group:
            self.on_crash(group.exceptions[0])
        except BaseException as error:
            self.on_crash(error)
        finally:
            self._ready.set()
            self._loop.close()

    async def _serve(self) -> None:
        limits = self.limits
        connector = aiohttp.TCPConnector(
            limit=limits.connections, socket_factory=guarded_sockets(limits.allowed)
        )
        timeout = aiohttp.ClientTimeout(total=limits.timeout, sock_connect=_CONNECT)
        headers = {
            "User-Agent": limits.user_agent,
            "Accept": "image/*,*/*;q=0.5",
            "Accept-Encoding": "identity",  # pictures are compressed; no bombs, true lengths
        }
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(limits.connections):
                group.create_task(self._work(session))

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while True:
            ticket = await self._queue.get()
            ticket.attempts += 1
            try:
                content = await fetch(session, ticket.url, self.store, self.limits.max_bytes)
            except _Failure as failure:
                self._failed(ticket, failure)
            else:
                now = datetime.now(UTC).isoformat(timespec="seconds")
                self.on_result(ticket.key, Result(content, now, attempts=ticket.attempts))

    def _failed(self, ticket: _Ticket, failure: _Failure) -> None:
        tries = min(failure.tries or self.limits.retries, self.limits.retries)
        if failure.passing and ticket.attempts < tries:
            wait = back_off(ticket.attempts) if failure.wait is None else failure.wait
            self._loop.call_later(wait, self._queue.put_nowait, ticket)
            return
        result = Result(
            reason=failure.reason,
            lasting=not failure.passing,
            status=failure.status,
            attempts=ticket.attempts,
        )
        self.on_result(ticket.key, result)


def back_off(attempts: int) -> float:
    """Seconds to wait after so many attempts: doubling, with full jitter."""
    longest = min(_FIRST_BACK_OFF * 2 ** (attempts - 1), _LONGEST_BACK_OFF)
    return random.uniform(0.1, 1.0) * longest


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """Seconds that a Retry-After header asks for (a number or a date), capped; None without."""
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
    return min(max(seconds, 0.0), _LONGEST_BACK_OFF) if seconds == seconds else None


async def fetch(session: aiohttp.ClientSession, url: str, store: Store, max_bytes: int) -> Content:
    """One attempt: the content of ``url``, already in the store. Raises ``_Failure``."""
    temporary = store.temporary()
    try:
        async with session.get(url, max_redirects=REDIRECTS) as response:
            _check_status(response)
            await _receive(response, temporary, max_bytes)
        # Decoding holds a core for milliseconds; the other downloads must not wait for it.
        return await asyncio.to_thread(_take_in, temporary, store)
    except aiohttp.TooManyRedirects:
        raise _Failure("redirect_loop") from None
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, ValueError):
        raise _Failure("bad_address") from None
    except TimeoutError:
        raise _Failure("timeout", passing=True) from None
    except aiohttp.ClientPayloadError:  # fewer bytes than Content-Length announced
        raise _Failure("cut_short", passing=True, tries=2) from None
    except aiohttp.ClientConnectorError as error:
        if REFUSED in str(error.os_error):
            raise _Failure("private_address") from None
        raise _Failure("unreachable", passing=True) from None
    except (aiohttp.ClientError, ConnectionError):
        raise _Failure("connection_lost", passing=True) from None
    finally:
        temporary.unlink(missing_ok=True)


def _check_status(response: aiohttp.ClientResponse) -> None:
    status = response.status
    wait = retry_after(response.headers.get("Retry-After"))
    if status == 429:
        raise _Failure("rate_limited", passing=True, status=status, wait=wait)
    if status >= 500:
        raise _Failure("server_error", passing=True, status=status, wait=wait)
    if status in (404, 410):
        raise _Failure("dead_link", status=status)
    if status in (401, 403, 451):
        raise _Failure("forbidden", status=status)
    if status != 200:
        raise _Failure("refused", status=status)


async def _receive(response: aiohttp.ClientResponse, temporary: Path, max_bytes: int) -> None:
    announced = response.content_length
    if announced is not None and announced > max_bytes:
        raise _Failure("too_large")
    got = 0
    with temporary.open("wb") as file:
        async for chunk in response.content.iter_chunked(1 << 16):
            got += len(chunk)
            if got > max_bytes:
                raise _Failure("too_large")
            file.write(chunk)


def _take_in(temporary: Path, store: Store) -> Content:
    content = examine(temporary.read_bytes())
    if not store.has(content):
        store.adopt(temporary, content)
    return content
