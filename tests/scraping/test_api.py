"""APIs answer in pages and in parts, refuse and fail: against a small server that does so."""

from __future__ import annotations

import gzip
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pipeline.scraping.api import merged, visit_api
from pipeline.scraping.outcome import Outcome, Visit
from pipeline.scraping.sources import parse_source

FILES, BATCH, PARTS = 50, 20, 8
WIKI: dict[str, Any] = {
    "name": "wiki",
    "kind": "api",
    "search": "{base}/wiki?action=query&search={query}",
    "items": "query.pages",
    "order": "index",
    "next": {"merge": "continue"},
    "tile": {
        "image_url": ["imageinfo.0.url"],
        "page_url": ["imageinfo.0.descriptionurl"],
        "title": ["title | replace /^File:|\\.jpg$//"],
        "licence": ["imageinfo.0.extmetadata.LicenseShortName.value"],
        "width": ["imageinfo.0.width"],
    },
    "limits": {"pause": 0.01, "wait": 2},
}
COUNTED: dict[str, Any] = WIKI | {
    "name": "counted",
    "search": "{base}/counted?q={query}&page_size=20",
    "items": "results",
    "order": "",
    "next": {"count": "page", "from": 1, "until": "page_count"},
    "tile": {"image_url": ["none", "url"], "title": ["title"], "height": ["height"]},
}


def wiki(query: dict[str, str]) -> dict[str, Any]:
    """MediaWiki's manner: a batch of pages at once, what is known of them in parts of 8."""
    offset, part = int(query.get("gsroffset", 0)), int(query.get("iistart", 0))
    numbers = range(offset, min(offset + BATCH, FILES))
    pages = {}
    for place, number in enumerate(numbers):
        page: dict[str, Any] = {"pageid": 900 - number, "index": number + 1}
        page["title"] = f"File:Dog {number}.jpg"
        if part <= place < part + PARTS:
            page["imageinfo"] = [
                {
                    "url": f"//img.example/{number}.jpg",
                    "descriptionurl": f"/wiki/File:Dog_{number}.jpg",
                    "width": 100 + number,
                    "extmetadata": {"LicenseShortName": {"value": "CC0"}},
                }
            ]
        pages[str(page["pageid"])] = page
    answer: dict[str, Any] = {"query": {"pages": dict(sorted(pages.items()))}}
    if part + PARTS < len(numbers):
        more = {"iistart": part + PARTS, "continue": "iistart||info"}
        return answer | {"continue": more | ({"gsroffset": offset} if offset else {})}
    if numbers.stop < FILES:
        answer["continue"] = {"gsroffset": numbers.stop, "continue": "gsroffset||"}
    return answer | {"batchcomplete": ""}


