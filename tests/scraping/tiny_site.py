"""A few lines of image-search site, by the same structure as the embedded gallery, with faults.

The first word of the query picks what goes wrong; ``normal`` has 50 results: 24 at once, more by
scrolling, a button after every second batch, a consent dialog over it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator

import numpy as np
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

RESULTS, BATCH = 50, 24
asked: Counter[str] = Counter()  # how often each path was requested
robots: list[str] = []  # the text of /robots.txt, if there is to be one
agents: dict[str, str] = {}  # path -> the User-Agent that asked last

PAGE = """<!doctype html><title>{query} – tiny</title>
<style>a.tile {{display:block;height:120px}} dialog {{position:fixed}}</style>
<main id="results">{tiles}</main>
<div id="spinner" aria-busy="false"></div>{tail}
<button id="more" hidden>Show more</button>
<aside id="detail"></aside>
<dialog id="consent"><button data-consent="reject">No</button>
<button data-consent="accept">Yes</button></dialog>
<script>
const query = "{query}", main = document.querySelector("#results");
const spinner = document.querySelector("#spinner"), more = document.querySelector("#more");
let batches = 1, loading = false, over = {over};
async function load() {{
  if (loading || over) return;
  loading = true; spinner.ariaBusy = "true";
  const offset = main.querySelectorAll("a.tile").length;
  const answer = await fetch(`/results?q=${{encodeURIComponent(query)}}&offset=${{offset}}`);
  main.insertAdjacentHTML("beforeend", await answer.text());
  spinner.ariaBusy = "false"; loading = false; batches++;
  over = main.querySelector("p#end") !== null;
  more.hidden = over || batches % 2;
}}
addEventListener("scroll", () => {{
  const near = innerHeight + scrollY > document.documentElement.scrollHeight - 300;
  if (near && more.hidden && !query.startsWith("frozen")) load();
}});
more.onclick = () => {{ more.hidden = true; load(); }};
main.onclick = async (event) => {{
  event.preventDefault();
  const id = event.target.closest("a.tile").dataset.id;
  const answer = await fetch(`/panel/${{id}}`);
  document.querySelector("#detail").innerHTML = await answer.text();
}};
const consent = document.querySelector("#consent");
if (!document.cookie.includes("consent") && main.children.length) consent.showModal();
for (const button of consent.querySelectorAll("button")) button.onclick = () => {{
  if (query.startsWith("stuck")) return;
  document.cookie = "consent=1"; consent.close();
}};
</script>"""


def picture(number: int) -> bytes:
    """A JPEG that differs from number to number."""
    pixels = np.random.default_rng(number).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((160, 120)).save(out, "JPEG")
    return out.getvalue()


def tiles(query: str, offset: int, count: int = RESULTS) -> str:
    word = query.split()[0]
    last = min(offset + BATCH, count)
    rows = [
        f'<a class="tile" data-id="{word}-{i}" data-detail="/detail/{word}-{i}" '
        f'href="/page/{word}-{i}">{i}</a>'
        for i in range(offset, last)
    ]
    end = '<p id="end">The end</p>' if last == count and word not in ("endless", "frozen") else ""
    return "".join(rows) + end


async def search(request: Request) -> Response:
    query = request.query_params["q"]
    word = query.split()[0]
    asked[f"/search {query}"] += 1
    agents["/search"] = request.headers["User-Agent"]
    if word == "sorry":
        return RedirectResponse("/sorry/index")
    if word == "teapot":
        return HTMLResponse("too many requests", 429)
    if word == "down":
        return HTMLResponse("<p>our fault</p>", 503)
    if word in HOSTILE:
        return HOSTILE[word]()
    if word == "changed":
        body = tiles(query, 0).replace('class="tile"', 'class="card"')
    else:
        body = "" if word == "nothing" else tiles(query, 0)
    tail = '<p id="none">Nothing found</p>' if word == "nothing" else ""
    return HTMLResponse(
        PAGE.format(query=query, tiles=body, tail=tail, over=str(word == "nothing").lower())
    )


async def _flood() -> AsyncIterator[bytes]:
    while True:
        yield b"<p>dog</p>" * 1000
        await asyncio.sleep(0)


# Pages that no browser ends with.
HOSTILE: dict[str, Callable[[], Response]] = {
    "flood": lambda: StreamingResponse(_flood(), media_type="text/html"),
    "bomb": lambda: Response(
        gzip.compress(b"<!--" + bytes(256 << 20)), headers={"Content-Encoding": "gzip"},
        media_type="text/html",
    ),
    "busy": lambda: HTMLResponse("<script>while (true) {}</script>"),
    "alert": lambda: HTMLResponse("<script>while (true) alert(1)</script>"),
}  # fmt: skip


async def results(request: Request) -> Response:
    await asyncio.sleep(0.05)
    query, offset = request.query_params["q"], int(request.query_params["offset"])
    return HTMLResponse(tiles(query, offset))


async def detail(request: Request) -> Response:
    name = request.path_params["name"]
    if name.startswith("clicks") or request.url.path == "/page":
        return HTMLResponse("no fragment", 500)
    return HTMLResponse(article(name))


async def panel(request: Request) -> Response:
    return HTMLResponse(article(request.path_params["name"]))


def article(name: str) -> str:
    if name.startswith("bare"):
        return f'<article class="detail" data-id="{name}"><h2 class="title">?</h2></article>'
    return f"""<article class="detail" data-id="{name}"><h2 class="title">Dog {name}</h2>
      <a class="original" href="/original/{name}.jpg">full size</a>
      <a class="source-page" href="/page/{name}">page</a>
      <span class="licence">{licence(name)}</span><span class="author">Ann</span></article>"""


def licence(name: str) -> str:
    """Of ``mixed`` every other result is free."""
    free = not name.startswith("mixed") or int(name.rpartition("-")[2]) % 2
    return "CC0" if free else "All rights reserved"


async def original(request: Request) -> Response:
    name = request.path_params["name"].removesuffix(".jpg")
    asked[request.url.path] += 1
    agents[request.url.path] = request.headers["User-Agent"]
    word, _, number = name.rpartition("-")
    data = picture(int(number))
    if word == "dead" and int(number) % 3 == 0:
        return Response("gone", 404)
    if word == "slow":
        await asyncio.sleep(0.15)
    if word == "odd" and int(number) % 4 == 0:
        return Response("<!doctype html><p>not a picture", 200, media_type="image/jpeg")
    if word == "twins":
        data = picture(int(number) // 2)
    return Response(data, media_type="image/jpeg")


async def fault(request: Request) -> Response:
    """/fault/KIND/ANYTHING: one server fault each."""
    kind, path = request.path_params["kind"], request.url.path
    asked[path] += 1
    first = asked[path] == 1
    if kind == "limited" and first:
        return Response("later", 429, headers={"Retry-After": "0.2"})
    if kind == "limited_always":
        return Response("later", 429, headers={"Retry-After": "0"})
    if kind == "broken" and first:
        return Response("oops", 500)
    if kind == "broken_always":
        return Response("oops", 503)
    if kind == "slow":
        await asyncio.sleep(5)
    if kind == "cut" or (kind == "cut_once" and first):
        return StreamingResponse(_cut(), headers={"Content-Length": str(len(picture(1)))})
    if kind == "endless":
        return StreamingResponse(_endless(), media_type="image/jpeg")
    if kind == "huge":
        return StreamingResponse(_endless(), headers={"Content-Length": "99999999999"})
    if kind == "loop":
        return RedirectResponse(path)
    if kind == "moved":
        return RedirectResponse("/fault/fine/1")
    if kind == "private":
        return RedirectResponse(f"http://127.0.0.2:{request.url.port}/fault/fine/1")
    if kind == "file":
        return RedirectResponse("file:///etc/passwd")
    if kind == "gone":
        return Response("gone", 410)
    if kind == "forbidden":
        return Response("no", 403)
    if kind == "html":
        return Response("<!doctype html><p>sorry", media_type="image/jpeg")
    if kind == "empty":
        return Response(b"", media_type="image/jpeg")
    return Response(picture(1), media_type="image/jpeg")


async def _cut() -> AsyncIterator[bytes]:
    yield picture(1)[:100]


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield bytes(65536)
        await asyncio.sleep(0)


async def health(request: Request) -> Response:
    return Response("tiny")


def page(request: Request) -> Response:
    return HTMLResponse("<form id=captcha-form></form>")


async def robots_txt(request: Request) -> Response:
    asked["/robots.txt"] += 1
    agents["/robots.txt"] = request.headers["User-Agent"]
    return Response(robots[0] if robots else "none", 200 if robots else 404)


app = Starlette(
    routes=[
        Route("/robots.txt", robots_txt),
        Route("/healthz", health),
        Route("/search", search),
        Route("/results", results),
        Route("/detail/{name}", detail),
        Route("/panel/{name}", panel),
        Route("/original/{name}", original),
        Route("/fault/{kind}/{rest:path}", fault),
        Route("/sorry/index", page),
    ]
)


@contextlib.contextmanager
def running(site: Starlette = app) -> Iterator[str]:
    """The address of the site, served on a free port (also on 127.0.0.2)."""
    config = uvicorn.Config(site, host="0.0.0.0", port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)
