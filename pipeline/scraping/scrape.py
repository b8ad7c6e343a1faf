"""The stage's work: browsers find, a pool fetches, a ledger remembers, data/raw is laid out.

Two kinds of threads report to one queue, and the main thread alone decides and writes the ledger.
That keeps Ctrl-C simple (signals reach only the main thread) and the result independent of timing.
"""

from __future__ import annotations

import contextlib
import queue
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipeline.errors import Interrupted, ParamsError, PipelineError
from pipeline.params import ScrapeParams
from pipeline.progress import bar
from pipeline.raw import Row, Store, materialise
from pipeline.scraping.breeds import Breed, choose_breeds, load_breeds
from pipeline.scraping.browser import clean_orphans
from pipeline.scraping.download import Downloads, Limits, Result
from pipeline.scraping.frontier import Entry, Job
from pipeline.scraping.guard import resolve
from pipeline.scraping.ledger import Ledger
from pipeline.scraping.page import Visit
from pipeline.scraping.site import GALLERY, Site, check_gallery, open_site
from pipeline.scraping.sources import Search, Source, load_source
from pipeline.scraping.visitors import Request, Visitors
from pipeline.workspace import Workspace, exclusive

OnEvent = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True)
class Plan:
    """What params ask for, checked."""

    breeds: list[Breed]
    sources: list[Source]


def make_plan(params: ScrapeParams, workspace: Workspace) -> Plan:
    """Raises ``ParamsError`` for an unknown breed or source or a bad file; touches nothing."""
    breeds = choose_breeds(load_breeds(workspace.breeds), params.breeds)
    sources = [load_source(name, workspace.here / "sources") for name in params.sources]
    for source in sources:
        if source.name != GALLERY and "{base}" in source.search:
            raise ParamsError(f"{source.name}.yaml: search: {{base}} is for the gallery only")
    if GALLERY in params.sources:
        check_gallery(params.gallery, workspace)
    return Plan(breeds, sources)


def scrape(
    params: ScrapeParams, workspace: Workspace, on_event: OnEvent | None = None
) -> dict[str, Any]:
    """Fill data/raw with what ``params`` ask for; returns counts that depend on params alone.

    Continues where an earlier run was stopped. ``on_event(kind, facts)`` hears of every visit and
    image as it ends.

    Raises:
        ParamsError: params that cannot be meant; nothing was touched.
        PipelineError: a source failed or gave nothing, no browser, another run is under way.
        Interrupted: Ctrl-C or SIGTERM; what was fetched is kept.
    """
    plan = make_plan(params, workspace)
    folder = workspace.cache / "scrape"
    with contextlib.ExitStack() as stack:
        lock = workspace.here / ".cache" / "scrape.lock"
        stack.enter_context(exclusive(lock, "scraping"))
        clean_orphans(folder / "browsers")
        store = Store(folder / "store")
        store.sweep()
        sites = {
            source.name: stack.enter_context(open_site(source, params, plan.breeds, workspace))
            for source in plan.sources
        }
        jobs = [
            Job(
                breed.name,
                source,
                *sites[source.name].identities(place),
                params.sources[source.name],
                breed.queries,
            )
            for place, breed in enumerate(plan.breeds)
            for source in plan.sources
        ]
        ledger = stack.enter_context(Ledger(folder / "ledger.sqlite"))
        _Run(params, folder, jobs, sites, ledger, store, on_event or (lambda *_: None)).work()
        check_yield(jobs)
        rows = rows_of(jobs, sites)
        files = materialise(rows, store, workspace.raw)
    return count(jobs, rows, files)