def counted(query: dict[str, str]) -> dict[str, Any]:
    page = int(query["page"])
    numbers = range((page - 1) * BATCH, min(page * BATCH, FILES))
    found = [
        {"id": f"a{n}", "url": f"/i/{n}.jpg", "title": f"D{n}", "height": 9.0} for n in numbers
    ]
    return {"page_count": 3, "results": found}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: Counter[str]
    agents: set[str]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        word = query.get("search") or query.get("q", "")
        type(self).asked[word] += 1
        type(self).agents.add(self.headers["User-Agent"])
        times = self.asked[word]
        if word == "limited" and times == 1:
            self.give(b"", 429, {"Retry-After": "0.05"})
        elif word == "tomorrow":
            self.give(b"", 429, {"Retry-After": "86400"})
        elif word == "refused" and times == 2:
            self.give(b"", 401)
        elif (word == "shaky" and times < 3) or word == "down":
            self.give(b"", 503)
        elif word == "gone":
            self.give(b"", 404)
        elif word == "html":
            self.give(b"<html>")
        elif word == "huge":
            self.give(b"[" + b" " * (10 * 2**20 + 5))
        elif word == "loop":
            self.give(b"", 302, {"Location": self.path})
        elif word == "rate":
            self.give(json.dumps({"error": {"code": "ratelimited", "info": "slow"}}).encode())
        elif word == "year":
            self.give(b"", 429, {"Retry-After": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"})
        elif word == "digits":
            self.give(b"", 503, {"Retry-After": "9" * 5000})
        elif word == "nested":
            self.give(b"[" * 200_000)
        elif word == "parts":
            more = {"continue": {"gsroffset": times}, "query": {"pages": {str(times): {}}}}
            self.give(json.dumps(more).encode())
        elif word == "bomb":
            self.give(gzip.compress(b"[" + b" " * (64 << 20)), 200, {"Content-Encoding": "gzip"})
        elif word == "private":
            self.give(b"", 302, {"Location": f"http://127.0.0.2:{self.server.server_port}/wiki"})
        elif word == "metadata":
            self.give(b"", 302, {"Location": "http://169.254.169.254/latest/meta-data/"})
        elif word == "long":
            self.give(json.dumps({"error": {"code": "no\ud800", "info": "x" * 100_000}}).encode())
        elif word == "nothing":
            self.give(b'{"batchcomplete": "", "results": []}')
        elif word == "other":
            self.give(b'{"batchcomplete": "", "results": [{"adress": "x"}]}')
        else:
            answer = wiki(query) if parts.path == "/wiki" else counted(query)
            self.give(json.dumps(answer).encode())

    def give(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def base() -> Iterator[str]:
    Handler.asked, Handler.agents = Counter(), set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def go(base: str, folder: Path, word: str, wanted: int, document: dict[str, Any] = WIKI) -> Visit:
    source = parse_source(document, "f.yaml")
    search = source.searches("dog", [word], base)[0]
    rests: list[float] = []
    seen = visit_api(source, search, wanted, "dogs/1 (me@example.org)", folder, rests.append)
    assert not rests or max(rests) < 10
    return seen


@pytest.mark.parametrize(
    ("wanted", "outcome", "answers"),
    [(5, "results", 3), (20, "results", 3), (21, "results", 6), (50, "end_of_results", 8)],
)
def test_items_that_come_in_parts_are_put_together_in_the_order_of_the_site(
    base: str, tmp_path: Path, wanted: int, outcome: str, answers: int
) -> None:
    seen = go(base, tmp_path, "dogs", wanted)
    assert seen.outcome == outcome
    assert [each.title for each in seen.candidates] == [f"Dog {n}" for n in range(min(wanted, 50))]
    last = seen.candidates[-1]
    assert last.image_url == f"http://img.example/{last.rank}.jpg"
    assert last.page_url == f"{base}/wiki/File:Dog_{last.rank}.jpg"
    assert (last.width, last.height, last.licence) == (100 + last.rank, None, "CC0")
    assert Handler.asked["dogs"] == answers and Handler.agents == {"dogs/1 (me@example.org)"}


@pytest.mark.parametrize(
    ("wanted", "outcome", "answers"),
    [(20, "results", 1), (21, "results", 2), (50, "end_of_results", 3), (60, "end_of_results", 3)],
)
def test_counted_pages_end_where_the_site_says(
    base: str, tmp_path: Path, wanted: int, outcome: str, answers: int
) -> None:
    seen = go(base, tmp_path, "dogs", wanted, COUNTED)
    assert (seen.outcome, Handler.asked["dogs"]) == (outcome, answers)
    assert [each.image_url for each in seen.candidates] == [
        f"{base}/i/{n}.jpg" for n in range(min(wanted, 50))
    ]
    assert seen.candidates[0].height == 9
    assert seen.matched["image_url"] == {"url": min(50, answers * 20)}


@pytest.mark.parametrize(
    ("word", "outcome", "said"),
    [
        ("limited", Outcome.RESULTS, ""),
        ("shaky", Outcome.RESULTS, ""),
        ("nothing", Outcome.EMPTY, ""),
        ("tomorrow", Outcome.BLOCKED, "answered 429 and asks to wait 21600 s"),
        ("rate", Outcome.BLOCKED, "answered ratelimited: slow"),
        ("down", Outcome.OFFLINE, "answered 503"),
        ("loop", Outcome.OFFLINE, "cannot be reached"),
        ("gone", Outcome.LAYOUT_CHANGED, "answered 404"),
        ("html", Outcome.LAYOUT_CHANGED, "no JSON"),
        ("huge", Outcome.LAYOUT_CHANGED, "more than 10485760 bytes"),
        ("bomb", Outcome.LAYOUT_CHANGED, "more than 10485760 bytes"),
        ("year", Outcome.BLOCKED, "answered 429"),
        ("digits", Outcome.OFFLINE, "answered 503"),
        ("nested", Outcome.LAYOUT_CHANGED, "no JSON"),
        ("private", Outcome.LAYOUT_CHANGED, "leads to 127.0.0.2:"),
        ("metadata", Outcome.LAYOUT_CHANGED, "leads to 169.254.169.254:80, which is no public"),
        ("long", Outcome.LAYOUT_CHANGED, "answered no\ufffd: xxx"),
    ],
)
def test_each_failure_has_its_outcome(
    base: str, tmp_path: Path, word: str, outcome: Outcome, said: str
) -> None:
    for document in (WIKI, COUNTED):
        Handler.asked.clear()
        seen = go(base, tmp_path, word, 5, document)
        assert seen.outcome is outcome and said in seen.detail
        assert len(seen.detail) <= 500
        assert bool(seen.candidates) == (outcome is Outcome.RESULTS)
        assert (seen.evidence == tmp_path) == (outcome.failed and outcome is not Outcome.OFFLINE)
        assert seen.evidence is None or (tmp_path / "answer.txt").is_file()


def test_parts_without_end_that_bring_nothing_are_left(base: str, tmp_path: Path) -> None:
    seen = go(base, tmp_path, "parts", 5)
    assert seen.outcome is Outcome.LAYOUT_CHANGED and "nothing in 50 items" in seen.detail


def test_a_refusal_half_way_keeps_what_was_gathered(base: str, tmp_path: Path) -> None:
    seen = go(base, tmp_path, "refused", 50, COUNTED)
    assert seen.outcome is Outcome.BLOCKED and "page=2 answered 401" in seen.detail
    assert len(seen.candidates) == BATCH


def test_items_without_their_field_mean_that_the_layout_changed(base: str, tmp_path: Path) -> None:
    seen = go(base, tmp_path, "other", 5, COUNTED)
    assert seen.outcome is Outcome.LAYOUT_CHANGED
    assert "image_url: nothing in 3 items fits none or url" in seen.detail
    seen = go(base, tmp_path, "dogs", 5, COUNTED | {"items": "hits"})
    assert "items: no list or mapping at 'hits'" in seen.detail


def test_nobody_there_is_offline(tmp_path: Path) -> None:
    seen = go("http://127.0.0.1:1", tmp_path, "dogs", 5)
    assert seen.outcome is Outcome.OFFLINE and seen.evidence is None


def test_merging_keeps_what_either_part_knows() -> None:
    assert merged({"a": [1], "b": 2}, {"a": [1, 3], "c": 4}) == {"a": [1, 3], "b": 2, "c": 4}
    assert merged(None, {"a": 1}) == {"a": 1} and merged(5, None) == 5
