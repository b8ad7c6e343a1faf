"""The pool under faults: all that can be recovered arrives whole, the rest has its reason."""

from __future__ import annotations

import asyncio
import errno
import gzip
import queue
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import tiny_site
from wire import Request, download, serving

from pipeline.raw import Store
from pipeline.scraping.download import Downloads, Limits, Result, back_off
from pipeline.scraping.fetch import retry_after
from pipeline.scraping.guard import resolve

PICTURE = sha256(tiny_site.picture(1)).hexdigest()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with tiny_site.running() as url:
        yield url


def one(site: str, folder: Path, kind: str, **limits: object) -> Result:
    url = f"{site}/fault/{kind}/{folder.name}-{time.monotonic_ns()}"
    return download([url], folder, allow=site, **limits)[url]


@pytest.mark.parametrize("kind", ["fine", "moved", "limited", "broken", "cut_once"])
def test_what_can_be_recovered_arrives_with_its_right_hash(
    site: str, tmp_path: Path, kind: str
) -> None:
    result = one(site, tmp_path, kind)
    assert result.reason is None and result.content is not None
    assert result.content.sha256 == PICTURE
    assert (result.content.ext, result.content.width, result.content.height) == ("jpg", 160, 120)
    stored = tmp_path / f"{PICTURE}.jpg"
    assert sha256(stored.read_bytes()).hexdigest() == PICTURE
    assert result.attempts == (1 if kind in ("fine", "moved") else 2)


@pytest.mark.parametrize(
    ("kind", "reason", "attempts", "lasting"),
    [
        ("gone", "dead_link", 1, True),
        ("forbidden", "forbidden", 1, True),
        ("limited_always", "rate_limited", 3, False),
        ("broken_always", "server_error", 3, False),
        ("cut", "cut_short", 2, False),
        ("endless", "too_large", 1, True),
        ("huge", "too_large", 1, True),
        ("loop", "redirect_loop", 1, True),
        ("private", "private_address", 1, True),
        ("file", "bad_address", 1, True),
    ],
)
def test_every_other_fault_has_its_reason_and_leaves_no_file(
    site: str, tmp_path: Path, kind: str, reason: str, attempts: int, lasting: bool
) -> None:
    result = one(site, tmp_path, kind, retries=3)
    assert (result.reason, result.attempts, result.lasting) == (reason, attempts, lasting)
    assert result.content is None
    assert not list(tmp_path.iterdir())


def test_a_slow_answer_ends_at_the_total_timeout(site: str, tmp_path: Path) -> None:
    result = one(site, tmp_path, "slow", timeout=0.3, retries=1)
    assert result.reason == "timeout" and not result.lasting


def test_an_endless_answer_ends_at_the_total_timeout_too(site: str, tmp_path: Path) -> None:
    result = one(site, tmp_path, "endless", timeout=0.5, retries=1, max_bytes=1 << 40)
    assert result.reason == "timeout"


@pytest.mark.parametrize("kind", ["html", "empty"])
def test_what_is_no_picture_is_kept_for_dedupe_to_name(
    site: str, tmp_path: Path, kind: str
) -> None:
    content = one(site, tmp_path, kind).content
    assert content is not None and content.ext == "bin" and not content.is_picture
    assert (tmp_path / f"{content.sha256}.bin").stat().st_size == content.bytes


def test_private_addresses_are_refused_however_they_are_written(site: str, tmp_path: Path) -> None:
    port = urlsplit(site).port
    hosts = ["127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]", "0.0.0.0", "127.0.0.2"]
    urls = [f"http://{host}:{port}/fault/fine/x" for host in hosts]
    results = download(urls, tmp_path, retries=1)
    assert {url: results[url].reason for url in urls} == dict.fromkeys(urls, "private_address")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "target",
    [
        *("http://169.254.169.254/latest", "http://10.0.0.1/", "http://[::1]/", "http://0x7f.1/"),
        *("http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://[::ffff:10.0.0.1]/"),
        *("http://224.0.0.1/", "http://[ff02::1]/", "http://8.8.8.8:6379/", "//127.0.0.2:80/x"),
    ],
)
def test_no_redirect_leads_into_a_private_network(tmp_path: Path, target: str) -> None:
    async def moved(request: Request) -> None:
        await request.reply(b"", 302, Location=target)

    with serving(moved) as site:
        url = site.url("x")
        result = download([url], tmp_path, allow=url)[url]
    assert (result.reason, result.lasting) == ("private_address", True)
    assert result.final_url is not None and result.final_url != url


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://a/", "mailto:a@b", "javascript:1"])
def test_a_redirect_to_no_address_of_the_web(tmp_path: Path, target: str) -> None:
    async def moved(request: Request) -> None:
        await request.reply(b"", 302, Location=target)

    with serving(moved) as site:
        url = site.url("x")
        assert download([url], tmp_path, allow=url)[url].reason == "bad_address"


