"""A gallery of small drawings, and a server for it that counts what it sends.

    python quick_gallery.py BREEDS PER_BREED PLANTED FAULTS DELAY

prints its address and serves until it is killed. ``/counts`` says how often each original was sent
to its end, wherever redirects led; ``DELAY`` is the seconds before each of them.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from pipeline.scraping.gallery import Gallery, drawn, run
from pipeline.scraping.gallery.picture import Picture, describe
from pipeline.scraping.gallery.site import PLACEHOLDER


def small(seed: int, breed: str, index: int) -> Picture:
    """The description of a picture a sixth as wide and as high; stands in for ``describe``."""
    picture = describe(seed, breed, index)
    return replace(picture, width=picture.width // 6, height=picture.height // 6)


class Counted:
    """The gallery's application behind a delay and a count of whole answers."""

    def __init__(self, gallery: Gallery, delay: float) -> None:
        self.site, self.delay = gallery.app, delay
        self.sent: Counter[str] = Counter()
        self.app = Starlette(routes=[Route("/counts", self.counts), Mount("/", self.serve)])

    async def counts(self, request: Request) -> JSONResponse:
        return JSONResponse(self.sent)

    async def serve(self, scope: Any, receive: Any, send: Any) -> None:
        folder, _, name = scope["path"].rpartition("/")
        if folder not in ("/original", "/moved"):
            await self.site(scope | {"root_path": ""}, receive, send)
            return
        await asyncio.sleep(self.delay)
        status = 0

        async def counting(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self.sent[name] += status in (200, 206)

        await self.site(scope | {"root_path": ""}, receive, counting)


def main(breeds: str, per_breed: str, planted: str, faults: str, delay: str) -> None:
    drawn.describe = small
    gallery = Gallery(
        breeds.split(","), seed=3, per_breed=int(per_breed), planted=float(planted),
        faults=float(faults),
    )  # fmt: skip
    for entry in gallery.collection.find(""):  # drawn now, so that all runs find it as quick
        gallery.collection.small(entry, PLACEHOLDER)
        gallery.collection.original(entry)
    run(Counted(gallery, float(delay)), port=0, on_ready=lambda url: print(url, flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
