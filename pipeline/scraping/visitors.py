"""Threads that visit result pages, each with one browser that it reuses for many breeds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.scraping.browser import Browser, BrowserGone
from pipeline.scraping.frontier import Job
from pipeline.scraping.page import Outcome, Visit, visit
from pipeline.scraping.source_model import jittered
from pipeline.scraping.sources import Limits, Search
from pipeline.scraping.turns import Turns

ATTEMPTS = 3
RESTS = (1.0, 6.0)  # seconds, about, before the second and third attempt
IDLE = 3.0  # seconds without work after which a Grid gets its browser back: others may need it
VISITS_A_BROWSER = 50  # then a fresh one: what pages leave behind in memory goes with the old


class _Stopped(Exception):
    """The visitors were left; no thread says so to anybody."""


@dataclass(frozen=True)
class Request:
    """One search to visit for ``job``, up to ``wanted`` candidates."""

    job: Job
    search: Search
    wanted: int

    @property
    def source_name(self) -> str:
        return self.job.source.name

    @property
    def limits(self) -> Limits:
        return self.job.source.limits


class Visitors:
    """``workers`` threads, each with a browser that is started when its first visit is due.

    Of one source there are at most ``limits.visits`` visits at once, with ``limits.pause`` between
    them. A browser that crashes or hangs is replaced and its visit made again, as is a visit that
    reached nobody; after three attempts that is its outcome (``Outcome.OFFLINE``).

    Args:
        records: folder for the browsers' records.
        evidence: folder for pages and screenshots that a person has to see.
        pictures: whether pages load their pictures.
        on_visit: called with request and visit, from the threads (or from ``submit`` and
            ``stop_source``).
        on_crash: called with what ends a thread: a ``PipelineError`` when no browser can be had.
        grid_url: Selenium Grid that runs the browsers; None: this machine does.
        user_agent: sent to APIs.
        product: appended to the browsers' own User-Agent.

    Raises:
        ParamsError: ``grid_url`` is no address.
    """

    def __init__(
        self,
        workers: int,
        records: Path,
        evidence: Path,
        pictures: bool,
        on_visit: Callable[[Request, Visit], None],
        on_crash: Callable[[BaseException], None],
        grid_url: str | None = None,
        user_agent: str = "",
        product: str = "",
    ) -> None:
        self.evidence, self.user_agent = evidence, user_agent
        self.on_visit, self.on_crash = on_visit, on_crash
        self._turns: Turns[Request] = Turns()
        self._stopping = threading.Event()
        self._started = False  # whether a browser could ever be had
        self._browsers = [Browser(records, pictures, grid_url, product) for _ in range(workers)]
        self._threads = [
            threading.Thread(target=self._work, args=(browser,), name="visitor", daemon=True)
            for browser in self._browsers
        ]

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop at once: a visit under way fails because its browser is killed."""
        self._stopping.set()
        self._turns.close()
        start = time.monotonic()
        with ThreadPoolExecutor(len(self._browsers)) as killers:
            while alive := self._alive():
                waited = time.monotonic() - start
                # A full Grid's queue cannot be left; whoever is let in later sees the event.
                if waited > 20 or (waited > 2 and all(browser.queueing for browser in alive)):
                    return
                list(killers.map(lambda browser: browser.kill(), alive))
                time.sleep(0.05)

    def _alive(self) -> list[Browser]:
        pairs = zip(self._threads, self._browsers, strict=True)
        return [browser for thread, browser in pairs if thread.is_alive()]

    def submit(self, request: Request) -> None:
        why = self._turns.put(request)
        if why is not None:
            self.on_visit(request, Visit(Outcome.BLOCKED, detail=why))

    def stop_source(self, name: str, why: str) -> None:
        """End the work on a source: what waits, and what is submitted later, is not visited.

        Each such request is reported with the outcome BLOCKED and ``why`` as its detail. Visits
        under way come to their own end.
        """
        for request in self._turns.stop(name, why):
            self.on_visit(request, Visit(Outcome.BLOCKED, detail=why))

    def _work(self, browser: Browser) -> None:
        try:
            while (request := self._next(browser)) is not None:
                try:
                    seen = self._visit(browser, request)
                finally:
                    self._turns.done(request)
                self.on_visit(request, seen)
        except BaseException as error:
            if not self._stopping.is_set():
                self.on_crash(error)
        finally:
            browser.stop()

    def _next(self, browser: Browser) -> Request | None:
        try:
            return self._turns.take(IDLE if browser.remote and browser.running else None)
        except TimeoutError:
            browser.stop()
        return self._turns.take()

    def _visit(self, browser: Browser, request: Request) -> Visit:
        folder = self.evidence / f"{request.source_name}-{request.job.breed}"
        if request.job.source.kind == "api":
            from pipeline.scraping.api import visit_api  # here: only these sources need it

            what = (request.job.source, request.search, request.wanted)
            return visit_api(*what, self.user_agent, folder, sleep=self._stopping.wait)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                seen = self._attempt(browser, request, folder, last=attempt == ATTEMPTS)
            except BrowserGone as error:
                if self._stopping.is_set():
                    raise
                seen = Visit(Outcome.OFFLINE, detail=f"the browser broke down ({_reason(error)})")
            if seen.outcome is not Outcome.OFFLINE:
                return seen
            browser.stop()  # where nothing answers, the browser may be what is broken
            if attempt == ATTEMPTS or self._turns.stopped(request.source_name):
                break
            self._rest(max(RESTS[attempt - 1], request.limits.pause))
        return replace(seen, detail=f"{seen.detail}; tried {attempt} times")

    def _attempt(self, browser: Browser, request: Request, folder: Path, last: bool) -> Visit:
        if browser.served >= VISITS_A_BROWSER:
            browser.stop()
        while not browser.running:
            try:
                browser.start()
            except PipelineError as error:
                if browser.remote and any(other.running for other in self._browsers):
                    self._rest(RESTS[0])  # the Grid is full, of ours too: they will be done one day
                    continue
                # One that could be had before is worth waiting for: a hub may restart.
                if last or not self._started:
                    raise
                return Visit(Outcome.OFFLINE, detail=str(error))
            self._started = True
        browser.served += 1
        return visit(browser.driver, request.job.source, request.search, request.wanted, folder)

    def _rest(self, seconds: float) -> None:
        if self._stopping.wait(jittered(seconds)):
            raise _Stopped


def _reason(error: BaseException) -> str:
    text = str(getattr(error, "msg", None) or error).strip()
    return text.partition("\n")[0] or type(error).__name__
