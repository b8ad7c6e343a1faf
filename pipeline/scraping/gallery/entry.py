"""One search result, drawn or from a user's folder, as the pages and the truth table know it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from pipeline.scraping.gallery.picture import encode

COLUMNS = (
    "id", "breed", "rank", "kind", "of", "edit", "url", "format", "width", "height", "fault",
)  # fmt: skip

# Words that every query has and no breed is told by.
_FILLERS = frozenset(
    ["a", "an", "the", "of", "dog", "dogs", "puppy", "puppies", "breed", "breeds", "cute"]
).union(["pics", "picture", "pictures", "photo", "photos", "image", "images"])


@dataclass(frozen=True)
class Entry:
    """A result. ``width`` and ``height`` are the served file's (None: it is no whole picture)."""

    id: str
    breed: str
    rank: int
    kind: str
    of: str | None
    edit: str | None
    extension: str  # of the URL; what the file really is says `format`
    format: str | None
    width: int | None
    height: int | None
    shown: tuple[int, int]  # the size the page claims
    title: str
    licence: str
    author: str
    fault: str | None = None  # how its download misbehaves (faults.py)

    @property
    def url(self) -> str:
        """The path of the full-size file."""
        return f"/original/{self.id}.{self.extension}"

    @property
    def ratio(self) -> float:
        """Width over height, for the layout of the page before the thumbnail is there."""
        return round(min(max(self.shown[0] / max(1, self.shown[1]), 0.4), 2.5), 3)

    def row(self) -> tuple[object, ...]:
        """The entry's line of the truth table, in the order of ``COLUMNS``."""
        return tuple(getattr(self, name) for name in COLUMNS)


@dataclass(frozen=True)
class Answer:
    """A file as it goes over the wire."""

    body: bytes
    media_type: str


class Collection(Protocol):
    """What the site needs to know of its pictures."""

    def names(self) -> list[str]:
        """The breeds (or folders), in order."""
        ...

    def entries(self, names: Iterable[str]) -> list[Entry]:
        """The results of some breeds, in page order."""
        ...

    def find(self, query: str) -> list[Entry]:
        """The results for a query, in page order."""
        ...

    def entry(self, id: str) -> Entry | None:
        """The result with this id."""
        ...

    def small(self, entry: Entry, longest: int) -> Answer:
        """At most ``longest`` pixels a side, as ``small_file`` gives; a bad file gets one too."""
        ...

    def original(self, entry: Entry) -> Answer | None:
        """The full-size file; None if there is none any more."""
        ...

    def identity(self) -> object:
        """What pages and files follow from, as plain values: as long as it stays, so do they."""
        ...


def small_file(image: Image.Image, longest: int) -> Answer:
    """A thumbnail as a JPEG; a placeholder, a few pixels, as the shorter WebP."""
    if longest < 32:
        return Answer(encode(image, "webp", 30), "image/webp")
    return Answer(encode(image, "jpg", 82), "image/jpeg")


def make_id(*parts: object) -> str:
    """A short opaque id that is the same in every process."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]


def words(text: str) -> list[str]:
    """Lower-case words and numbers of ``text``; camelCase and punctuation both part words."""
    parted = re.sub(r"([a-z])([A-Z])", r"\1 \2", text)
    return [word for word in re.split(r"[\W_]+", parted.lower()) if word]


def telling(text: str) -> list[str]:
    """The words of ``text`` that tell breeds apart."""
    return [word for word in words(text) if word not in _FILLERS]


def best_names(query: str, names: Sequence[str], aliases: Mapping[str, Sequence[str]]) -> list[str]:
    """Which of ``names`` a query means; several only if it is too short to decide.

    A name all of whose words are asked for beats one that merely holds the query's words, and the
    longest such name wins: "french bulldog" is not "bulldog", while "terrier" is every terrier.
    """
    asked = telling(query)
    exact = [n for n in names if any(words(query) == words(a) for a in aliases.get(n, ()))]
    if exact or not asked:
        return exact
    joined = "".join(asked)
    whole = [name for name in names if telling(name) and set(telling(name)) <= set(asked)]
    if whole:
        most = max(len(telling(name)) for name in whole)
        return [name for name in whole if len(telling(name)) == most]
    part = [name for name in names if set(asked) <= set(telling(name))]
    # "short-haired" and "shorthaired" are one word to a person.
    return part or [name for name in names if len(joined) > 3 and joined in "".join(telling(name))]


def suggestions(query: str, names: Sequence[str], count: int = 6) -> list[str]:
    """Names to try when a query finds nothing: those that share a word first."""
    asked = set(telling(query))
    return sorted(names, key=lambda name: -len(asked & set(telling(name))))[:count]
