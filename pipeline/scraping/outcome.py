"""What came of one visit to one results page, by browser or API."""

from __future__ import annotations

import enum
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class Outcome(enum.StrEnum):
    RESULTS = "results"  # as many as wanted; there may be more
    END = "end_of_results"  # all there are
    EMPTY = "empty"  # the site says it has nothing
    FORBIDDEN = "forbidden_by_robots"  # not visited: the site's robots.txt asks not to
    CONSENT_STUCK = "consent_stuck"
    BLOCKED = "blocked"
    LAYOUT_CHANGED = "layout_changed"
    OFFLINE = "offline"

    @property
    def failed(self) -> bool:
        """Whether a person has to look, or the next run to try again."""
        return self in (
            Outcome.CONSENT_STUCK,
            Outcome.BLOCKED,
            Outcome.LAYOUT_CHANGED,
            Outcome.OFFLINE,
        )


@dataclass(frozen=True)
class Candidate:
    """An image that a source offers. ``rank`` counts from 0 in the order of the page.

    ``width`` and ``height``, in pixels, are what the site says of the full-size picture.
    """

    rank: int
    image_url: str
    page_url: str | None = None
    title: str | None = None
    licence: str | None = None
    author: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class Visit:
    """What came of one visit. ``detail`` says in words what failed, ``evidence`` where it lies.

    A visit that failed half-way keeps the candidates it had. ``matched`` counts, for each field,
    which of its alternatives gave the value (``script`` for what a page's script gave).
    """

    outcome: Outcome
    candidates: list[Candidate] = field(default_factory=list)
    detail: str = ""
    evidence: Path | None = None
    matched: dict[str, dict[str, int]] = field(default_factory=dict)


class Stop(Exception):
    """Ends a visit with an outcome and, in words, why."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome


_LONGEST_DETAIL = 500  # characters


def _whole(text: str) -> str:
    """Without halves of characters: JavaScript and JSON let them stand alone, no file can hold
    them."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


class Gathered:
    """Candidates in the order found, each address once, and which alternatives gave them."""

    def __init__(self) -> None:
        self.candidates: dict[str, Candidate] = {}
        self.matched: dict[str, Counter[str]] = {}

    def __len__(self) -> int:
        return len(self.candidates)

    def add(self, found: Mapping[str, tuple[str, str]]) -> None:
        """Take in one tile: field -> (text, alternative). One without an address is left out."""
        for name, (_, alternative) in found.items():
            self.matched.setdefault(name, Counter())[alternative] += 1
        values = {name: _whole(text) for name, (text, _) in found.items()}
        url = values.get("image_url")
        if url and url not in self.candidates:
            self.candidates[url] = Candidate(
                rank=len(self),
                image_url=url,
                page_url=values.get("page_url"),
                title=values.get("title"),
                licence=values.get("licence"),
                author=values.get("author"),
                width=pixels(values.get("width")),
                height=pixels(values.get("height")),
            )

    def visit(
        self, outcome: Outcome, wanted: int, detail: str = "", kept: Path | None = None
    ) -> Visit:
        matched = {name: dict(counts) for name, counts in self.matched.items()}
        found, detail = list(self.candidates.values())[:wanted], _whole(detail[:_LONGEST_DETAIL])
        return Visit(outcome, found, detail, kept, matched)


_DIGITS = 9  # more are no picture's, and no number for a database


def pixels(text: str | None) -> int | None:
    """``1,024 px`` as a number; None for what is no length in pixels."""
    parts = re.fullmatch(r"(\d[\d,\s]*)(?:\.\d+)?\s*(?:px)?", text or "")
    digits = re.sub(r"\D", "", parts[1]) if parts else ""
    return int(digits) or None if 0 < len(digits) <= _DIGITS else None
