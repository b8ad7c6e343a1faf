"""Servers that say what no server should: each ends with a reason, no other one suffers, and what
they send is not held in memory."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import tiny_site
from certificates import Authority
from command_line import REPOSITORY
from wire import Request, Wire, download, serving

from pipeline.scraping.ledger import Ledger
from pipeline.scraping.outcome import Gathered, Outcome

PICTURE = tiny_site.picture(1)
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MANY = 1 << 16
BODY = 150 << 20  # bytes of a large body
HELD = 60 << 20  # bytes of memory that it may cost

# What is said, and again and again said, before the connection is cut; the reasons it may have.
LOST, LATE = {"connection_lost", "cut_short"}, {"timeout"}
SAID: dict[str, tuple[bytes, bytes, set[str]]] = {
    "headers without end": (OK, b"X-Dog: " + b"y" * 1000 + b"\r\n", LOST),
    "a first line without end": (b"HTTP/1.1 200 ", b"x" * MANY, LOST),
    "a chunk's remark without end": (CHUNKED + b"5;", b"x" * MANY, LOST | LATE),
    "trailers without end": (CHUNKED + b"0\r\n", b"X-Dog: yyyy\r\n" * 1000, LOST),
    "chunks of one byte": (CHUNKED, b"1\r\nx\r\n" * 10_000, LATE | {"too_large"}),
    "100 Continue without end": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, LOST | LATE),
    "another protocol": (b"\x16\x03\x01\x02\x00" * 100, b"", LOST),
    "no header": (b"hello\r\n", b"", LOST),
    "a negative length": (OK + b"Content-Length: -5\r\n\r\nxx", b"", LOST),
    "two lengths": (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxxxx", b"", LOST),
    "a length of twenty digits": (OK + b"Content-Length: " + b"9" * 20 + b"\r\n\r\nxx", b"",
                                  LOST | {"too_large"}),
    "less than was said": (OK + b"Content-Length: 500\r\n\r\nxx", b"", {"cut_short"}),
    "status 999": (b"HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n", b"", {"server_error"}),
    "status 101": (b"HTTP/1.1 101 No\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", b"",
                   {"refused"}),
    "status 304": (b"HTTP/1.1 304 No\r\n\r\n", b"", {"refused"}),
}  # fmt: skip
FOUND = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "
SAID |= {
    f"to {where[:20]!r}": (FOUND + where + b"\r\n\r\n", b"", {reason})
    for where, reason in [
        (b"http://[::1", "bad_address"),
        (b"http://a:999999/", "bad_address"),
        (b"http://" + b"a" * 300 + b".com/", "bad_address"),
        (b"", "redirect_loop"),
        (b"//", "redirect_loop"),
    ]
}
LATER = (b"Mon, 01 Jan 99999999999999999999 00:00:00 GMT", b"1 Jan 2020 00:00:00 +99999999999999")
SAID |= {
    f"asks to wait until {when[-14:]!r}": (
        b"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After: " + when + b"\r\n\r\n",
        b"",
        {"rate_limited"},
    )
    for when in LATER
}
DATES = b"Accept-Ranges: bytes\r\nDate: %b\r\nLast-Modified: %b\r\nContent-Length: 9\r\n\r\nx"
SAID["dates beyond all bounds"] = (OK + DATES % LATER, b"", LOST)


async def hostile(request: Request) -> None:
    """Says what the path's number asks for, until it is cut off."""
    first, rest, _ = list(SAID.values())[int(request.path[1:])]
    await request.say(first)
    while rest:
        await request.say(rest)
    request.hang_up()


async def fine(request: Request) -> None:
    await request.reply(PICTURE)


def test_each_hostile_answer_has_its_reason_and_no_other_host_suffers(tmp_path: Path) -> None:
    """Every one from a host of its own, all in one pool, with good pictures between them."""
    with serving(hostile) as bad, serving(fine) as good:
        odd = [bad.url(str(n), f"127.0.1.{n + 1}") for n in range(len(SAID))]
        kind = [good.url(str(n), f"127.0.2.{n + 1}") for n in range(len(SAID))]
        urls = [url for pair in zip(odd, kind, strict=True) for url in pair]
        results = download(urls, tmp_path, allow=urls, wait=120, retries=1, timeout=6.0)
    ends = {name: results[url].reason for name, url in zip(SAID, odd, strict=True)}
    assert {name: end for name, end in ends.items() if end not in SAID[name][2]} == {}
    assert {results[url].content.sha256 for url in kind} == {sha256(PICTURE).hexdigest()}  # type: ignore[union-attr]
    assert [path.suffix for path in tmp_path.iterdir()] == [".jpg"]


