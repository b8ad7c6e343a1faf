"""Whose turn it is: visits in the order they were asked for, as far as each source allows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pipeline.scraping.sources import Limits


class HasLimits(Protocol):
    """Something to be done at a source."""

    @property
    def source_name(self) -> str: ...

    @property
    def limits(self) -> Limits: ...


T = TypeVar("T", bound=HasLimits)


@dataclass
class _Lane:
    under_way: int = 0
    free_at: float = 0.0
    stopped: str | None = None


class Turns(Generic[T]):
    """A queue for several threads.

    A source has at most ``limits.visits`` under way, and rests ``limits.pause`` seconds, somewhat
    irregularly, before each but its first. While one rests the others go on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: list[T] = []
        self._lanes: dict[str, _Lane] = {}
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: T) -> str | None:
        """Queue it; or, if its source was stopped, say why."""
        with self._changed:
            lane = self._lanes.setdefault(item.source_name, _Lane())
            if lane.stopped is None:
                self._waiting.append(item)
                self._changed.notify_all()
            return lane.stopped

    def take(self, patience: float | None = None) -> T | None:
        """The first whose source is free, as soon as there is one; None once closed.

        Raises:
            TimeoutError: there was none for ``patience`` seconds.
        """
        end = None if patience is None else self._clock() + patience
        with self._changed:
            while not self._closed:
                now = self._clock()
                for item in self._waiting:
                    if self._is_free(item, now):
                        self._waiting.remove(item)
                        self._lanes[item.source_name].under_way += 1
                        self._rest(item)
                        return item
                if end is not None and now >= end:
                    raise TimeoutError
                rests = [self._until_one_is_free(now), end and end - now]
                self._changed.wait(min((rest for rest in rests if rest is not None), default=None))
        return None

    def done(self, item: T) -> None:
        with self._changed:
            self._lanes[item.source_name].under_way -= 1
            self._rest(item)
            self._changed.notify_all()

    def stop(self, source_name: str, why: str) -> list[T]:
        """Take back all that waits for a source, and queue nothing more for it."""
        with self._changed:
            self._lanes.setdefault(source_name, _Lane()).stopped = why
            dropped = [item for item in self._waiting if item.source_name == source_name]
            self._waiting = [item for item in self._waiting if item.source_name != source_name]
            return dropped

    def stopped(self, source_name: str) -> bool:
        with self._changed:
            return self._lanes.setdefault(source_name, _Lane()).stopped is not None

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _is_free(self, item: T, now: float) -> bool:
        lane = self._lanes[item.source_name]
        return lane.under_way < item.limits.visits and lane.free_at <= now

    def _rest(self, item: T) -> None:
        lane = self._lanes[item.source_name]
        lane.free_at = max(lane.free_at, self._clock() + item.limits.jittered_pause())

    def _until_one_is_free(self, now: float) -> float | None:
        lanes = {item.source_name: self._lanes[item.source_name] for item in self._waiting}
        rests = [lane.free_at - now for lane in lanes.values() if lane.free_at > now]
        return min(rests, default=None)
