"""One lane a host: how many downloads at once, how often, how fast, and when not at all.

Nothing here waits, connects or knows the time: the pool asks what may start now and says what
became of it. A host that asks for patience holds up its own lane and no other.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Mapping
from typing import Generic, TypeVar

from pipeline.scraping.source_model import HostLimits

__all__ = ["REFUSALS", "HostLimits", "Lane", "Lanes", "limits_for"]

REFUSALS = 8  # in a row, then a host is left alone for the rest of the run

T = TypeVar("T")


def limits_for(host: str, known: Mapping[str, HostLimits]) -> tuple[str, HostLimits]:
    """The entry of ``known`` for ``host``: itself, else the longest ``*.suffix``, else none.

    Returns:
        The key of the lane (the hosts of one ``*.suffix`` share one) and its limits.
    """
    if host in known:
        return host, known[host]
    suffixes = [key for key in known if key.startswith("*.") and host.endswith(key[1:])]
    if suffixes:
        key = max(suffixes, key=len)
        return key, known[key]
    return host, HostLimits()


class Lane(Generic[T]):
    """The queue of one host and what it allows. Times are seconds of any one clock.

    A new lane, and one that was refused, starts one item at a time until ``open`` says that the
    host answers.
    """

    def __init__(self, at_once: int, rate: float = 0, megabits: float = 0) -> None:
        self.at_once = at_once
        self.gap = 1 / rate if rate else 0.0  # seconds between two starts
        self.seconds_per_byte = 8 / (megabits * 1e6) if megabits else 0.0
        self.running = self.served = self.refusals = 0
        self.stopped = False
        self._fresh: deque[T] = deque()
        self._later: list[tuple[float, int, T]] = []  # a heap: what is tried again, by its time
        self._serial = itertools.count()
        self._narrow = True
        self._next_start = self._paused_until = self._refused_at = 0.0
        self._line_free = 0.0  # when the bytes so far are paid for
        self.turn: float | None = None  # the business of Lanes: its place in the list

    def __len__(self) -> int:
        return len(self._fresh) + len(self._later)

    def add(self, item: T, not_before: float | None = None) -> None:
        if not_before is None:
            self._fresh.append(item)
        else:
            heapq.heappush(self._later, (not_before, next(self._serial), item))

    def due(self) -> float | None:
        """When the next item may start; None while there is none, or no room for it."""
        if self.running >= (1 if self._narrow else self.at_once) or not len(self):
            return None
        first = 0.0 if self._fresh else self._later[0][0]
        return max(first, self._paused_until, self._next_start)

    def start(self, now: float) -> T:
        """Take the next item out; what is tried again goes before what is new."""
        self.running += 1
        self._next_start = max(now, self._next_start) + self.gap
        if self._later and self._later[0][0] <= now:
            return heapq.heappop(self._later)[2]
        return self._fresh.popleft()

    def finish(self) -> None:
        self.running -= 1
        self.served += 1

    def slow_down(self, gap: float) -> None:
        """At least ``gap`` seconds from one start to the next (robots.txt asks for it)."""
        self._next_start += max(0.0, gap - self.gap)
        self.gap = max(self.gap, gap)

    def open(self) -> None:
        """The host answers and lets us in: use all the room there is."""
        self._narrow, self.refusals = False, 0

    def pause(self, now: float, seconds: float) -> None:
        """Start nothing for so long, then one at a time until ``open``."""
        self._paused_until = max(self._paused_until, now + seconds)
        self._narrow = True

    def refuse(self, now: float, began: float) -> bool:
        """Count a refusal of what began at ``began``; True once that were too many in a row.

        Requests that were under way when the host refused are one refusal with it.
        """
        self._narrow = True
        if began >= self._refused_at:
            self.refusals += 1
            self._refused_at = now
        self.stopped = self.stopped or self.refusals >= REFUSALS
        return self.stopped

    def spend(self, count: int, now: float) -> float:
        """Seconds to wait after ``count`` bytes so that the lane keeps its bandwidth."""
        if not self.seconds_per_byte:
            return 0.0
        self._line_free = max(self._line_free, now) + count * self.seconds_per_byte
        return self._line_free - now

    def drain(self) -> list[T]:
        """Take everything out that has not started."""
        items = [*self._fresh, *(item for _, _, item in sorted(self._later))]
        self._fresh.clear()
        self._later.clear()
        return items


class Lanes(Generic[T]):
    """All lanes, and whose turn it is: the lane that has been able to start for longest."""

    def __init__(
        self, at_once: int, rate: float = 0, hosts: Mapping[str, HostLimits] | None = None
    ) -> None:
        self.at_once, self.rate = at_once, rate
        self._hosts = dict(hosts or {})
        self._lanes: dict[str, Lane[T]] = {}
        self._turns: list[tuple[float, int, Lane[T]]] = []  # a heap
        self._serial = itertools.count()

    def lane(self, host: str) -> Lane[T]:
        lane = self._lanes.get(host)
        if lane is None:
            key, own = limits_for(host, self._hosts)
            lane = self._lanes.get(key)
            if lane is None:
                lane = Lane(own.at_once or self.at_once, own.rate or self.rate, own.megabits)
            self._lanes[key] = self._lanes[host] = lane
        return lane

    def enlist(self, lane: Lane[T], now: float) -> None:
        """Let ``lane`` have its turn; to be called whenever something in it has changed."""
        due = lane.due()
        if due is not None and (lane.turn is None or max(due, now) < lane.turn):
            lane.turn = max(due, now)
            heapq.heappush(self._turns, (lane.turn, next(self._serial), lane))

    def take(self, now: float) -> tuple[Lane[T], T] | None:
        """Start the next item that may start now."""
        while self._turns and self._turns[0][0] <= now:
            when, _, lane = heapq.heappop(self._turns)
            if when != lane.turn:
                continue  # it got an earlier turn since
            lane.turn = None
            due = lane.due()
            if due is not None and due <= now:
                item = lane.start(now)
                self.enlist(lane, now)
                return lane, item
            self.enlist(lane, now)
        return None

    def next_time(self) -> float | None:
        """Before this time ``take`` has nothing; None if only a change can help."""
        return self._turns[0][0] if self._turns else None
