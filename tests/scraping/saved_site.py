"""Serves the hand-written pages in ``saved/`` under the addresses that the sites have.

``/google/search`` is ``https://www.google.com/search`` and so on, so that a source's ``{base}`` is
``http://127.0.0.1:PORT/google``. The first word of the query picks what goes wrong: ``nothing``,
``changed``, ``captcha``, ``stuck``, ``refused``; any other word goes well.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

SAVED = Path(__file__).parent / "saved"
PAGES = {
    "google/search": "google.html",
    "google/sorry/index": "google-sorry.html",
    "google/consent": "google-consent.html",
    "bing/images/search": "bing.html",
    "duckduckgo/": "duckduckgo.html",
    "searxng/search": "searxng.html",
    "flickr/search/": "flickr.html",
    "commons/wiki/Special:MediaSearch": "mediasearch.html",
    "kennel/search": "kennel.html",
}
# What a redesign would do to each site: the marks that its source goes by have other names.
REDESIGNS = {
    "google": [("dTDiAc", "Qx12"), ("data-docid", "data-ved")],
    "bing": [("iusc", "b_tile")],
    "duckduckgo": [('"zci-images"', '"images-2"')],
    "searxng": [("result-images", "picture")],
    "flickr": [("photo-list-photo-view", "photo-card")],
    "commons": [("sdms-image-result", "cdx-image")],
}
asked: Counter[str] = Counter()  # how often each path was requested


async def page(request: Request) -> Response:
    path = request.path_params["path"]
    asked[path] += 1
    site, _, rest = path.partition("/")
    form = await parameters(request)
    query = next((form[key] for key in ("q", "text", "search", "gsrsearch") if key in form), "")
    query = query.removeprefix("filetype:bitmap ")
    word = query.split(" ")[0]
    if rest.endswith("behaviour.js"):
        return filled("behaviour.js", {"QUERY": query}, "text/javascript")
    if path in ANSWERS:
        return ANSWERS[path](request, form, word)
    if path == "robots.txt":
        return Response("User-agent: *\nDisallow: /google/search\n", media_type="text/plain")
    if word == "refused" and site != "duckduckgo":  # which refuses its data, not its page
        return HTMLResponse("later", 429)
    if path.startswith("commons/wiki/File:"):
        name = rest.removeprefix("wiki/File:").removesuffix(".jpg")
        return filled("mediasearch-file.html", {"FILE": name})
    if path.startswith("kennel/photo/"):
        return filled("kennel-photo.html", {"FILE": rest.removeprefix("photo/")})
    if path == "google/search" and word == "captcha":
        return RedirectResponse(f"/google/sorry/index?q={query}")
    if path == "google/search" and word == "asked" and "agreed" not in request.cookies:
        return RedirectResponse(f"/google/consent?continue={request.url.path}?q={query}")
    if path == "google/save":
        back = RedirectResponse(form["continue"], 303)
        back.set_cookie("agreed", "1")
        return back
    if path not in PAGES:
        return HTMLResponse("no such page", 404)
    number = int(form.get("pageno", 1))
    values = {"QUERY": query, "PAGE": str(number), "NEXT": str(number + 1)}
    changes = REDESIGNS[site] if word == "changed" else []
    return filled(PAGES[path], values | {"CONTINUE": form.get("continue", "")}, changes=changes)


async def parameters(request: Request) -> dict[str, str]:
    """Those of the address and of a posted form."""
    posted = parse_qs((await request.body()).decode(), keep_blank_values=True)
    return dict(request.query_params) | {key: values[0] for key, values in posted.items()}


def filled(
    name: str,
    values: dict[str, str],
    kind: str = "text/html",
    changes: list[tuple[str, str]] | None = None,
) -> Response:
    text = (SAVED / name).read_text(encoding="utf-8")
    for old, new in changes or ():
        text = text.replace(old, new)
    for key, value in values.items():
        text = text.replace(f"%{key}%", html.escape(value))
    return Response(text, media_type=kind)


# ------------------------------------------------------------------------------------- answers


def duckduckgo(request: Request, form: dict[str, str], word: str) -> Response:
    """``/i.js``: 26 results, 10 at a time."""
    if word == "refused":
        return Response("", 403)
    start = int(form["s"])
    results = [
        {
            "image": f"https://kennel.example/dogs/{i}.jpg",
            "thumbnail": f"https://tse1.mm.bing.net/th?id=OIP.{i}&pid=Api",
            "url": f"https://kennel.example/page/{i}",
            "title": f"Beagle {i}",
            "width": 1600,
            "height": 1200 + i,
            "source": "Bing",
        }
        for i in range(start, min(start + 10, 26))
    ]
    more = {"next": f"i.js?o=json&q={form['q']}&vqd=4-123&s={start + 10}"} if start < 20 else {}
    return JSONResponse({"results": results, "query": form["q"], "queryEncoded": form["q"], **more})


def openverse(request: Request, form: dict[str, str], word: str) -> Response:
    """``/v1/images/``: 45 results; all have a licence, every fifth no author."""
    size, number = int(form["page_size"]), int(form["page"])
    if size > 20 or size * number > 240:
        return JSONResponse({"detail": "Authentication credentials were not provided."}, 401)
    if word == "refused":
        return JSONResponse({"detail": "Request was throttled."}, 429, {"Retry-After": "0"})
    count = 0 if word == "nothing" else 10_000 if word == "deep" else 45
    last = min(-(-count // size), 240 // size)
    results = [
        {
            "id": f"0b5c-{i}",
            "title": f"Beagle {i}",
            "foreign_landing_url": f"https://photos.example/{i}",
            "url": f"https://live.photos.example/{i}_b.jpg",
            "creator": None if i % 5 == 0 else f"Ann {i}",
            "creator_url": "https://photos.example/ann",
            "license": "by-sa" if i % 2 else "cc0",
            "license_version": "2.0" if i % 2 else "1.0",
            "license_url": "https://creativecommons.org/"
            + ("licenses/by-sa/2.0/" if i % 2 else "publicdomain/zero/1.0/"),
            "provider": "invented",
            "width": 1024,
            "height": 700 + i,
            "detail_url": f"http://api.openverse.org/v1/images/0b5c-{i}/",
            "mature": False,
        }
        for i in range(size * (number - 1), min(size * number, count))
    ]
    if word == "changed":
        results = [{"href": item["url"]} for item in results]
    answer = {"result_count": count, "page_count": last, "page_size": size, "page": number}
    return JSONResponse(answer | {"results": results})


def commons(request: Request, form: dict[str, str], word: str) -> Response:
    """``/w/api.php``: 7 files by search in two answers, 3 in the category of the beagle.

    ``imageinfo`` of one file comes only with the answer after, as happens when answers grow large.
    """
    assert request.headers["user-agent"].startswith("test/1 (")
    if word == "refused":
        info = {"code": "ratelimited", "info": "You have exceeded your rate limit."}
        return JSONResponse({"error": info})
    searching = form["generator"] == "search"
    if not searching and form["gcmtitle"] != "Category:Beagle":
        return JSONResponse({"batchcomplete": True})
    if searching and "nothing" in form["gsrsearch"]:
        return JSONResponse({"batchcomplete": True})
    key, names = ("gsroffset", range(7)) if searching else ("gcmcontinue", range(5, 8))
    start = int(form.get(key, 0))
    rest = "iistart" in form
    shown = list(names)[start : start + 4]
    pages = [
        {"pageid": 900 + i, "ns": 6, "title": f"File:Beagle {i}.v2.jpg"}
        | ({"index": start + place + 1} if searching else {})
        # The first of an answer is held back for the one that continues it.
        | ({"imageinfo": [_imageinfo(i)]} if rest == (place == 0) else {})
        for place, i in enumerate(shown)
    ]
    pages.sort(key=lambda item: -item["pageid"])  # not in the order of the search
    answer: dict[str, Any] = {"query": {"pages": pages}}
    if not rest:
        answer["continue"] = {"iistart": "20200101000000", "continue": "||"} | (
            {key: str(start)} if start else {}
        )
    elif start + 4 < len(names):
        answer |= {"batchcomplete": True, "continue": {key: str(start + 4), "continue": "-||"}}
    else:
        answer["batchcomplete"] = True
    return JSONResponse(answer)


def _imageinfo(i: int) -> dict[str, Any]:
    upload = "https://upload.wikimedia.org/wikipedia/commons"
    name = f"Beagle_{i}.v2.jpg"
    large = {
        "thumburl": f"{upload}/thumb/a/ae/{name}/960px-{name}",
        "thumbwidth": 960,
        "thumbheight": 720,
    }
    return {
        "size": 4_000_000,
        "width": 4000,
        "height": 3000,
        "mime": "image/jpeg",
        "sha1": f"{i:040x}",
        "url": f"{upload}/a/ae/{name}",
        "descriptionurl": f"https://commons.wikimedia.org/wiki/File:{name}",
        "extmetadata": {
            "LicenseShortName": {"value": "CC BY-SA 4.0", "source": "commons-desc-page"},
            "LicenseUrl": {"value": "https://creativecommons.org/licenses/by-sa/4.0"},
            "Artist": {
                "value": f'<a href="//commons.wikimedia.org/wiki/User:Ann">Ann <b>{i}</b></a>'
            },
        },
    } | (large if i != 3 else {"width": 800, "height": 600})


ANSWERS: dict[str, Callable[[Request, dict[str, str], str], Response]] = {
    "duckduckgo/i.js": duckduckgo,
    "openverse/v1/images/": openverse,
    "commons-api/w/api.php": commons,
}

app = Starlette(routes=[Route("/{path:path}", page, methods=["GET", "POST"])])
