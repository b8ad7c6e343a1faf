"""A bounded pool of downloads in a thread of its own. No answer of a server is believed.

Every body is counted while it streams, hashed, decoded and only then takes its place in the store.
Failures that can pass are tried again later, without holding a connection while they wait. Each hop
of a redirect is a request of its own: it waits in the lane of its host and asks that host's
robots.txt.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
from yarl import URL

from pipeline.raw import Content, Store
from pipeline.scraping.failures import Failure, named
from pipeline.scraping.fetch import Fetcher, Moved, address_of
from pipeline.scraping.guard import guarded_sockets
from pipeline.scraping.hosts import HostLimits, Lane, Lanes
from pipeline.scraping.partials import Body, Partials
from pipeline.scraping.robots import Robots, Verdict

REDIRECTS = 5
LONGEST_PAUSE = 600.0  # seconds; a host that asks for a longer one is left alone in this run
_CONNECT = 10.0  # seconds
_FIRST_BACK_OFF, _LONGEST_BACK_OFF = 0.5, 60.0  # seconds
_PATIENCE = 120.0  # seconds for a verdict


Key = tuple[str, str]  # the ledger's: base and written-down URL


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the pool may do, and what each host gets where ``hosts`` names nothing else."""

    connections: int = 8
    per_host: int = 4  # connections to one host
    rate: float = 0.0  # requests a second to one host; 0: no limit
    timeout: float = 30.0  # seconds for one attempt, from connecting to the last byte
    retries: int = 4  # attempts in all
    max_bytes: int = 26_214_400
    user_agent: str = "breed-diffusion"
    allowed: frozenset[tuple[str, int]] = frozenset()  # private (IP, port) pairs let through
    hosts: Mapping[str, HostLimits] = field(default_factory=dict)  # by host or ``*.suffix``


@dataclass(frozen=True)
class Result:
    """How one URL ended: ``content`` and when, or the ``reason`` why there is none.

    ``lasting`` reasons (the page is gone, the file too large, …) are not tried again by a later
    run; the others are. ``final_url`` is where redirects led, None without any.
    """

    content: Content | None = None
    fetched_at: str | None = None
    reason: str | None = None
    lasting: bool = True
    status: int | None = None
    attempts: int = 1
    final_url: str | None = None


@dataclass(slots=True)
class _Ticket:
    """One URL on its way. ``address`` is the hop it is at, ``spent`` the seconds of the others."""

    url: str
    key: Key
    address: URL
    attempts: int = 0
    hops: int = 0
    spent: float = 0.0
    status: int | None = None


