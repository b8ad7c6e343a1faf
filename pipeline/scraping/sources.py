"""Sources are data: one YAML file a site says how to search it and where its pictures are."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from pipeline.errors import ParamsError
from pipeline.knobs import parse_yaml, read_document

FIELDS = ("image_url", "page_url", "title", "licence", "author")


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

    tile: str
    none: str = ""
    end: str = ""
    more: str = ""
    spinner: str = ""


@dataclass(frozen=True)
class Limits:
    results: int = 1000
    wait: float = 20.0
    idle: float = 1.5
    rounds: int = 4


@dataclass(frozen=True)
class Source:
    """One site. ``tile`` and ``detail`` map a field's name to its ordered alternatives."""

    name: str
    verified: str
    search: str
    results: Results
    tile: dict[str, tuple[str, ...]]
    detail: dict[str, tuple[str, ...]] = field(default_factory=dict)
    panel: str = ""
    consent: Consent = field(default_factory=Consent)
    blocked: Blocked = field(default_factory=Blocked)
    limits: Limits = field(default_factory=Limits)
    pictures: bool = False
    about: str = ""
    terms: str = ""
    robots: str = ""

    def search_url(self, query: str, base: str = "") -> str:
        return self.search.replace("{base}", base).replace("{query}", quote_plus(query))


def source_names(own: Path) -> list[str]:
    """Every known source: those that ship and those in the user's folder ``own``."""
    shipped = [Path(item.name) for item in _shipped().iterdir()]
    names = {path.stem for path in (*shipped, *own.glob("*.yaml")) if path.suffix == ".yaml"}
    return sorted(names)


def load_source(name: str, own: Path) -> Source:
    """The source ``name``; a file ``own/name.yaml`` wins over the one that ships.

    Raises:
        ParamsError: unknown name, or a file that does not say what it must (file and key named).
    """
    known = source_names(own)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
        raise ParamsError(f"scrape.sources: unknown source {name}; {hint}")
    mine = own / f"{name}.yaml"
    if mine.is_file():
        document, file = read_document(mine), f"sources/{name}.yaml"
    else:
        text = _shipped().joinpath(f"{name}.yaml").read_text(encoding="utf-8")
        document, file = parse_yaml(text, f"{name}.yaml"), f"{name}.yaml"
    source = parse_source(document, file)
    if source.name != name:
        raise ParamsError(f"{file}: name: got {source.name!r}, expected the file's own, {name}")
    return source


def _shipped() -> Any:
    return resources.files("pipeline.scraping") / "sources"


def parse_source(document: dict[str, Any], file: str) -> Source:
    """A checked ``Source`` from a plain mapping. Raises ``ParamsError`` naming file and key."""
    reader = _Reader(document, file)
    reader.only(
        *("name", "verified", "about", "terms", "robots", "kind", "search", "pictures"),
        *("consent", "blocked", "results", "tile", "detail", "limits"),
    )
    if document.get("kind", "browser") != "browser":
        raise ParamsError(f"{file}: kind: got {document['kind']!r}, expected browser")
    search = reader.text("search", needed=True)
    if "{query}" not in search:
        raise ParamsError(f"{file}: search: got {search!r}, expected an address with {{query}}")
    return Source(
        name=reader.text("name", needed=True),
        verified=str(document.get("verified", "")),
        search=search,
        results=_results(reader.section("results", needed=True)),
        **_fields(reader.section("tile", needed=True), reader.section("detail")),
        consent=_consent(reader.section("consent")),
        blocked=_blocked(reader.section("blocked")),
        limits=_limits(reader.section("limits")),
        pictures=reader.flag("pictures"),
        about=reader.text("about"),
        terms=reader.text("terms"),
        robots=reader.text("robots"),
    )


def _results(reader: _Reader) -> Results:
    reader.only("tile", "none", "end", "more", "spinner")
    return Results(
        reader.text("tile", needed=True),
        *(reader.text(key) for key in ("none", "end", "more", "spinner")),
    )


def _fields(tile: _Reader, detail: _Reader) -> dict[str, Any]:
    tile.only("id", "detail", *FIELDS)
    detail.only("panel", *FIELDS)
    tiles = {key: tile.texts(key) for key in tile.document}
    details = {key: detail.texts(key) for key in detail.document if key != "panel"}
    if "image_url" not in tiles and "image_url" not in details:
        raise ParamsError(
            f"{tile.file}: image_url: missing; expected under tile or detail: where the full-size "
            "address is, as image_url: [a.original@href]"
        )
    if details and "detail" not in tiles and not detail.text("panel"):
        raise ParamsError(
            f"{tile.file}: detail: its fields are never reached; expected tile.detail (address of "
            "a fragment) or detail.panel (what a click opens)"
        )
    return {"tile": tiles, "detail": details, "panel": detail.text("panel")}


def _consent(reader: _Reader) -> Consent:
    reader.only("overlay", "buttons")
    return Consent(reader.text("overlay"), reader.texts("buttons"))


def _blocked(reader: _Reader) -> Blocked:
    reader.only("selectors", "addresses")
    return Blocked(reader.texts("selectors"), reader.texts("addresses"))


def _limits(reader: _Reader) -> Limits:
    reader.only("results", "wait", "idle", "rounds")
    standard = Limits()
    return Limits(
        int(reader.number("results", standard.results)),
        reader.number("wait", standard.wait),
        reader.number("idle", standard.idle),
        int(reader.number("rounds", standard.rounds)),
    )


class _Reader:
    """One section of a source file; every complaint names file and key."""

    def __init__(self, document: dict[str, Any], file: str, prefix: str = "") -> None:
        self.document, self.file, self.prefix = document, file, prefix

    def only(self, *known: str) -> None:
        for key in self.document:
            if key not in known:
                close = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
                raise self._misfit(key, f"unknown key; {hint}")

    def section(self, key: str, needed: bool = False) -> _Reader:
        value = self.document.get(key) or {}
        if not isinstance(value, dict) or (needed and not value):
            raise self._misfit(key, f"got {value!r}, expected a section with keys")
        return _Reader(value, self.file, f"{self.prefix}{key}.")

    def text(self, key: str, needed: bool = False) -> str:
        value = self.document.get(key) or ""
        if not isinstance(value, str) or (needed and not value):
            raise self._misfit(key, f"got {self.document.get(key)!r}, expected text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.document.get(key) or []
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
            raise self._misfit(key, f"got {value!r}, expected a list of texts")
        return tuple(values)

    def number(self, key: str, otherwise: float) -> float:
        value = self.document.get(key, otherwise)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise self._misfit(key, f"got {value!r}, expected a number above 0")
        return value

    def flag(self, key: str) -> bool:
        value = self.document.get(key, False)
        if not isinstance(value, bool):
            raise self._misfit(key, f"got {value!r}, expected true or false")
        return value

    def _misfit(self, key: str, what: str) -> ParamsError:
        return ParamsError(f"{self.file}: {self.prefix}{key}: {what}")
