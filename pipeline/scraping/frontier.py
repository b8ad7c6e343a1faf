"""What to fetch next: for one breed from one source, until there are as many pictures as wanted.

The pictures that end up in a job are the first ``wanted`` good ones in the order of the pages,
however the downloads overtake each other: only as many are ever under way as are still missing, and
each failure lets in exactly the next candidate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pipeline.scraping.download import Result
from pipeline.scraping.page import Candidate, Outcome, Visit
from pipeline.scraping.sources import Source

SPARE = 0.15  # share of results taken to be useless when asking for the first time


def generous(wanted: int, spare: float = SPARE) -> int:
    """How many results to look for so that ``wanted`` of them are likely to be good."""
    return math.ceil(wanted * (1 + spare)) + 5


@dataclass
class Entry:
    """A candidate in the order of its job, and how fetching it ended (None: not yet)."""

    rank: int
    query: str
    candidate: Candidate
    result: Result | None = None


@dataclass
class Job:
    """One breed from one source; ``base`` and ``pages`` are the identities of ``Site``."""

    breed: str
    source: Source
    base: str
    pages: str | None
    wanted: int
    queries: tuple[str, ...]
    entries: list[Entry] = field(default_factory=list)
    good: int = 0
    waiting: int = 0
    visiting: bool = False
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # the last one of each query
    _next: int = 0  # index of the first entry not taken
    _query: int = 0  # index of the query in use
    _seen: int = 0  # results that query has given
    _asked: int = 0

    @property
    def missing(self) -> int:
        return self.wanted - self.good - self.waiting

    @property
    def finished(self) -> bool:
        """Enough is here, or nothing more can come."""
        if self.waiting or self.visiting:
            return False
        return self.missing <= 0 or (
            self._next == len(self.entries) and self._query == len(self.queries)
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
        if result.content is not None and result.content.is_picture:
            self.good += 1

    def next_visit(self) -> tuple[str, int] | None:
        """(query, results to ask for) of the visit that is needed now, or None.

        Not before every download has ended: then the request does not depend on timing.
        """
        if self.waiting or self.visiting or self.missing <= 0:
            return None
        if self._next < len(self.entries) or self._query == len(self.queries):
            return None
        more = generous(self.missing)
        self._asked = more if not self._seen else self._seen + 2 * more
        return self.queries[self._query], self._asked

    def offer(self, query: str, visit: Visit) -> None:
        """Take in what a visit found. Addresses already known count once."""
        known = {entry.candidate.image_url for entry in self.entries}
        for candidate in visit.candidates:
            if candidate.image_url not in known:
                known.add(candidate.image_url)
                self.entries.append(Entry(len(self.entries), query, candidate))
        self.outcomes[query] = visit.outcome
        nothing_new = len(visit.candidates) <= self._seen
        self._seen = len(visit.candidates)
        if visit.outcome is not Outcome.RESULTS or nothing_new:
            self._query += 1
            self._seen = 0
