"""Sources are data: one YAML file a site says how to search it and where its pictures are."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import ParamsError
from pipeline.knobs import parse_yaml, read_document, shown
from pipeline.scraping import fields
from pipeline.scraping.source_model import (
    FIELDS,
    Blocked,
    Consent,
    HostLimits,
    Limits,
    Next,
    Page,
    Results,
    Rules,
    Search,
    Source,
)

__all__ = [
    "Blocked",
    "Consent",
    "HostLimits",
    "Limits",
    "Next",
    "Page",
    "Results",
    "Search",
    "Source",
    "load_source",
    "parse_source",
    "source_names",
]

_ABOUT = ("name", "verified", "proven", "about", "terms", "robots", "kind", "base")
_PAGE = {
    "browser": ("search", "results", "tile", "detail", "script"),
    "api": ("search", "items", "order", "next", "tile"),
}
_HOST = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*|\{base\}")


def source_names(own: Path) -> list[str]:
    """Every known source: those that ship and those in the user's folder ``own``."""
    shipped = [Path(item.name) for item in _shipped().iterdir()]
    names = {path.stem for path in (*shipped, *own.glob("*.yaml")) if path.suffix == ".yaml"}
    return sorted(names)


def check_name(key: str, name: str, known: Sequence[str]) -> None:
    """Raises ``ParamsError``, blaming ``key``, for a name that no source has."""
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
        raise ParamsError(f"{key}: unknown source {name}; {hint}")


def load_source(name: str, own: Path) -> Source:
    """The source ``name``; a file ``own/name.yaml`` wins over the one that ships.

    Raises:
        ParamsError: unknown name, or a file that does not say what it must (file and key named).
    """
    check_name("scrape.sources", name, source_names(own))
    mine = own / f"{name}.yaml"
    if os.path.lexists(mine):
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
    kind = reader.text("kind") or "browser"
    if kind not in _PAGE:
        raise reader.misfit("kind", f"got {kind!r}, expected browser or api")
    shared = ("queries", "cc", "needs_contact", "limits", "hosts", "pages")
    marks = ("pictures", "consent", "blocked") if kind == "browser" else ()
    reader.only(*_ABOUT, *shared, *marks, *_PAGE[kind])
    texts = {key: reader.text(key) for key in ("proven", "about", "terms", "robots", "cc")}
    return Source(
        name=reader.text("name", needed=True),
        kind=kind,
        pages=_pages(reader, kind),
        verified=str(document.get("verified", "")),
        base=_base(reader),
        needs_contact=reader.flag("needs_contact"),
        queries=_queries(reader),
        pictures=reader.flag("pictures"),
        consent=_consent(reader.section("consent")),
        blocked=_blocked(reader.section("blocked")),
        limits=_limits(reader.section("limits")),
        hosts=_hosts(reader.section("hosts")),
        **texts,
    )


def _base(reader: _Reader) -> str:
    base = reader.text("base")
    if base and not _is_address(base):
        raise reader.misfit("base", f"got {base!r}, expected an address as https://example.org")
    return base.rstrip("/")


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _queries(reader: _Reader) -> tuple[str, ...]:
    queries = reader.texts("queries") or ("{query}",)
    for text in queries:
        if "{query}" not in text:
            raise reader.misfit("queries", f"got {shown(text)}, expected a text with {{query}}")
    return queries


def _pages(reader: _Reader, kind: str) -> tuple[Page, ...]:
    if "pages" not in reader.document:
        return (_page(reader, kind, ""),)
    for key in _PAGE[kind]:
        if key in reader.document:
            raise reader.misfit(key, "stands beside pages; expected inside one of them")
    pages = []
    for section in reader.sections("pages"):
        section.only("name", *_PAGE[kind])
        pages.append(_page(section, kind, section.text("name", needed=True)))
    names = [page.name for page in pages]
    if len(set(names)) < len(names):
        raise reader.misfit("pages", f"two have one name ({', '.join(names)})")
    return tuple(pages)


def _page(reader: _Reader, kind: str, name: str) -> Page:
    search = reader.text("search", needed=True)
    if "{query}" not in search and "{title}" not in search:
        raise reader.misfit(
            "search", f"got {shown(search)}, expected an address with {{query}} or {{title}}"
        )
    unknown = set(re.findall(r"\{(\w+)\}", search)) - {"base", "query", "title"}
    if unknown or not (search.startswith("{base}") or _is_address(search)):
        raise reader.misfit(
            "search",
            f"got {shown(search)}, expected an address that begins with {{base}} or https:// "
            "and has no placeholders but {base}, {query} and {title}",
        )
    if kind == "browser":
        return _browser_page(reader, name, search)
    items, tile = reader.text("items", needed=True), reader.section("tile", needed=True)
    tile.only("id", *FIELDS)
    rules = {key: tile.alternatives(key, in_page=False) for key in tile.document}
    if "image_url" not in rules:
        raise tile.misfit("image_url", "missing; expected a dotted path, as image_url: [url]")
    order = reader.text("order")
    return Page(name, search, tile=rules, items=items, order=order, next=_next(reader))


def _browser_page(reader: _Reader, name: str, search: str) -> Page:
    results, script = _results(reader.section("results", needed=True)), reader.text("script")
    if script and "tile" in reader.document:
        raise reader.misfit("tile", "stands beside script; expected one of them")
    rules = _fields(reader.section("tile", needed=not script), reader.section("detail"), script)
    return Page(name, search, results, script=script, **rules)


