"""What to fetch next: for one breed from one source, until there are as many pictures as wanted.

The pictures that end up in a job are the first ``wanted`` good ones in the order of the pages,
however the downloads overtake each other: only as many are ever under way as are still missing, and
each failure lets in exactly the next candidate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.scraping.download import Result
from pipeline.scraping.page import Candidate, Outcome, Visit
from pipeline.scraping.sources import Search, Source

SPARE = 0.15  # share of results taken to be useless when asking for the first time


def generous(wanted: int, spare: float = SPARE) -> int:
    """How many results to look for so that ``wanted`` of them are likely to be good."""
    return math.ceil(wanted * (1 + spare)) + 5


@dataclass(slots=True)
class Entry:
    """A candidate in the order of its job, and how fetching it ended (None: not yet)."""

    rank: int
    query: str
    candidate: Candidate
    result: Result | None = None


@dataclass(frozen=True)
class Failure:
    """A search that failed: what to look at, and where."""

    search: str
    outcome: Outcome
    detail: str
    evidence: Path | None = None

    @property
    def reason(self) -> str:
        seen = f"; page and screenshot: {self.evidence}" if self.evidence else ""
        return f"{self.outcome}: {self.detail}{seen}"


@dataclass
class Job:
    """One breed from one source; ``base`` and ``pages`` are the identities of ``Site``.

    ``takes`` says whether a candidate may be used at all (its licence).
    """

    breed: str
    source: Source
    base: str
    pages: str | None
    wanted: int
    searches: tuple[Search, ...]
    takes: Callable[[Candidate], bool] = lambda candidate: True
    entries: list[Entry] = field(default_factory=list)
    good: int = 0  # files that decode
    fetched: int = 0  # files
    failed: int = 0
    duplicates: int = 0
    unlicensed: int = 0
    forbidden: int = 0  # searches that robots.txt forbids
    waiting: int = 0
    visiting: bool = False
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # the last one of each search
    failures: list[Failure] = field(default_factory=list)
    stopped: str = ""  # why the rest of the searches was given up
    _next: int = 0  # index of the first entry not taken
    _search: int = 0  # index of the search in use
    _seen: int = 0  # results that search has given
    _asked: int = 0
    _urls: set[str] = field(default_factory=set)
    _hashes: set[str] = field(default_factory=set)

    @property
    def missing(self) -> int:
        return self.wanted - self.good - self.waiting

    @property
    def finished(self) -> bool:
        """Enough is here, or nothing more can come."""
        if self.waiting or self.visiting:
            return False
        return self.missing <= 0 or (
            self._next == len(self.entries) and self._search == len(self.searches)
        )

    @property
    def settled(self) -> list[Entry]:
        return [entry for entry in self.entries[: self._next] if entry.result is not None]

    def take(self) -> Entry | None:
        """The next entry to fetch, if one more could be needed."""
        if self.missing <= 0 or self._next == len(self.entries):
            return None
        entry = self.entries[self._next]
        self._next += 1
        self.waiting += 1
        return entry

    def settle(self, entry: Entry, result: Result) -> None:
        entry.result = result
        self.waiting -= 1
        content = result.content
        if content is None:
            self.failed += 1
            return
        self.fetched += 1
        self.duplicates += content.sha256 in self._hashes
        self._hashes.add(content.sha256)
        self.good += content.is_picture

    def next_visit(self) -> tuple[Search, int] | None:
        """(search, results to ask for) of the visit that is needed now, or None.

        Not before every download has ended: then the request does not depend on timing.
        """
        if self.waiting or self.visiting or self.missing <= 0:
            return None
        if self._next < len(self.entries) or self._search == len(self.searches):
            return None
        more = generous(self.missing)
        self._asked = more if not self._seen else self._seen + 2 * more
        return self.searches[self._search], self._asked

    def offer(self, search: Search, visit: Visit) -> None:
        """Take in what a visit found. Addresses already known count once.

        What a visit found before it failed is used too; the search is then over.
        """
        for candidate in visit.candidates:
            if candidate.image_url in self._urls:
                continue
            self._urls.add(candidate.image_url)
            if self.takes(candidate):
                self.entries.append(Entry(len(self.entries), search.label, candidate))
            else:
                self.unlicensed += 1
        self.outcomes[search.label] = visit.outcome
        if visit.outcome.failed:
            failure = Failure(search.label, visit.outcome, visit.detail, visit.evidence)
            self.failures.append(failure)
        nothing_new = len(visit.candidates) <= self._seen
        self._seen = len(visit.candidates)
        if visit.outcome is not Outcome.RESULTS or nothing_new:
            self._search += 1
            self._seen = 0

    def stop(self, why: str) -> None:
        """No more searches; what was found is still fetched."""
        if self._search < len(self.searches):
            self.stopped = why
            self._search = len(self.searches)