@pytest.mark.parametrize("sent", [0, 100], ids=["before a word", "in the middle"])
def test_what_a_reset_cut_arrives_when_it_is_asked_for_again(tmp_path: Path, sent: int) -> None:
    async def resets_once(request: Request) -> None:
        if len(request.server.asked()) > 1:
            await request.reply(PICTURE)
            return
        if sent:
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(PICTURE)}\r\n\r\n".encode()
            await request.say(head + PICTURE[:sent])
        request.reset()

    with serving(resets_once) as site:
        (result,) = download([site.url("x")], tmp_path, allow=site.url()).values()
        assert len(site.asked()) == 2
    assert result.content is not None
    assert result.content.sha256 == sha256(PICTURE).hexdigest()


# ------------------------------------------------------------- in a process of its own


def fetched(folder: Path, *urls: str, most: int = 200_000, **variables: str) -> dict[str, Any]:
    """What ``lean_client`` prints about ``urls``."""
    here = Path(__file__).parent
    command = [sys.executable, str(here / "lean_client.py"), str(folder), str(most), *urls]
    paths = os.pathsep.join(map(str, (REPOSITORY, here, here.parent)))
    done = subprocess.run(
        command,
        env=os.environ | variables | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def test_only_a_certificate_that_holds_is_believed(tmp_path: Path, authority: Authority) -> None:
    """The good one shows that the authority is trusted; so each other is refused for its fault."""
    with (
        serving(fine, tls=authority.server()) as good,
        serving(fine, tls=authority.server(days=-2)) as expired,
        serving(fine, tls=authority.server("elsewhere.example")) as elsewhere,
        serving(fine, tls=authority.server(self_signed=True)) as self_signed,
        serving(fine) as plain,
    ):
        bad = [site.url("x", "localhost") for site in (expired, elsewhere, self_signed)]
        urls = [good.url("x", "localhost"), *bad, f"https://localhost:{plain.port}/x"]
        found = fetched(tmp_path, *urls, SSL_CERT_FILE=str(authority.file))["reasons"]
    assert [found[url] for url in urls] == [None, *["bad_certificate"] * 3, "unreachable"]
    assert not any(site.asked() for site in (expired, elsewhere, self_signed))


def test_a_bad_certificate_is_looked_at_again_by_the_next_run(
    tmp_path: Path, authority: Authority
) -> None:
    with serving(fine, tls=authority.server()) as unknown:
        url = unknown.url("x", "localhost")
        result = download([url], tmp_path, allow=url)[url]
    assert (result.reason, result.lasting, result.attempts) == ("bad_certificate", False, 1)


@pytest.fixture(scope="module")
def bomb() -> bytes:
    return gzip.compress(bytes(2 * BODY), 6)


@pytest.fixture
def large(bomb: bytes) -> Iterator[Wire]:
    """Bodies that would fill the memory if they were held or unpacked."""
    megabyte = bytes(1 << 20)

    async def answer(request: Request) -> None:
        if request.path == "/endless":
            await request.say(OK + b"Content-Type: image/jpeg\r\n\r\n")
            while True:
                request.server.sent[request.path] += len(megabyte)
                await request.say(megabyte)
        encoding = request.path[1:]
        await request.reply(bomb, Content_Encoding=encoding, Content_Type="image/jpeg")

    async def robots(request: Request) -> None:
        if request.host == "127.0.0.3":
            await request.reply(bomb, Content_Encoding="gzip")
        else:
            await request.reply(b"", 404)

    with serving(answer, robots) as site:
        yield site


def test_neither_an_endless_body_nor_a_bomb_is_held_in_memory(tmp_path: Path, large: Wire) -> None:
    endless = large.url("endless")
    bombs = [large.url(name, "127.0.0.3") for name in ("gzip", "deflate", "br", "gzip,gzip")]
    found = fetched(tmp_path, endless, *bombs, most=BODY)
    assert found["reasons"] == {endless: "too_large", **dict.fromkeys(bombs)}
    assert large.sent["/endless"] >= BODY, "all of it came"
    assert found["grown"] < HELD, f"{found['grown'] >> 20} MiB"


# ------------------------------------------------------------- what pages say


def test_what_no_file_can_hold_is_mended_before_it_is_written(tmp_path: Path) -> None:
    """Halves of characters, numbers of thousands of digits, from a page's script or an API."""
    gathered = Gathered()
    for number, odd in enumerate(["\ud800", "\udfff\ud800", "a\udc80b"]):
        facts = {"image_url": f"http://x/{number}{odd}", "title": odd, "width": "9" * 5000}
        facts |= {"height": "9" * 30, "page_url": f"http://x/{odd}", "licence": odd, "author": odd}
        gathered.add({name: (text, "rule") for name, text in facts.items()})
    visit = gathered.visit(Outcome.LAYOUT_CHANGED, 9, "said \ud800" + "x" * 10_000)
    assert visit.detail.encode() and len(visit.detail) == 500
    kept = gathered.visit(Outcome.END, 9)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record_visit("site", "dog", 9, kept)
        known = ledger.visit("site", "dog", 9)
    assert known is not None and known.candidates == kept.candidates
    assert [each.title for each in known.candidates] == ["\ufffd", "\ufffd\ufffd", "a\ufffdb"]
    assert {(each.width, each.height) for each in known.candidates} == {(None, None)}
