"""What a run came to: whether it is enough, the rows of the manifest, and the numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import PipelineError
from pipeline.params import ScrapeParams
from pipeline.raw import Row
from pipeline.scraping.frontier import Job
from pipeline.scraping.licences import normalise
from pipeline.scraping.site import Site

COUNTS = ("wanted", "found", "fetched", "duplicates", "failed")


def check_yield(jobs: Sequence[Job], params: ScrapeParams, stopped: Mapping[str, str]) -> None:
    """A source that failed or gave nothing never passes silently.

    Raises:
        PipelineError: naming breed and source, what was tried, and what to do.
    """
    problems = []
    if params.strict:
        problems += _failed_sources(jobs, stopped) + _barren_sources(jobs)
    problems += _poor_breeds(jobs, params.minimum, said=params.strict)
    if not problems:
        return
    advice = "change its query in breeds.yaml, or leave it out"
    if any(job.failures for job in jobs):
        advice = "what was fetched is kept, and the next run tries again what failed"
        if params.strict and any(job.good for job in jobs):
            advice += "; scrape.strict=false goes on without it"
    raise PipelineError("; ".join(problems) + f": {advice}")


def _failed_sources(jobs: Sequence[Job], stopped: Mapping[str, str]) -> list[str]:
    problems = []
    for name in dict.fromkeys(job.source.name for job in jobs):
        failures = [(job, failure) for job in jobs for failure in job.failures
                    if job.source.name == name]  # fmt: skip
        if failures:
            job, failure = failures[-1]  # the one that made an end of it, if any did
            more = f" (and {len(failures) - 1} more failed searches)" if len(failures) > 1 else ""
            left = f"; {name} was left alone from then on" if name in stopped else ""
            problems.append(f"{name}, {job.breed}: {failure.reason}{more}{left}")
    return problems


def _poor_breeds(jobs: Sequence[Job], minimum: int, said: bool) -> list[str]:
    """Breeds with too few pictures; not those whose failed searches were ``said`` already."""
    problems = []
    for breed in dict.fromkeys(job.breed for job in jobs):
        mine = [job for job in jobs if job.breed == breed]
        good = sum(job.good for job in mine)
        if good < minimum and not (said and any(job.failures for job in mine)):
            number = "no picture" if not good else f"only {good} of at least {minimum} pictures"
            names = " and ".join(job.source.name for job in mine)
            tried = "; ".join(filter(None, map(_tried, mine)))
            problems.append(f"{names} gave {number} of {breed} ({tried})")
    return problems


def _barren_sources(jobs: Sequence[Job]) -> list[str]:
    problems = []
    for name in dict.fromkeys(job.source.name for job in jobs):
        mine = [job for job in jobs if job.source.name == name]
        barren = not any(job.good or job.failures for job in mine)
        if barren and any(job.good for job in jobs):
            problems.append(f"{name} gave no picture at all ({_tried(mine[0])})")
    return problems


def _tried(job: Job) -> str:
    """What became of a job's searches and downloads, in a few words."""
    parts = [f"{label}: {outcome}" for label, outcome in job.outcomes.items()]
    reasons = Counter(
        entry.result.reason or "no picture"
        for entry in job.settled
        if entry.result and not (entry.result.content and entry.result.content.is_picture)
    )
    if reasons:
        parts.append(
            "downloads: " + ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items()))
        )
    if job.unlicensed:
        parts.append(f"{job.unlicensed} not under Creative Commons")
    return "; ".join(parts)


def rows_of(jobs: Sequence[Job], sites: Mapping[str, Site], params: ScrapeParams) -> list[Row]:
    """One row per breed and address that gave a file, in the jobs' order."""
    rows: dict[tuple[str, str], Row] = {}
    for job in jobs:
        name = job.source.name
        unsaid = "Creative Commons (by the site's filter)" if params.license == "cc" else None
        for entry in job.settled:
            result, found = entry.result, entry.candidate
            if result is None or result.content is None:
                continue
            row = Row(
                breed=job.breed,
                query=entry.query,
                source=name,
                rank=entry.rank,
                title=found.title,
                image_url=found.image_url,
                page_url=found.page_url,
                licence=normalise(found.licence) or unsaid,
                author=found.author,
                fetched_at=None if sites[name].timeless else result.fetched_at,
                robots="ignored" if name in params.ignore_robots else "heeded",
                content=result.content,
            )
            rows.setdefault((job.breed, found.image_url), row)
    return list(rows.values())


def count(
    jobs: Sequence[Job], rows: Sequence[Row], files: int, stopped: Mapping[str, str]
) -> dict[str, Any]:
    """Metrics: what is in data/raw, and why the rest is not.

    ``by_breed`` and ``table`` (a row for each breed and source) are for people.
    """
    reasons: Counter[str] = Counter()
    table = []
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        grouped.setdefault((row.breed, row.source), []).append(row)
    for job in jobs:
        mine = grouped.get((job.breed, job.source.name), [])
        failures = Counter(
            item.result.reason for item in job.settled if item.result and item.result.reason
        )
        reasons.update(failures)
        table.append(
            {
                "breed": job.breed,
                "source": job.source.name,
                "wanted": job.wanted,
                "found": len(job.entries),
                "fetched": len(mine),
                "duplicates": len(mine) - len({row.path for row in mine}),
                "failed": sum(failures.values()),
                "unlicensed": job.unlicensed,
                "searches": "; ".join(f"{k}: {v}" for k, v in job.outcomes.items()),
                "failures": "; ".join(f"{k}: {v}" for k, v in sorted(failures.items())),
                "stopped": job.stopped,
            }
        )
    by_breed = _by_breed(table, rows)
    totals = {key: sum(mine[key] for mine in by_breed.values()) for key in COUNTS}
    return {
        "breeds": len(by_breed),
        **totals,
        "files": files,
        "not_pictures": sum(not row.content.is_picture for row in rows),
        "missing": sum(max(job.wanted - job.good, 0) for job in jobs),
        "unlicensed": sum(job.unlicensed for job in jobs),
        "bytes": sum({row.path: row.content.bytes for row in rows}.values()),
        "failures": dict(sorted(reasons.items())),
        "failed_searches": sum(len(job.failures) for job in jobs),
        "sources": _by_source(jobs, rows),
        "stopped": dict(stopped),
        "by_breed": by_breed,
        "table": table,
    }


def _by_breed(table: Sequence[Mapping[str, Any]], rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    by_breed: dict[str, dict[str, int]] = {}
    for line in table:
        mine = by_breed.setdefault(line["breed"], dict.fromkeys(COUNTS, 0))
        for key in ("wanted", "found", "failed"):
            mine[key] += line[key]
    for breed, mine in by_breed.items():
        paths = [row.path for row in rows if row.breed == breed]
        mine["fetched"] = len(paths)
        mine["duplicates"] = len(paths) - len(set(paths))
    return by_breed


def _by_source(jobs: Sequence[Job], rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """Pictures by source; where nothing is said of licences or authors, that shows here."""
    named: dict[str, dict[str, int]] = {}
    for name in dict.fromkeys(job.source.name for job in jobs):
        mine = [row for row in rows if row.source == name]
        named[name] = {
            "fetched": len(mine),
            "with_licence": sum(row.licence is not None for row in mine),
            "with_author": sum(row.author is not None for row in mine),
        }
    return named
