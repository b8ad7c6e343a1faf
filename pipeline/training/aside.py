"""Pictures drawn beside the training, from weights as they were when it was time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch


class Aside:
    """A thread, and on CUDA a stream, of its own for drawing; without it drawing comes between.

    On a CPU there is nothing to gain: both would share its cores.
    """

    def __init__(self, wanted: bool) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="samples") if wanted else None
        self._coming: list[tuple[int, Future[Any]]] = []

    def draw(self, nimg: int, work: Callable[[], Any]) -> None:
        """Have ``work`` done; what it returns comes out of ``finished`` with ``nimg``."""
        done: Future[Any]
        if self._thread is None:
            done = Future()
            done.set_result(work())
        else:
            ready = torch.cuda.current_stream().record_event() if _cuda() else None
            done = self._thread.submit(_on_own_stream, work, ready)
        self._coming.append((nimg, done))

    def finished(self, wait: bool = False) -> Iterator[tuple[int, Any]]:
        """What is done, oldest first, each once; with ``wait`` all that was asked for."""
        while self._coming and (wait or self._coming[0][1].done()):
            nimg, done = self._coming.pop(0)
            yield nimg, done.result()

    def close(self) -> None:
        """Wait for what is being drawn, and drop what is not begun."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)


def _on_own_stream(work: Callable[[], Any], ready: torch.cuda.Event | None) -> Any:
    if ready is None:
        return work()
    stream = torch.cuda.Stream()
    stream.wait_event(ready)  # the weights it draws from are copied by then
    with torch.cuda.stream(stream):
        return work()


def _cuda() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_initialized()
