"""The work itself: two kinds of threads report to one queue, and the main thread alone decides.

Browsers find, a pool fetches, the ledger remembers. Only the main thread writes the ledger and
moves the jobs on. That keeps Ctrl-C simple (signals reach only the main thread) and the result
independent of timing.
"""

from __future__ import annotations

import queue
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.errors import Interrupted, PipelineError, refused
from pipeline.params import ScrapeParams
from pipeline.raw import Store
from pipeline.scraping.board import Board
from pipeline.scraping.download import Downloads, Limits, Result
from pipeline.scraping.frontier import Entry, Job
from pipeline.scraping.guard import resolve
from pipeline.scraping.ledger import Ledger, unusable
from pipeline.scraping.page import Outcome, Visit
from pipeline.scraping.site import Site, user_agent
from pipeline.scraping.sources import HostLimits, Search, Source
from pipeline.scraping.visitors import Request, Visitors

OnEvent = Callable[[str, dict[str, Any]], None]
PATIENCE = 3  # searches of a source that may fail one after the other before it is given up


class Run:
    """One run over all ``jobs``. ``stopped`` says which sources were given up, and why."""

    def __init__(
        self,
        params: ScrapeParams,
        folder: Path,
        jobs: list[Job],
        sites: Mapping[str, Site],
        ledger: Ledger,
        store: Store,
        on_event: OnEvent,
        refresh: bool = False,
    ) -> None:
        self.params, self.jobs, self.sites, self.ledger, self.store = (
            params, jobs, sites, ledger, store,
        )  # fmt: skip
        self.on_event, self.refresh = on_event, refresh
        self.events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.fetching: dict[tuple[str, str], list[tuple[Job, Entry]]] = {}
        self.stopped: dict[str, str] = {}
        self.misses: Counter[str] = Counter()
        self.board = Board(jobs)
        agent = user_agent(params)
        sources = {job.source.name: job.source for job in jobs}
        self.downloads = Downloads(
            store,
            self.limits(agent, sources),
            on_result=lambda key, result: self.events.put(lambda: self.fetched(key, result)),
            on_crash=self.crashed,
        )
        self.visitors = Visitors(
            min(params.workers, len(jobs)),
            folder / "browsers",
            folder / "evidence",
            any(source.pictures for source in sources.values()),
            on_visit=lambda request, visit: self.events.put(lambda: self.visited(request, visit)),
            on_crash=self.crashed,
            grid_url=params.grid_url,
            user_agent=agent,
            product=agent if params.contact else "",
        )

    def limits(self, agent: str, sources: Mapping[str, Source]) -> Limits:
        params, sites = self.params, self.sites
        hosts: dict[str, HostLimits] = {}
        for name, source in sources.items():
            hosts |= source.hosts_at(sites[name].url)
        private = {host for site in sites.values() for host in site.allowed}
        return Limits(
            connections=params.connections,
            per_host=params.per_host,
            rate=params.per_host_rate,
            timeout=params.timeout,
            retries=params.retries,
            max_bytes=params.max_bytes,
            user_agent=agent,
            allowed=resolve(sorted(private | set(params.allow_private))),
            hosts=hosts,
        )

    def work(self) -> None:
        """Raises ``PipelineError`` or ``Interrupted``; what was fetched is in the ledger."""
        try:
            with self.board, self.downloads, self.visitors:
                for job in self.jobs:
                    self.advance(job)
                while not all(job.finished for job in self.jobs):
                    self.events.get()()
        except KeyboardInterrupt:
            raise Interrupted(signal.SIGINT, f"stopped by Ctrl-C; {self.saved()}") from None
        except Interrupted as stopped:
            raise Interrupted(stopped.exit_code - 128, f"{stopped}; {self.saved()}") from None
        except sqlite3.Error as error:
            raise PipelineError(f"{unusable(self.ledger.path, error)}; {self.saved()}") from None

    def saved(self) -> str:
        good, wanted = (sum(getattr(job, key) for job in self.jobs) for key in ("good", "wanted"))
        return f"{good} of {wanted} pictures are kept and the next run continues"

    def crashed(self, error: BaseException) -> None:
        def reraise() -> None:
            if isinstance(error, OSError):  # a full disk, no rights
                raise PipelineError(f"{refused(error)}; {self.saved()}") from None
            raise error

        self.events.put(reraise)

    # ------------------------------------------------------------------ searching

    def advance(self, job: Job) -> None:
        """Start whatever the job needs next; what the ledger already answers is not done again."""
        while True:
            while (entry := job.take()) is not None:
                self.fetch(job, entry)
            due = job.next_visit()
            if due is None:
                break
            search, wanted = due
            known = None
            if job.pages and not self.refresh:
                known = self.ledger.visit(job.pages, search.label, wanted)
            if known is None:
                known = self.refused(job, search)
            if known is None:
                job.visiting = True
                self.visitors.submit(Request(job, search, wanted))
                break
            job.offer(search, known)
        self.board.show()

    def refused(self, job: Job, search: Search) -> Visit | None:
        """The outcome of a search that must not be made, or None."""
        if job.source.name in self.params.ignore_robots:
            return None
        verdict = self.downloads.may_visit(search.url)
        if verdict.allowed:
            slow_down(job, verdict.delay)
            return None
        job.forbidden += 1
        if job.forbidden == len(job.searches):
            name = job.source.name
            raise PipelineError(
                f"{name}: {verdict.why}: it is left alone; to read its search pages all the same, "
                f"put {name} into scrape.ignore_robots (that is recorded), or take it out of "
                "scrape.sources"
            )
        return Visit(Outcome.FORBIDDEN, [], verdict.why)

    def visited(self, request: Request, visit: Visit) -> None:
        job, search = request.job, request.search
        name = job.source.name
        job.visiting = False
        if name in self.stopped:
            job.stop(self.stopped[name])
            self.advance(job)
            return
        self.on_event("visit", {"breed": job.breed, "outcome": visit.outcome.value})
        named = [self.sites[name].named(item) for item in visit.candidates]
        visit = Visit(visit.outcome, named, visit.detail, visit.evidence)
        if job.pages and not visit.outcome.failed:
            self.ledger.record_visit(job.pages, search.label, request.wanted, visit)
        job.offer(search, visit)
        if visit.outcome.failed:
            self.ledger.record_failure(name, job.breed, job.failures[-1])
            self.judge(name, visit)
        else:
            self.misses[name] = 0
        self.advance(job)

    def judge(self, name: str, visit: Visit) -> None:
        """Whether a source is to be left alone: at once if it wants no robots, else with patience.

        A ban, a captcha: going on would be both rude and useless. Evading them is not done here.
        """
        self.misses[name] += 1
        if visit.outcome is Outcome.BLOCKED:
            why = f"blocked: {visit.detail}"
        elif self.misses[name] >= PATIENCE:
            why = f"{PATIENCE} searches in a row failed, the last one: {visit.outcome}"
        else:
            return
        self.stopped[name] = why
        self.board.say(f"{name} is left alone for this run: {why}")
        self.visitors.stop_source(name, why)
        for job in self.jobs:
            if job.source.name == name and not job.visiting:
                job.stop(why)

    # ------------------------------------------------------------------ fetching

    def fetch(self, job: Job, entry: Entry) -> None:
        url = entry.candidate.image_url
        known = self.ledger.image(job.base, url)
        if known is not None and (
            self.store.has(known.content) if known.content is not None else known.lasting
        ):
            job.settle(entry, known)
            return
        waiting = self.fetching.setdefault((job.base, url), [])
        waiting.append((job, entry))
        if len(waiting) == 1:  # else it is already under way for another breed
            self.downloads.submit(self.sites[job.source.name].address(url), (job.base, url))

    def fetched(self, key: tuple[str, str], result: Result) -> None:
        base, url = key
        site = self.sites[self.fetching[key][0][0].source.name]
        result = replace(result, final_url=site.name(result.final_url))
        self.ledger.record_image(base, url, result)
        self.on_event("image", {"url": url, "reason": result.reason})
        for job, entry in self.fetching.pop(key):
            job.settle(entry, result)
            self.advance(job)


def slow_down(job: Job, delay: float | None) -> None:
    """Rest at least ``delay`` seconds between pages: a rest may be half of ``limits.pause``."""
    limits = job.source.limits
    if delay and 2 * delay > limits.pause:
        job.source = replace(job.source, limits=replace(limits, pause=2 * delay))
