"""Run one function over many items in processes, such that one bad item costs one item.

Pictures come from strangers: a decoder may crash, or hang in C where no exception reaches it. A
worker therefore runs each item under the kernel's alarm clock, whose default action ends the
process; when a worker dies for any reason, the items that were in flight are run again one by one,
and the one that kills a worker in which it was the first, or runs out of time, is given up.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from pipeline import sockets
from pipeline.progress import bar

MOST_MEMORY = 4 << 30  # bytes a worker may fill; the largest picture allowed takes a quarter

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    workers: int,
    what: str | None,
    unit: str,
    chunk: int = 16,
    seconds: float = 60.0,
) -> Iterator[tuple[int, R | None]]:
    """Yield (index, ``function(items[index])``) as they get done, under a progress bar.

    Args:
        function: importable by name; must not raise for an item that is merely bad.
        workers: processes; 0 means one per core.
        what: names the bar; None: no bar.
        seconds: an item that takes longer is given up.

    Yields:
        None in place of a result for an item whose process died twice.
    """
    if not items:
        return
    workers = min(workers or cores(), -(-len(items) // chunk))
    tasks = [range(start, min(start + chunk, len(items))) for start in range(0, len(items), chunk)]
    with bar(len(items), what, unit) as shown:
        while tasks:
            tasks, suspects = yield from _until_broken(
                function, items, tasks, workers, seconds, shown.update
            )
            for index, result in _one_by_one(function, items, suspects, seconds):
                yield index, result
                shown.update()


def _until_broken(
    function: Callable[[T], R],
    items: Sequence[T],
    tasks: list[range],
    workers: int,
    seconds: float,
    advance: Callable[[int], Any],
) -> Generator[tuple[int, R | None], None, tuple[list[range], list[int]]]:
    """Run chunks until all are done or a worker died.

    Returns (through ``yield from``) the chunks that never started and the items that were in
    flight when the pool broke.
    """
    waiting = list(reversed(tasks))
    flying: dict[Future[list[R]], range] = {}
    pool = _pool(workers)
    try:
        while waiting or flying:
            # Few chunks in flight: each is a suspect when a worker dies.
            while waiting and len(flying) < 2 * workers:
                task = waiting.pop()
                batch = [items[index] for index in task]
                flying[pool.submit(_run, function, batch, seconds)] = task
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            for future in done:
                results = future.result()
                task = flying.pop(future)
                yield from zip(task, results, strict=True)
                advance(len(task))
    except BrokenProcessPool:
        return list(reversed(waiting)), [index for task in flying.values() for index in task]
    finally:
        _stop(pool)
    return [], []


def _one_by_one(
    function: Callable[[T], R], items: Sequence[T], suspects: list[int], seconds: float
) -> Iterator[tuple[int, R | None]]:
    """The results of items any of which may end its process: None for those that do."""
    waiting = list(reversed(suspects))
    while waiting:
        pool = _pool(1)
        first = True  # the damage that ends a process may come from an item before
        try:
            while waiting:
                begun = time.monotonic()
                result = pool.submit(_run, function, [items[waiting[-1]]], seconds).result()[0]
                yield waiting.pop(), result
                first = False
        except BrokenProcessPool:
            if first or time.monotonic() - begun >= seconds:
                yield waiting.pop(), None
        finally:
            _stop(pool)


def _pool(workers: int) -> ProcessPoolExecutor:
    sockets.prepare()
    # A fork of a process with threads (progress bars, servers, BLAS) can hang on a lock for ever.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pipeline.pool", "PIL.Image", "numpy"])
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the workers now: on an error or Ctrl-C nobody waits for their chunks."""
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


def _begin() -> None:
    """Set up a worker: the parent alone answers Ctrl-C, and no worker outlives its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Beyond it there is a MemoryError, in place of a machine that ends whatever it likes.
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [limit for limit in (soft, hard, MOST_MEMORY) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
    threadpool_limits(1)  # the processes are the parallelism; BLAS threads on top only wait
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _run(function: Callable[[T], R], items: list[T], seconds: float) -> list[R]:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the alarm ends the process, even inside C
    results = []
    for item in items:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        results.append(function(item))
    signal.setitimer(signal.ITIMER_REAL, 0)
    return results
