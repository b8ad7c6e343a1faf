"""What a source file says, as frozen dataclasses; ``sources`` reads them out of YAML."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus, urlsplit

TEXTS = ("image_url", "page_url", "title", "licence", "author")
FIELDS = (*TEXTS, "width", "height")

Rules = dict[str, tuple[str, ...]]  # a field's name -> its ordered alternatives


@dataclass(frozen=True)
class Consent:
    """A dialog over the page; ``buttons`` are pressed in order until ``overlay`` is gone."""

    overlay: str = ""
    buttons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Blocked:
    """Signs of a captcha or a ban: elements, or parts of the address one is sent to."""

    selectors: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Results:
    """The parts of a results page. Only ``tile`` is needed; "" means the site has none."""

    tile: str = ""
    none: str = ""
    end: str = ""
    more: str = ""
    spinner: str = ""
    next: str = ""


@dataclass(frozen=True)
class Next:
    """How an API is asked for more.

    Either ``merge`` is the path of an object whose keys are added to the address (MediaWiki's
    ``continue``), or ``count`` is a parameter that counts pages up from ``start`` to the number at
    the path ``until`` ("" = until a page is empty).
    """

    merge: str = ""
    count: str = ""
    start: int = 1
    until: str = ""


@dataclass(frozen=True)
class HostLimits:
    """Limits of one download host; 0 = as in params. ``rate`` is files a second, all together."""

    at_once: int = 0
    rate: float = 0.0
    megabits: float = 0.0


@dataclass(frozen=True)
class Limits:
    """How much, how long (seconds) and how much at once.

    ``results``: the most read for one search. ``wait``: for a page or a batch of tiles to come.
    ``idle``: without growth, that makes an idle round; after ``rounds`` of them scrolling is given
    up. ``pause``: between two pages of this site. ``visits``: searches at once on this site.
    ``details``: fragments fetched at once inside a page.
    """

    results: int = 1000
    wait: float = 20.0
    idle: float = 1.5
    rounds: int = 4
    pause: float = 1.0
    visits: int = 1
    details: int = 4

    def jittered_pause(self) -> float:
        """Seconds to rest now."""
        return jittered(self.pause)


def jittered(seconds: float) -> float:
    """Somewhat irregular, so that visitors do not keep step: within half of ``seconds``."""
    return seconds * random.uniform(0.5, 1.5)


@dataclass(frozen=True)
class Page:
    """One way to search a site; ``name`` is "" for the only one.

    ``tile`` and ``detail`` map a field to its ordered alternatives (``pipeline.scraping.fields``).
    ``script``, the body of a JavaScript function, takes the place of ``tile``. ``items``, ``order``
    and ``next`` are for APIs alone.
    """

    name: str
    search: str
    results: Results = field(default_factory=Results)
    tile: Rules = field(default_factory=dict)
    detail: Rules = field(default_factory=dict)
    panel: str = ""
    script: str = ""
    items: str = ""
    order: str = ""
    next: Next | None = None


@dataclass(frozen=True)
class Search:
    """One results page to visit."""

    page: Page
    query: str
    url: str

    @property
    def label(self) -> str:
        return f"{self.page.name}: {self.query}" if self.page.name else self.query


@dataclass(frozen=True)
class Source:
    """One site; its ``pages`` are tried in order until there are enough pictures."""

    name: str
    kind: str
    pages: tuple[Page, ...]
    verified: str = ""
    proven: str = ""
    about: str = ""
    terms: str = ""
    robots: str = ""
    base: str = ""
    needs_contact: bool = False
    queries: tuple[str, ...] = ("{query}",)
    cc: str = ""
    pictures: bool = False
    consent: Consent = field(default_factory=Consent)
    blocked: Blocked = field(default_factory=Blocked)
    limits: Limits = field(default_factory=Limits)
    hosts: dict[str, HostLimits] = field(default_factory=dict)

    @property
    def needs_base(self) -> bool:
        """Whether an address has to be given: the file names none, and its searches use one."""
        return not self.base and any("{base}" in page.search for page in self.pages)

    def searches(
        self, breed: str, queries: Sequence[str], base: str = "", cc: bool = False
    ) -> list[Search]:
        """Every search for ``breed`` in the order to try them: pages, phrasings, ``queries``.

        A page whose address has no ``{query}`` (a category) gives one search.

        Args:
            breed: name as in breeds.yaml; ``{title}`` makes ``Siberian_Husky`` of siberian_husky.
            base: address of the site in place of the file's own.
            cc: ask the site for Creative Commons licences, where the file says how.
        """
        base = (base or self.base).rstrip("/")
        title = "_".join(word[:1].upper() + word[1:] for word in breed.replace("_", " ").split())
        phrased = [text.replace("{query}", query) for text in self.queries for query in queries]
        found: dict[str, Search] = {}
        for page in self.pages:
            named = "{query}" not in page.search
            for query in [title.replace("_", " ")] if named else phrased:
                url = page.search.replace("{base}", base).replace("{title}", quote(title))
                url = url.replace("{query}", quote_plus(query))
                if cc and not named:
                    url += self.cc
                found.setdefault(url, Search(page, query, url))
        return list(found.values())

    def hosts_at(self, base: str = "") -> dict[str, HostLimits]:
        """``hosts`` with ``{base}`` replaced by the host that the site has at ``base``."""
        host = urlsplit(base or self.base).hostname or ""
        found = {name.replace("{base}", host): limits for name, limits in self.hosts.items()}
        return {name: limits for name, limits in found.items() if name}
