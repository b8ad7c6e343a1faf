"""Threads that visit result pages, each with one browser that it reuses for many breeds."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pipeline.errors import PipelineError
from pipeline.scraping.browser import Browser, BrowserGone
from pipeline.scraping.frontier import Job
from pipeline.scraping.page import Visit, visit
from pipeline.scraping.sources import Search


@dataclass(frozen=True)
class Request:
    job: Job
    search: Search
    wanted: int


class Visitors:
    """``workers`` browsers, each started when its first visit is due.

    ``on_visit(request, visit)`` and ``on_crash(error)`` are called from the threads.
    """

    def __init__(
        self,
        workers: int,
        records: Path,
        evidence: Path,
        pictures: bool,
        on_visit: Callable[[Request, Visit], None],
        on_crash: Callable[[BaseException], None],
    ) -> None:
        self.evidence = evidence
        self.on_visit, self.on_crash = on_visit, on_crash
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._browsers = [Browser(records, pictures) for _ in range(workers)]
        self._threads = [
            threading.Thread(target=self._work, args=(browser,), name="visitor", daemon=True)
            for browser in self._browsers
        ]

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop at once: a visit under way fails because its browser is killed."""
        self._stopping.set()
        for _ in self._threads:
            self._requests.put(None)
        deadline = time.monotonic() + 20
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < deadline:
            for browser in self._browsers:
                browser.kill()
            for thread in self._threads:
                thread.join(0.1)

    def submit(self, request: Request) -> None:
        self._requests.put(request)

    def _work(self, browser: Browser) -> None:
        try:
            while (request := self._requests.get()) is not None and not self._stopping.is_set():
                self.on_visit(request, self._visit(browser, request))
        except BaseException as error:
            if not self._stopping.is_set():
                self.on_crash(error)
        finally:
            browser.stop()

    def _visit(self, browser: Browser, request: Request) -> Visit:
        """One visit; a browser that crashes or hangs is replaced once."""
        job = request.job
        for last in (False, True):
            try:
                if not browser.running:
                    browser.start()
                folder = self.evidence / f"{job.source.name}-{job.breed}"
                return visit(browser.driver, job.source, request.search, request.wanted, folder)
            except BrowserGone as error:
                browser.stop()
                if self._stopping.is_set():
                    raise
                if last:
                    reason = str(getattr(error, "msg", None) or error).strip().partition("\n")[0]
                    raise PipelineError(
                        f"the browser broke down twice at {job.source.name}, {job.breed} "
                        f"({reason}): what was fetched is kept, run again"
                    ) from None
        raise AssertionError("unreachable")
