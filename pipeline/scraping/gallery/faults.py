"""Downloads that misbehave when that is asked for, each with an end that is known beforehand.

Faults lie over whatever collection is served: they change how a file is sent, never the file. So
each result of the truth table says what a scraper must end with: the file's own bytes, or a reason.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse

from pipeline.scraping.gallery.edits import HTML
from pipeline.scraping.gallery.entry import Answer, Entry

NOT_A_PICTURE = "not_a_picture"
# What a download must end with: None is the file itself, whole; NOT_A_PICTURE is a file that is
# kept and says by its content that it is none; all others are reasons why there is no file.
ENDS: dict[str, str | None] = {
    "server_error": None,  # 500 once
    "broken_server": "server_error",  # 500 always
    "cut_once": None,  # half of what was announced, once; afterwards it can be continued
    "truncated": "cut_short",  # half of what was announced, always
    "endless": "too_large",  # no end
    "wrong_type": NOT_A_PICTURE,  # a web page that calls itself image/jpeg
    "redirect_loop": "redirect_loop",
    "redirect_private": "private_address",  # to this machine, or to a cloud's metadata
    "forbidden": "forbidden",  # 403
    "opted_out": "opted_out",  # a picture whose X-Robots-Tag says noai
    "robots": "robots",  # robots.txt forbids its address
}
PRIVATE = ("http://127.0.0.1:9/dog.jpg", "http://169.254.169.254/latest/meta-data/")
# Results that misbehave by themselves, or whose file is no whole one, get no fault on top.
_PLAIN = frozenset(("single", "exact_copy", "near_duplicate", "collage"))
_CHUNK = 1 << 16


def with_faults(entries: Sequence[Entry], share: float, turn: int) -> list[Entry]:
    """One breed's ``entries``, in page order, with faults on a ``share`` of them.

    The kinds take turns; ``turn`` (the breed's place) says which one begins. Of more entries the
    first get the same faults.
    """
    kinds, given, result = list(ENDS), 0, []
    for number, entry in enumerate(entries, 1):
        if entry.kind in _PLAIN and given < int(number * share):
            entry = replace(entry, fault=kinds[(turn + given) % len(kinds)])
            given += 1
        result.append(entry)
    return result


class Faults:
    """Sends files in the way their fault says. Remembers which have had their one failure."""

    def __init__(self) -> None:
        self._met: set[str] = set()

    def first_time(self, entry: Entry) -> bool:
        """Whether ``entry`` is asked for the first time."""
        fresh = entry.id not in self._met
        self._met.add(entry.id)
        return fresh

    def instead(self, entry: Entry) -> Response | None:
        """The answer of a fault that sends nothing of the file; None if it sends some."""
        fault = entry.fault
        if fault == "broken_server" or (fault == "server_error" and self.first_time(entry)):
            return PlainTextResponse("something broke", 500)
        if fault == "redirect_loop":
            return RedirectResponse(entry.url, 302)
        if fault == "redirect_private":
            return RedirectResponse(PRIVATE[int(entry.id, 16) % len(PRIVATE)], 302)
        if fault == "forbidden":
            return PlainTextResponse("not for you", 403)
        if fault == "wrong_type":
            return Response(HTML, 200, media_type="image/jpeg")
        if fault == "endless":
            return StreamingResponse(_endless(), media_type="image/jpeg")
        return None

    def send(self, entry: Entry, answer: Answer, request: Request) -> Response | None:
        """The answer of a fault that sends ``answer`` oddly; None if it is sent as any other."""
        fault = entry.fault
        if fault == "opted_out":
            return Response(answer.body, 200, {"X-Robots-Tag": "noai"}, answer.media_type)
        if fault == "truncated":
            return _half(answer, {})
        if fault != "cut_once":
            return None
        # A strong ETag and ranges: whoever kept the first half need not fetch it again.
        tag = f'"{hashlib.sha256(answer.body).hexdigest()[:16]}"'
        headers = {"ETag": tag, "Accept-Ranges": "bytes"}
        if self.first_time(entry):
            return _half(answer, headers)
        start = _wanted_from(request, tag, len(answer.body))
        if start is None:
            return Response(answer.body, 200, headers, answer.media_type)
        last = len(answer.body) - 1
        headers["Content-Range"] = f"bytes {start}-{last}/{last + 1}"
        return Response(answer.body[start:], 206, headers, answer.media_type)


def robots_lines(entries: Sequence[Entry]) -> list[str]:
    """The lines of robots.txt that forbid what has that fault."""
    return [f"Disallow: {entry.url}" for entry in entries if entry.fault == "robots"]


def _wanted_from(request: Request, tag: str, length: int) -> int | None:
    """Where a request for the rest of the same file begins; None if it is for all of it."""
    match = re.fullmatch(r"bytes=(\d{1,12})-", request.headers.get("range", ""))
    if match is None or request.headers.get("if-range", tag) != tag:
        return None
    start = int(match[1])
    return start if 0 < start < length else None


def _half(answer: Answer, headers: dict[str, str]) -> Response:
    """Announces the file and sends half; the server then closes the connection."""

    async def body() -> AsyncIterator[bytes]:
        yield answer.body[: len(answer.body) // 2]

    headers = headers | {"Content-Length": str(len(answer.body))}
    return StreamingResponse(body(), 200, headers, answer.media_type)


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield bytes(_CHUNK)
        await asyncio.sleep(0)  # once the client is gone nothing else lets the others run
