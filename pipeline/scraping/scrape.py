"""The stage's work: what is asked for is checked, the run does it, data/raw is laid out from it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.params import ScrapeParams
from pipeline.raw import Store, materialise
from pipeline.scraping.breeds import Breed, choose_breeds, load_breeds
from pipeline.scraping.browser import clean_orphans
from pipeline.scraping.frontier import Job
from pipeline.scraping.grid import Hub
from pipeline.scraping.ledger import Ledger
from pipeline.scraping.licences import is_cc
from pipeline.scraping.page import Candidate
from pipeline.scraping.run import OnEvent, Run
from pipeline.scraping.site import Site, check_sites, open_site
from pipeline.scraping.sources import Source, check_name, load_source, source_names
from pipeline.scraping.yields import check_yield, count, rows_of
from pipeline.workspace import Workspace, exclusive


@dataclass(frozen=True)
class Plan:
    """What params ask for, checked."""

    breeds: list[Breed]
    sources: list[Source]


def make_plan(params: ScrapeParams, workspace: Workspace) -> Plan:
    """Raises ``ParamsError`` for whatever cannot be meant; touches nothing."""
    breeds = choose_breeds(load_breeds(workspace.breeds), params.breeds)
    own = workspace.here / "sources"
    sources = [load_source(name, own) for name in params.sources]
    known = source_names(own)
    for name in params.ignore_robots:
        check_name("scrape.ignore_robots", name, known)
    check_sites(params, sources, workspace)
    if params.grid_url is not None:
        Hub(params.grid_url)  # refuses what is no address
    return Plan(breeds, sources)


def scrape(
    params: ScrapeParams,
    workspace: Workspace,
    on_event: OnEvent | None = None,
    refresh: bool = False,
) -> dict[str, Any]:
    """Fill data/raw with what ``params`` ask for; returns counts that depend on params alone.

    Continues where an earlier run was stopped. ``on_event(kind, facts)`` hears of every visit and
    image as it ends. ``refresh`` searches again where earlier results are still remembered.

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
        jobs = make_jobs(plan, params, sites)
        ledger = stack.enter_context(Ledger(folder / "ledger.sqlite"))
        run = Run(params, folder, jobs, sites, ledger, store, on_event or _nobody, refresh)
        run.work()
        check_yield(jobs, params, run.stopped)
        rows = rows_of(jobs, sites, params)
        files = materialise(rows, store, workspace.raw)
    return count(jobs, rows, files, run.stopped)


def make_jobs(plan: Plan, params: ScrapeParams, sites: dict[str, Site]) -> list[Job]:
    """A job for every breed and source: sources in the order of params within each breed."""
    jobs = []
    cc = params.license == "cc"
    for place, breed in enumerate(plan.breeds):
        for source in plan.sources:
            site = sites[source.name]
            searches = source.searches(breed.name, breed.queries, site.url, cc=cc)
            takes = _taker(cc, bool(source.cc))
            jobs.append(
                Job(
                    breed.name,
                    source,
                    *site.identities(place),
                    params.sources[source.name],
                    tuple(searches),
                    takes,
                )
            )
    return jobs


def _taker(cc: bool, filtered: bool) -> Callable[[Candidate], bool]:
    """Whether a candidate's licence will do; a site that filters need not say it again."""
    if not cc:
        return lambda candidate: True
    return lambda candidate: is_cc(candidate.licence) or (filtered and not candidate.licence)


def _nobody(_kind: str, _facts: dict[str, Any]) -> None: ...