class _Run:
    def __init__(
        self,
        params: ScrapeParams,
        folder: Path,
        jobs: list[Job],
        sites: dict[str, Site],
        ledger: Ledger,
        store: Store,
        on_event: OnEvent,
    ) -> None:
        self.jobs, self.sites, self.ledger, self.store = jobs, sites, ledger, store
        self.on_event = on_event
        self.events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.fetching: dict[tuple[str, str], list[tuple[Job, Entry]]] = {}
        self.failed = 0
        self.bar: tqdm
        allowed = resolve(host for site in sites.values() for host in site.allowed)
        limits = Limits(
            connections=params.connections,
            timeout=params.timeout,
            retries=params.retries,
            max_bytes=params.max_bytes,
            user_agent=params.user_agent,
            allowed=allowed,
        )
        self.downloads = Downloads(
            store,
            limits,
            on_result=lambda key, result: self.events.put(lambda: self.fetched(key, result)),
            on_crash=self.crashed,
        )
        self.visitors = Visitors(
            min(params.workers, len(jobs)),
            folder / "browsers",
            folder / "evidence",
            any(job.source.pictures for job in jobs),
            on_visit=lambda request, visit: self.events.put(lambda: self.visited(request, visit)),
            on_crash=self.crashed,
        )

    def work(self) -> None:
        try:
            with (
                bar(sum(job.wanted for job in self.jobs), "scrape", "pictures") as self.bar,
                self.downloads,
                self.visitors,
            ):
                for job in self.jobs:
                    self.advance(job)
                while not all(job.finished for job in self.jobs):
                    self.events.get()()
        except KeyboardInterrupt:
            raise Interrupted(signal.SIGINT, f"stopped by Ctrl-C; {self.saved()}") from None
        except Interrupted as stopped:
            raise Interrupted(stopped.exit_code - 128, f"{stopped}; {self.saved()}") from None

    def saved(self) -> str:
        good, wanted = (sum(getattr(job, key) for job in self.jobs) for key in ("good", "wanted"))
        return f"{good} of {wanted} pictures are kept and the next run continues"

    def crashed(self, error: BaseException) -> None:
        def reraise() -> None:
            if isinstance(error, OSError):  # a full disk, no rights
                raise PipelineError(f"pictures cannot be kept: {error}; {self.saved()}") from None
            raise error

        self.events.put(reraise)

    def advance(self, job: Job) -> None:
        """Start whatever the job needs next; what the ledger already answers is not done again."""
        while True:
            while (entry := job.take()) is not None:
                self.fetch(job, entry)
            due = job.next_visit()
            if due is None:
                break
            query, wanted = due
            known = self.ledger.visit(job.pages, query, wanted) if job.pages else None
            if known is None:
                job.visiting = True
                url = job.source.search_url(query, self.sites[job.source.name].url)
                search = Search(job.source.pages[0], query, url)
                self.visitors.submit(Request(job, search, wanted))
                break
            job.offer(query, known)
        self.show()

    def fetch(self, job: Job, entry: Entry) -> None:
        url = entry.candidate.image_url
        known = self.ledger.image(job.base, url)
        if known is not None and (
            self.store.has(known.content) if known.content is not None else known.lasting
        ):
            self.settle(job, entry, known)
            return
        waiting = self.fetching.setdefault((job.base, url), [])
        waiting.append((job, entry))
        if len(waiting) == 1:  # else it is already under way for another breed
            self.downloads.submit(self.sites[job.source.name].address(url), (job.base, url))

    def fetched(self, key: tuple[str, str], result: Result) -> None:
        base, url = key
        self.ledger.record_image(base, url, result)
        self.on_event("image", {"url": url, "reason": result.reason})
        for job, entry in self.fetching.pop(key):
            self.settle(job, entry, result)
            self.advance(job)

    def settle(self, job: Job, entry: Entry, result: Result) -> None:
        good = job.good
        job.settle(entry, result)
        self.bar.update(job.good - good)
        self.failed += result.content is None

    def visited(self, request: Request, visit: Visit) -> None:
        job = request.job
        self.on_event("visit", {"breed": job.breed, "outcome": visit.outcome.value})
        if visit.outcome.failed:
            seen = f"; page and screenshot: {visit.evidence}" if visit.evidence else ""
            raise PipelineError(
                f"{job.source.name}, {job.breed}: {visit.outcome.value}: {visit.detail}{seen}"
            )
        named = [self.sites[job.source.name].named(item) for item in visit.candidates]
        visit = Visit(visit.outcome, named)
        if job.pages:
            self.ledger.record_visit(job.pages, request.search.query, request.wanted, visit)
        job.visiting = False
        job.offer(request.search.query, visit)
        self.advance(job)

    def show(self) -> None:
        found = sum(len(job.entries) for job in self.jobs)
        self.bar.set_postfix(found=found, failed=self.failed, refresh=False)


def check_yield(jobs: Sequence[Job]) -> None:
    """A source that gave nothing never passes silently."""
    for job in jobs:
        if not job.good:
            tried = "; ".join(f"{query}: {outcome}" for query, outcome in job.outcomes.items())
            reasons = Counter(entry.result.reason for entry in job.settled if entry.result)
            failures = ", ".join(
                f"{count} {reason}"
                for reason, count in sorted(
                    (str(reason or "no picture"), count) for reason, count in reasons.items()
                )
            )
            raise PipelineError(
                f"{job.source.name} gave no picture of {job.breed} ({tried}"
                + (f"; downloads: {failures}" if failures else "")
                + "): change its query in breeds.yaml, or leave it out"
            )


def rows_of(jobs: Sequence[Job], sites: dict[str, Site]) -> list[Row]:
    """One row per address that gave a file, in the job's order."""
    rows: dict[tuple[str, str], Row] = {}
    for job in jobs:
        for entry in job.settled:
            result, found = entry.result, entry.candidate
            if result is None or result.content is None:
                continue
            timeless = sites[job.source.name].timeless
            row = Row(
                breed=job.breed,
                query=entry.query,
                source=job.source.name,
                rank=entry.rank,
                title=found.title,
                image_url=found.image_url,
                page_url=found.page_url,
                licence=found.licence,
                author=found.author,
                fetched_at=None if timeless else result.fetched_at,
                content=result.content,
            )
            rows.setdefault((job.breed, found.image_url), row)
    return list(rows.values())


def count(jobs: Sequence[Job], rows: Sequence[Row], files: int) -> dict[str, Any]:
    """Metrics: what is in data/raw, and why the rest is not. ``by_breed`` is for the table."""
    reasons: Counter[str] = Counter()
    by_breed: dict[str, dict[str, int]] = {}
    for job in jobs:
        mine = by_breed.setdefault(
            job.breed, dict.fromkeys(("wanted", "found", "fetched", "duplicates", "failed"), 0)
        )
        failures = [
            item.result.reason for item in job.settled if item.result and item.result.reason
        ]
        reasons.update(failures)
        mine["wanted"] += job.wanted
        mine["found"] += len(job.entries)
        mine["failed"] += len(failures)
    for breed, mine in by_breed.items():
        paths = [row.path for row in rows if row.breed == breed]
        mine["fetched"] = len(paths)
        mine["duplicates"] = len(paths) - len(set(paths))
    totals = {
        key: sum(mine[key] for mine in by_breed.values()) for key in next(iter(by_breed.values()))
    }
    return {
        "breeds": len(by_breed),
        **totals,
        "files": files,
        "not_pictures": sum(not row.content.is_picture for row in rows),
        "missing": sum(max(job.wanted - job.good, 0) for job in jobs),
        "bytes": sum({row.path: row.content.bytes for row in rows}.values()),
        "failures": dict(sorted(reasons.items())),
        "by_breed": by_breed,
    }
