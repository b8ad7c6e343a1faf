"""The gallery's web site: search, results that load as one scrolls, a detail panel, originals."""

from __future__ import annotations

import asyncio
import base64
import random
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pipeline.scraping.gallery.entry import Answer, Collection, Entry, suggestions
from pipeline.scraping.gallery.faults import Faults, robots_lines
from pipeline.scraping.gallery.identity import digest

BATCH = 24  # results a batch: in the page itself, and each time one scrolls to its end
THUMB = 240  # longest side of a thumbnail
PLACEHOLDER = 14  # longest side of the blurred picture that stands in for a thumbnail
PREVIEW = 640  # longest side of the picture in the detail panel
HERE = Path(__file__).parent
LICENCE_LINKS = {
    "CC0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC BY 4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC BY-SA 4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


class Site:
    """The pages over one collection. ``app`` is the ASGI application."""

    def __init__(self, collection: Collection, own: bool) -> None:
        self.collection = collection
        self.own = own  # a user's own folder, not drawn dogs
        self.faults = Faults()
        self.templates = Environment(
            loader=FileSystemLoader(HERE / "templates"), autoescape=True, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        self.templates.filters["spoken"] = spoken
        self.app = Starlette(
            routes=[
                Route("/", self.home),
                Route("/search", self.search),
                Route("/results", self.results),
                Route("/detail/{id}", self.detail),
                Route("/page/{id}", self.page),
                Route("/thumb/{id}", self.thumb),
                Route("/preview/{id}", self.preview),
                Route("/original/{name}", self.original),
                Route("/moved/{name}", self.moved),
                Route("/about", self.about),
                Route("/robots.txt", self.robots),
                Route("/healthz", self.healthz),
                Mount("/static", StaticFiles(directory=HERE / "static")),
            ],
            exception_handlers={404: self.not_found},
        )

    def render(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """``template`` as a page."""
        text = self.templates.get_template(template).render(
            own=self.own, consent=request.cookies.get("consent"), licences=LICENCE_LINKS, **values
        )
        return HTMLResponse(text, status, HEADERS)

    async def home(self, request: Request) -> Response:
        """The start page: a search box and a tile for each breed."""
        names = self.collection.names()
        shelves = [
            (name, entries[0], len(entries))
            for name in names
            if (entries := self.collection.entries([name]))
        ]
        return self.render(request, "home.html", shelves=shelves, query="")

    async def search(self, request: Request) -> Response:
        """The results for ``q``, with the first batch in the page."""
        query = request.query_params.get("q", "").strip()[:200]
        found = self.collection.find(query)
        tiles = await run_in_threadpool(self._tiles, found[:BATCH])
        tips = [] if found else suggestions(query, self.collection.names())
        return self.render(
            request, "results.html", query=query, tiles=tiles, total=len(found), tips=tips,
            batch=BATCH,
        )  # fmt: skip

    async def results(self, request: Request) -> Response:
        """The next batch of tiles from ``offset``, as a fragment for the page's script."""
        query = request.query_params.get("q", "").strip()[:200]
        text = request.query_params.get("offset", "0")
        # More than nine digits is no offset, and `int` of a long text is slow.
        offset = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        found = self.collection.find(query)
        tiles = await run_in_threadpool(self._tiles, found[offset : offset + BATCH])
        return self.render(request, "tiles.html", tiles=tiles)

    def _tiles(self, entries: list[Entry]) -> list[tuple[Entry, str]]:
        return [(entry, self._placeholder(entry)) for entry in entries]

    def _placeholder(self, entry: Entry) -> str:
        answer = self.collection.small(entry, PLACEHOLDER)
        return f"data:{answer.media_type};base64,{base64.b64encode(answer.body).decode('ascii')}"

    def _entry(self, request: Request) -> Entry | None:
        return self.collection.entry(request.path_params["id"])

    async def detail(self, request: Request) -> Response:
        """The panel's content."""
        entry = self._entry(request)
        if entry is None:
            return PlainTextResponse("no such picture", 404)
        return self.render(request, "detail.html", entry=entry, size=_size_text(entry))

    async def page(self, request: Request) -> Response:
        """The picture's source page."""
        entry = self._entry(request)
        if entry is None:
            return await self.not_found(request, None)
        more = [e for e in self.collection.entries([entry.breed]) if e.id != entry.id][:8]
        return self.render(
            request, "page.html", entry=entry, size=_size_text(entry), query="", more=more
        )

    async def thumb(self, request: Request) -> Response:
        """A small JPEG."""
        return await self._small(request, THUMB)

    async def preview(self, request: Request) -> Response:
        """A JPEG for the panel: it leaves the original, and its faults, to whoever asks for it."""
        return await self._small(request, PREVIEW)

    async def _small(self, request: Request, longest: int) -> Response:
        entry = self._entry(request)
        if entry is None:
            return PlainTextResponse("no such picture", 404)
        answer = await run_in_threadpool(self.collection.small, entry, longest)
        return _file(answer, "max-age=3600")

    async def original(self, request: Request) -> Response:
        """The full-size file, with whatever fault is planted on it."""
        entry = self._named(request)
        if entry is None:
            return PlainTextResponse("no such picture", 404)
        if entry.kind == "dead_link":
            return PlainTextResponse("this picture is gone", int(str(entry.edit)))
        if entry.kind == "redirect":
            return RedirectResponse(f"/moved/{entry.id}.{entry.extension}", 302)
        if entry.kind == "rate_limited" and self.faults.first_time(entry):
            return PlainTextResponse("too many requests", 429, {"Retry-After": "1"})
        if entry.kind == "slow":
            await asyncio.sleep(random.Random(entry.id).uniform(0.5, 1.4))
        return self.faults.instead(entry) or await self._whole(entry, request)

    async def moved(self, request: Request) -> Response:
        """Where the redirects of ``/original/`` lead."""
        entry = self._named(request)
        if entry is None or entry.kind != "redirect":
            return PlainTextResponse("no such picture", 404)
        return await self._whole(entry, request)

    def _named(self, request: Request) -> Entry | None:
        id, _, extension = request.path_params["name"].partition(".")
        entry = self.collection.entry(id)
        return entry if entry is not None and entry.extension == extension else None

    async def _whole(self, entry: Entry, request: Request) -> Response:
        answer = await run_in_threadpool(self.collection.original, entry)
        if answer is None:
            return PlainTextResponse("this picture is gone", 404)
        return self.faults.send(entry, answer, request) or _file(answer, "max-age=60")

    async def about(self, request: Request) -> Response:
        """What this site is."""
        return self.render(request, "about.html", query="")

    async def robots(self, _request: Request) -> Response:
        """Everything is allowed, but for what is there to be forbidden."""
        forbidden = robots_lines(self.collection.entries(self.collection.names()))
        return PlainTextResponse("\n".join(["User-agent: *", "Allow: /", *forbidden, ""]))

    async def healthz(self, _request: Request) -> Response:
        """That the site is up, and which one: the digest changes with whatever it shows."""
        identity = await run_in_threadpool(self.collection.identity)
        return JSONResponse({"gallery": digest(identity)})

    async def not_found(self, request: Request, _error: Exception | None) -> Response:
        """The page for an address that is none."""
        return self.render(request, "missing.html", 404, query="")


def spoken(name: str) -> str:
    """A breed's name for people: ``siberian_husky`` is Siberian husky."""
    text = " ".join(name.replace("_", " ").split())
    return text[:1].upper() + text[1:]


def _size_text(entry: Entry) -> str:
    if entry.kind == "single" and entry.width is None:
        return "size unknown"
    return f"{entry.shown[0]} × {entry.shown[1]}"


def _file(answer: Answer, keep: str) -> Response:
    headers = {"Cache-Control": keep, "X-Content-Type-Options": "nosniff"}
    return Response(answer.body, 200, headers, answer.media_type)