def _results(reader: _Reader) -> Results:
    optional = ("none", "end", "more", "spinner", "next")
    reader.only("tile", *optional)
    return Results(reader.text("tile", needed=True), **{key: reader.text(key) for key in optional})


def _fields(tile: _Reader, detail: _Reader, script: str) -> dict[str, Any]:
    tile.only("id", "detail", *FIELDS)
    detail.only("panel", *FIELDS)
    tiles: Rules = {key: tile.alternatives(key) for key in tile.document}
    details = {key: detail.alternatives(key) for key in detail.document if key != "panel"}
    if not script and "image_url" not in tiles and "image_url" not in details:
        raise ParamsError(
            f"{tile.file}: image_url: missing; expected under tile or detail: where the full-size "
            "address is, as image_url: [a.original@href]"
        )
    if details and not script and "detail" not in tiles and not detail.text("panel"):
        raise ParamsError(
            f"{tile.file}: detail: its fields are never reached; expected tile.detail (address of "
            "a fragment) or detail.panel (what a click opens)"
        )
    return {"tile": tiles, "detail": details, "panel": detail.text("panel")}


def _next(reader: _Reader) -> Next | None:
    rule = reader.section("next")
    rule.only("merge", "count", "from", "until")
    if not rule.document:
        return None
    merge, count = rule.text("merge"), rule.text("count")
    if bool(merge) == bool(count) or (merge and len(rule.document) > 1):
        raise reader.misfit(
            "next", "expected either {merge: PATH} or {count: PARAMETER, from: 1, until: PATH}"
        )
    return Next(merge, count, int(rule.number("from", 1, zero=True)), rule.text("until"))


def _consent(reader: _Reader) -> Consent:
    reader.only("overlay", "buttons")
    return Consent(reader.text("overlay"), reader.texts("buttons"))


def _blocked(reader: _Reader) -> Blocked:
    reader.only("selectors", "addresses")
    return Blocked(reader.texts("selectors"), reader.texts("addresses"))


def _limits(reader: _Reader) -> Limits:
    whole, standard = ("results", "rounds", "visits", "details"), Limits()
    reader.only(*whole, "wait", "idle", "pause")
    values: dict[str, Any] = {
        key: reader.number(key, getattr(standard, key), zero=key == "pause")
        for key in reader.document
    }
    return Limits(**{key: int(value) if key in whole else value for key, value in values.items()})


def _hosts(reader: _Reader) -> dict[str, HostLimits]:
    hosts = {}
    for host in reader.document:
        if not isinstance(host, str) or not _HOST.fullmatch(host):
            raise reader.misfit(
                host, "expected a host as img.example.org, *.example.org or '{base}'"
            )
        limits = reader.section(host, needed=True)
        limits.only("at_once", "rate", "megabits")
        hosts[host] = HostLimits(
            int(limits.number("at_once", 0, zero=True)),
            limits.number("rate", 0, zero=True),
            limits.number("megabits", 0, zero=True),
        )
    return hosts


class _Reader:
    """One section of a source file; every complaint names file and key."""

    def __init__(self, document: dict[str, Any], file: str, prefix: str = "") -> None:
        self.document, self.file, self.prefix = document, file, prefix

    def only(self, *known: str) -> None:
        for key in self.document:
            if key not in known:
                close = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
                raise self.misfit(key, f"unknown key; {hint}")

    def section(self, key: str, needed: bool = False) -> _Reader:
        value = self.document.get(key) or {}
        if not isinstance(value, dict) or (needed and not value):
            raise self.misfit(key, f"got {shown(value)}, expected a section with keys")
        return _Reader(value, self.file, f"{self.prefix}{key}.")

    def sections(self, key: str) -> list[_Reader]:
        value = self.document.get(key)
        if not isinstance(value, list) or not value:
            raise self.misfit(key, f"got {shown(value)}, expected a list of sections")
        found = []
        for place, item in enumerate(value):
            if not isinstance(item, dict):
                raise self.misfit(
                    f"{key}.{place}", f"got {shown(item)}, expected a section with keys"
                )
            found.append(_Reader(item, self.file, f"{self.prefix}{key}.{place}."))
        return found

    def text(self, key: str, needed: bool = False) -> str:
        value = self.document.get(key) or ""
        if not isinstance(value, str) or (needed and not value):
            raise self.misfit(key, f"got {shown(self.document.get(key))}, expected text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.document.get(key) or []
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
            raise self.misfit(key, f"got {shown(value)}, expected a list of texts")
        return tuple(values)

    def alternatives(self, key: str, in_page: bool = True) -> tuple[str, ...]:
        texts = self.texts(key)
        for text in texts:
            try:
                fields.parse(text, in_page)
            except ValueError as error:
                raise self.misfit(key, str(error)) from None
        return texts

    def number(self, key: str, otherwise: float, zero: bool = False) -> float:
        value = self.document.get(key, otherwise)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not (value > 0 or (zero and value == 0)):
            least = "of 0 or more" if zero else "above 0"
            raise self.misfit(key, f"got {shown(value)}, expected a number {least}")
        return value

    def flag(self, key: str) -> bool:
        value = self.document.get(key, False)
        if not isinstance(value, bool):
            raise self.misfit(key, f"got {shown(value)}, expected true or false")
        return value

    def misfit(self, key: Any, what: str) -> ParamsError:
        return ParamsError(f"{self.file}: {self.prefix}{key}: {what}")