def test_a_body_that_drips_ends_at_the_total_timeout(tmp_path: Path) -> None:
    async def drip(request: Request) -> None:
        await request.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            await request.say(b"x")
            await asyncio.sleep(0.05)

    with serving(drip) as site:
        start = time.monotonic()
        result = download([site.url("x")], tmp_path, allow=site.url(), timeout=0.4, retries=2)
        assert time.monotonic() - start < 25, "the drip would take 50 s"
    assert [(each.reason, each.attempts) for each in result.values()] == [("timeout", 2)]


def test_a_redirect_does_not_lengthen_the_total_timeout(tmp_path: Path) -> None:
    async def slowly(request: Request) -> None:
        await asyncio.sleep(0.3)
        await request.reply(b"", 302, Location="/next")

    with serving(slowly) as site:
        result = download([site.url("x")], tmp_path, allow=site.url(), timeout=0.5, retries=1)
        assert len(site.asked()) <= 3
    assert [each.reason for each in result.values()] == ["timeout"]


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(100 << 20))

    async def explode(request: Request) -> None:
        assert request.headers["accept-encoding"] == "identity"
        await request.reply(bomb, Content_Encoding="gzip", Content_Type="image/jpeg")

    with serving(explode) as site:
        (result,) = download([site.url("x")], tmp_path, allow=site.url()).values()
    assert result.content is not None and result.content.bytes == len(bomb)
    assert result.content.ext == "bin" and not result.content.is_picture


def test_no_cookie_is_kept_and_connections_are(tmp_path: Path) -> None:
    peers = set()

    async def cookie(request: Request) -> None:
        assert "cookie" not in request.headers
        peers.add(request.writer.get_extra_info("peername"))
        await request.reply(tiny_site.picture(1), Set_Cookie="a=b; Path=/")

    with serving(cookie) as site:
        # Cookies of bare IP addresses are dropped by default: a name is needed to see a difference.
        urls = [site.url(str(i), "localhost") for i in range(50)]
        results = download(urls, tmp_path, allow=site.url(), per_host=2)
    assert all(each.content for each in results.values())
    assert len(peers) <= 4


def test_a_disk_that_is_full_ends_the_pool_and_is_reported(tmp_path: Path) -> None:
    class Full(Store):
        def put(self, data: bytes, content: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    crashes: queue.SimpleQueue[BaseException] = queue.SimpleQueue()

    async def fine(request: Request) -> None:
        await request.reply(tiny_site.picture(1))

    with serving(fine) as site:
        limits = Limits(allowed=resolve([f"127.0.0.1:{site.port}"]))
        with Downloads(Full(tmp_path), limits, lambda *_: None, crashes.put) as pool:
            for i in range(20):
                pool.submit(site.url(str(i)), ("", str(i)))
            error = crashes.get(timeout=60)
            pool.submit(site.url("after"), ("", "after"))
    assert isinstance(error, OSError) and error.errno == errno.ENOSPC and crashes.empty()


def test_addresses_that_are_none(tmp_path: Path) -> None:
    urls = ["file:///etc/passwd", "http://", "data:image/png;base64,AA", "http://a:99999/", "x"]
    results = download(urls, tmp_path, retries=1)
    assert {result.reason for result in results.values()} == {"bad_address"}


def test_nobody_listening_is_tried_again_by_a_later_run(tmp_path: Path) -> None:
    result = download(["http://127.0.0.1:9/x"], tmp_path, allow="http://127.0.0.1:9", retries=1)
    assert [(each.reason, each.lasting) for each in result.values()] == [("unreachable", False)]


def test_waiting_for_a_retry_holds_no_connection(site: str, tmp_path: Path) -> None:
    limited = [f"{site}/fault/limited/{time.monotonic_ns()}-{i}" for i in range(10)]
    other = site.replace("127.0.0.1", "127.0.0.2")
    fine = [f"{other}/fault/fine/{i}" for i in range(40)]
    results = download(limited + fine, tmp_path, allow=[site, other], connections=1)
    assert all(result.content for result in results.values())
    ended = list(results)  # in the order in which they ended
    assert ended[0] in fine, "the first in the queue waits, and lets the other host pass"


def test_no_more_connections_than_allowed(site: str, tmp_path: Path) -> None:
    urls = [f"{site}/original/slow-{i}.jpg" for i in range(8)]
    start = time.monotonic()
    assert all(
        each.content for each in download(urls, tmp_path, allow=site, connections=2).values()
    )
    assert time.monotonic() - start >= 4 * 0.15


def test_back_off_doubles_within_its_jitter_and_is_capped() -> None:
    for attempts, longest in [(1, 0.5), (2, 1.0), (4, 4.0), (30, 60.0)]:
        waits = [back_off(attempts) for _ in range(200)]
        assert 0.1 * longest <= min(waits) and max(waits) <= longest


def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after("7") == 7
    assert retry_after("86400") == 86400
    assert retry_after("-3") == 0
    assert retry_after("Thu, 01 Jan 1970 00:01:40 GMT", now=70) == 30
    assert retry_after("Thu, 01 Jan 1970 00:00:00 GMT", now=70) == 0
    for nothing in (None, "", "soon", "nan"):
        assert retry_after(nothing) is None