class Downloads:
    """Fetches URLs side by side, as fast as each host allows.

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
        self._thread = threading.Thread(target=self._run, name="downloads", daemon=True)
        self._main: asyncio.Task[None] | None = None
        self._ready = threading.Event()
        self._partials = Partials(store)
        self._lanes: Lanes[_Ticket] = Lanes(limits.per_host, limits.rate, limits.hosts)
        self._free = limits.connections
        self._examining = 0
        self._open = False
        self._timer: asyncio.TimerHandle | None = None
        self._group: asyncio.TaskGroup
        self._robots: Robots
        self._fetcher: Fetcher

    def __enter__(self) -> Downloads:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join(10)

    def submit(self, url: str, key: Key) -> None:
        """Have ``url`` fetched; ``on_result`` hears of it exactly once. From any thread."""
        with contextlib.suppress(RuntimeError):  # ended by itself, and ``on_crash`` has heard of it
            self._loop.call_soon_threadsafe(self._accept, url, key)

    def may_visit(self, url: str) -> Verdict:
        """What the robots.txt of its site says of ``url``. From any thread but the pool's; waits
        for the answer of the site."""
        asking = self._ask(url)
        try:
            return asyncio.run_coroutine_threadsafe(asking, self._loop).result(_PATIENCE)
        except TimeoutError:
            return Verdict(False, "robots.txt does not arrive")
        except (RuntimeError, CancelledError):
            asking.close()
            return Verdict(False, "the downloads have ended")

    async def _ask(self, url: str) -> Verdict:
        try:
            with named():
                return await self._robots.verdict(address_of(url))
        except Failure as failure:
            return Verdict(False, f"robots.txt cannot be read: {failure.reason}")

    def _cancel(self) -> None:
        self._open = False
        if self._main is not None:
            self._main.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._main = self._loop.create_task(self._serve())
        try:
            self._loop.run_until_complete(self._main)
        except asyncio.CancelledError:
            pass
        except BaseExceptionGroup as group:
            self.on_crash(group.exceptions[0])
        except BaseException as error:
            self.on_crash(error)
        finally:
            self._end()

    def _end(self) -> None:
        self._open = False
        left = asyncio.all_tasks(self._loop)
        for task in left:  # somebody's question about robots.txt
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._partials.tidy()
        self._ready.set()
        self._loop.close()

    async def _serve(self) -> None:
        limits = self.limits
        # Names are looked up in threads; a slow name server must not stop the others.
        self._loop.set_default_executor(ThreadPoolExecutor(16, "names"))
        connector = aiohttp.TCPConnector(
            limit=0,  # the lanes count
            ttl_dns_cache=60,
            socket_factory=guarded_sockets(limits.allowed),
        )
        session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT),
            headers={
                "User-Agent": limits.user_agent,
                "Accept": "image/*,*/*;q=0.5",
                "Accept-Encoding": "identity",  # pictures are compressed; true lengths
            },
            auto_decompress=False,  # no bombs
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=1 << 18,
        )
        async with session, asyncio.TaskGroup() as self._group:
            spawn = self._group.create_task
            self._robots = Robots(session, limits.user_agent, limits.retries, spawn)
            with Fetcher(
                session, self._partials, self._robots.token, limits.max_bytes
            ) as self._fetcher:
                self._open = True
                self._ready.set()
                self._pump()
                await asyncio.Event().wait()

    def _accept(self, url: str, key: Key) -> None:
        try:
            ticket = _Ticket(url, key, address_of(url))
        except ValueError:
            self.on_result(key, Result(reason="bad_address"))
            return
        self._queue(ticket)
        self._pump()

    def _queue(self, ticket: _Ticket, not_before: float | None = None) -> None:
        lane = self._lanes.lane(ticket.address.host or "")
        if lane.stopped:
            self._give_up(ticket)
            return
        lane.add(ticket, not_before)
        self._lanes.enlist(lane, self._loop.time())

    def _pump(self) -> None:
        """Start whatever may start, and come back when the next may."""
        if not self._open:
            return
        now = self._loop.time()
        # Whole bodies wait in memory until a core has time for them: not more of them than
        # connections.
        room = self._examining < self.limits.connections
        while self._free and room and (taken := self._lanes.take(now)):
            self._free -= 1
            self._group.create_task(self._work(*taken))
        when = self._lanes.next_time() if self._free and room else None
        if self._timer is not None and self._timer.when() != when:
            self._timer.cancel()
            self._timer = None
        if self._timer is None and when is not None:
            self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._pump()

    async def _work(self, lane: Lane[_Ticket], ticket: _Ticket) -> None:
        try:
            body = await self._attempt(lane, ticket)
            if body is not None:
                await self._take_in(ticket, body)
        except BaseException:
            self._open = False  # the pool ends: nothing new begins
            raise

    async def _attempt(self, lane: Lane[_Ticket], ticket: _Ticket) -> Body | None:
        """One request, counted in its lane. None if anything but a whole body came of it."""
        began = self._loop.time()
        ticket.attempts += ticket.hops == 0
        try:
            await self._ask_robots(lane, ticket)
            seconds = self.limits.timeout - ticket.spent
            body = await self._fetcher.fetch(lane, ticket.url, ticket.address, seconds)
            lane.open()
            return body
        except Moved as moved:
            ticket.spent += self._loop.time() - began
            self._moved(lane, ticket, moved.url)
        except Failure as failure:
            self._failed(lane, ticket, failure, began)
        finally:
            lane.finish()
            self._free += 1
            self._lanes.enlist(lane, self._loop.time())
            self._pump()
        return None

    async def _take_in(self, ticket: _Ticket, body: Body) -> None:
        """The connection is free again while a core is busy with the picture."""
        fetched_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._examining += 1
        content = await self._fetcher.take_in(body)
        self._examining -= 1
        final = str(ticket.address) if ticket.hops else None
        result = Result(content, fetched_at, attempts=ticket.attempts, final_url=final)
        self.on_result(ticket.key, result)
        self._pump()

    async def _ask_robots(self, lane: Lane[_Ticket], ticket: _Ticket) -> None:
        verdict = await self._robots.verdict(ticket.address)
        if verdict.delay is not None:
            lane.slow_down(verdict.delay)
        if not lane.served:
            lane.open()
            self._lanes.enlist(lane, self._loop.time())
            self._pump()
        if not verdict.allowed:
            raise Failure("robots", passing=True, tries=1)

    def _moved(self, lane: Lane[_Ticket], ticket: _Ticket, url: URL) -> None:
        lane.open()
        ticket.hops, ticket.address = ticket.hops + 1, url
        if ticket.hops > REDIRECTS:
            self._give_up(ticket, Failure("redirect_loop"))
        else:
            self._queue(ticket, self._loop.time())

    def _failed(self, lane: Lane[_Ticket], ticket: _Ticket, failure: Failure, began: float) -> None:
        """Try again later, or report; and let the host's lane know."""
        now = self._loop.time()
        wait = back_off(ticket.attempts) if failure.wait is None else failure.wait
        ticket.status = failure.status
        if failure.status in (403, 429, 503):
            lane.refuse(now, began)
            if failure.status != 403:
                lane.pause(now, wait)
                lane.stopped = lane.stopped or wait > LONGEST_PAUSE
        elif failure.status is not None and failure.status < 500:
            lane.open()
        tries = min(failure.tries or self.limits.retries, self.limits.retries)
        if failure.passing and ticket.attempts < tries:
            if failure.reason == "unreachable":
                lane.pause(now, wait)
            ticket.address, ticket.hops, ticket.spent = address_of(ticket.url), 0, 0.0
            self._queue(ticket, now + wait)
        else:
            self._give_up(ticket, failure)
        if lane.stopped:
            for other in lane.drain():
                self._give_up(other)

    def _give_up(self, ticket: _Ticket, failure: Failure | None = None) -> None:
        """Report the end of it; without a ``failure`` because its host is left alone now."""
        result = Result(
            reason="host_stopped" if failure is None else failure.reason,
            lasting=failure is not None and not failure.passing,
            status=ticket.status if failure is None else failure.status,
            attempts=ticket.attempts,
            final_url=str(ticket.address) if ticket.hops else None,
        )
        self.on_result(ticket.key, result)


def back_off(attempts: int) -> float:
    """Seconds to wait after so many attempts: doubling, with full jitter."""
    longest = min(_FIRST_BACK_OFF * 2 ** (attempts - 1), _LONGEST_BACK_OFF)
    return random.uniform(0.1, 1.0) * longest
