"""What a site asks of programs is found out and done."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import tiny_site
from multidict import CIMultiDict
from wire import Request, Wire, download, serving

from pipeline.raw import Store
from pipeline.scraping.download import Downloads, Limits, Result
from pipeline.scraping.guard import resolve
from pipeline.scraping.robots import MOST_BYTES, Verdict, opted_out, product_token

PICTURE = tiny_site.picture(1)
A, B = "127.0.0.1", "127.0.0.2"
AGENT = "breed-diffusion/0.1 (+mail@example.org)"


async def fine(request: Request) -> None:
    await request.reply(PICTURE)


def text(rules: str, status: int = 200) -> Callable[[Request], Awaitable[None]]:
    async def answer(request: Request) -> None:
        await request.reply(rules.encode(), status)

    return answer


def fetched(tmp_path: Path, robots: object, *paths: str, **limits: object) -> dict[str, str | None]:
    """Why each path was not fetched, None if it was."""
    with serving(fine, robots) as site:  # type: ignore[arg-type]
        urls = [site.url(path) for path in paths]
        results = download(urls, tmp_path, allow=urls, user_agent=AGENT, **limits)
        assert len(site.asked()) == sum(each.content is not None for each in results.values())
        return {path: results[url].reason for path, url in zip(paths, urls, strict=True)}


RULES = """# wildcards, the end, and the longest match
User-agent: *
Disallow: /search
Allow: /search/about
Disallow: /*.php$
Disallow: /private*/x
"""


def test_wildcards_and_the_longest_match(tmp_path: Path) -> None:
    assert fetched(
        tmp_path,
        text(RULES),
        *("search?q=1", "search/about", "a/b.php", "a/b.php?x", "private1/x", "private1/y"),
    ) == {
        "search?q=1": "robots",
        "search/about": None,
        "a/b.php": "robots",
        "a/b.php?x": None,
        "private1/x": "robots",
        "private1/y": None,
    }


def test_our_own_name_wins_over_the_star(tmp_path: Path) -> None:
    ours = "User-agent: *\nDisallow: /\n\nUser-agent: Breed-Diffusion\nDisallow: /no\n"
    assert fetched(tmp_path, text(ours), "yes", "no") == {"yes": None, "no": "robots"}
    others = "User-agent: GPTBot\nUser-agent: img2dataset\nDisallow: /\n"
    assert fetched(tmp_path, text(others), "yes") == {"yes": None}


def test_a_verdict_by_robots_is_one_the_next_run_asks_again_for(tmp_path: Path) -> None:
    with serving(fine, text("User-agent: *\nDisallow: /")) as site:
        urls = [site.url(str(i)) for i in range(5)]
        results = download(urls, tmp_path, allow=urls)
        assert len(site.requests) == 1, "robots.txt is read once and no picture is asked for"
    assert set(results.values()) == {Result(reason="robots", lasting=False, attempts=1)}


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_no_robots_txt_allows_everything(tmp_path: Path, status: int) -> None:
    refusal = text("User-agent: *\nDisallow: /", status)
    assert fetched(tmp_path, refusal, "x") == {"x": None}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_site_out_of_order_allows_nothing(tmp_path: Path, status: int) -> None:
    assert fetched(tmp_path, text("", status), "x", "y") == {"x": "robots", "y": "robots"}


def test_a_site_out_of_order_is_given_a_second_chance(tmp_path: Path) -> None:
    async def flaky(request: Request) -> None:
        first = len(request.server.asked(path="/robots.txt")) == 1
        await request.reply(b"User-agent: *\nDisallow: /no", 500 if first else 200)

    assert fetched(tmp_path, flaky, "yes", "no") == {"yes": None, "no": "robots"}


def test_a_site_that_hangs_up_allows_nothing(tmp_path: Path) -> None:
    async def hang_up(request: Request) -> None:
        request.hang_up()

    assert fetched(tmp_path, hang_up, "x") == {"x": "robots"}


def test_a_site_that_is_not_there_is_asked_a_few_times_and_then_no_more(tmp_path: Path) -> None:
    urls = [f"http://127.0.0.1:9/{i}" for i in range(200)]
    results = download(urls, tmp_path, allow=urls, retries=2)
    assert {(each.reason, each.lasting) for each in results.values()} == {("unreachable", False)}
    assert max(each.attempts for each in results.values()) <= 2


def test_a_huge_robots_txt_is_read_to_its_limit(tmp_path: Path) -> None:
    async def endless(request: Request) -> None:
        lines = b"User-agent: *\nDisallow: /early\n" + b"# filler\n" * (MOST_BYTES // 9)
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        await request.say(head + lines + b"Disallow: /late\n")
        while True:
            await request.say(b"Disallow: /\n" * 1000)

    assert fetched(tmp_path, endless, "early", "late") == {"early": "robots", "late": None}


def test_the_line_that_is_cut_by_the_limit_is_no_rule(tmp_path: Path) -> None:
    start = "User-agent: *\n"
    filler = "#" * (MOST_BYTES - len(start) - len("\nDisallow: /"))
    rules = text(f"{start}{filler}\nDisallow: /private")
    assert fetched(tmp_path, rules, "public") == {"public": None}


def test_compressed_all_the_same(tmp_path: Path) -> None:
    async def packed(request: Request) -> None:
        rules = b"User-agent: *\nDisallow: /no\n#" + b"0" * (50 << 20)
        await request.reply(gzip.compress(rules), Content_Encoding="gzip")

    assert fetched(tmp_path, packed, "yes", "no") == {"yes": None, "no": "robots"}


def test_redirects_of_robots_txt_are_followed_for_a_while(tmp_path: Path) -> None:
    async def moved(request: Request) -> None:
        if request.path == "/robots.txt":
            await request.reply(b"", 301, Location="/elsewhere/robots.txt")
        elif request.path == "/elsewhere/robots.txt":
            await request.reply(b"User-agent: *\nDisallow: /no")
        else:
            await request.reply(PICTURE)

    async def loop(request: Request) -> None:
        await request.reply(b"", 302, Location="/robots.txt")

    async def private(request: Request) -> None:
        await request.reply(b"", 302, Location=request.server.url("x", "127.0.0.9"))

    with serving(moved, moved) as site:
        urls = [site.url("yes"), site.url("no")]
        results = download(urls, tmp_path, allow=urls)
        assert [results[url].reason for url in urls] == [None, "robots"]
    assert fetched(tmp_path, loop, "x") == {"x": None}, "none that can be found"
    assert fetched(tmp_path, private, "x") == {"x": "robots"}, "it cannot be read"


@pytest.mark.parametrize("rule", ["Crawl-delay: 0.2", "Request-rate: 5/2s\nCrawl-delay: 0.1"])
def test_the_delay_a_site_asks_for_is_kept(tmp_path: Path, rule: str) -> None:
    robots = text(f"User-agent: *\n{rule}\n")
    gap = 0.4 if "rate" in rule else 0.2
    with serving(fine, robots) as site:
        urls = [site.url(str(i)) for i in range(4)]
        results = download(urls, tmp_path, allow=urls)
        assert all(each.content for each in results.values())
    first, *_, last = site.times()
    assert last - first > 3 * 0.8 * gap


def test_a_delay_nobody_can_keep_is_a_refusal(tmp_path: Path) -> None:
    rules = text("User-agent: *\nCrawl-delay: 86400\n")
    assert fetched(tmp_path, rules, "x") == {"x": "robots"}


def test_robots_txt_of_each_host_of_a_redirect_is_asked(tmp_path: Path) -> None:
    async def moved(request: Request) -> None:
        await request.reply(b"", 302, Location=request.server.url("no", B))

    async def robots(request: Request) -> None:
        rules = b"User-agent: *\nDisallow: /no" if request.host == B else b""
        await request.reply(rules)

    with serving(moved, robots) as site:
        results = download([site.url("x")], tmp_path, allow=[site.url(), site.url(host=B)])
        assert not site.asked(B)
    assert [(each.reason, each.final_url) for each in results.values()] == [
        ("robots", site.url("no", B))
    ]


def verdicts(site: Wire, folder: Path, *urls: str, **limits: object) -> list[Verdict]:
    allowed = resolve([f"{A}:{site.port}"])
    settings = Limits(user_agent=AGENT, allowed=allowed, **limits)  # type: ignore[arg-type]
    with Downloads(Store(folder), settings, lambda *_: None, lambda _: None) as pool:
        return [pool.may_visit(url) for url in urls]


def test_may_visit_tells_what_is_forbidden_and_why(tmp_path: Path) -> None:
    rules = text(f"{RULES}Crawl-delay: 3\n")
    with serving(fine, rules) as site:
        no, yes, private, wrong = verdicts(
            site,
            tmp_path,
            *(site.url("search?q=dog"), site.url("wiki/Dog"), site.url("x", B), "file:///x"),
        )
        assert len(site.requests) == 1
    assert no == Verdict(False, "robots.txt disallows it", 3.0)
    assert yes == Verdict(True, "", 3.0)
    assert private == Verdict(False, "robots.txt cannot be read: private_address")
    assert not wrong.allowed
    with serving(fine) as site:
        assert verdicts(site, tmp_path, site.url("x")) == [Verdict(True)]
    with serving(fine, text("", 500)) as site:
        (verdict,) = verdicts(site, tmp_path, site.url("x"))
        assert verdict == Verdict(False, f"robots.txt of {A} cannot be read (HTTP 500)")


def test_may_visit_after_the_end_is_a_no(tmp_path: Path) -> None:
    with Downloads(Store(tmp_path), Limits(), lambda *_: None, lambda _: None) as pool:
        pass
    assert pool.may_visit("http://127.0.0.1/x") == Verdict(False, "the downloads have ended")


@pytest.mark.parametrize(
    ("tag", "ours"),
    [
        *(("noai", True), ("noimageai", True), ("noindex", True), ("noimageindex", True)),
        *(("noml", True), ("none", True), ("NoAI", True), ("nofollow, noai", True)),
        *(("all", False), ("nofollow", False), ("noaix", False), ("", False)),
        *(("breed-diffusion: noai", True), ("*: noai", True), ("Breed-Diffusion:noindex", True)),
        *(("googlebot: noai", False), ("googlebot: nofollow, noindex", False)),
        *(("googlebot: nofollow, breed-diffusion: noai", True), ("noai, googlebot: all", True)),
        *(("max-snippet: 5, noai", True), ("max-image-preview: large", False)),
        ("unavailable_after: Wed, 25 Jun 2036 15:00:00 GMT, noai", True),
        ("unavailable_after: Wed, 25 Jun 2036 15:00:00 GMT", False),
    ],
)
def test_x_robots_tag(tag: str, ours: bool) -> None:
    assert opted_out(CIMultiDict({"x-robots-tag": tag}), "breed-diffusion") is ours


def test_several_headers_and_the_reservation_of_text_and_data_mining() -> None:
    both = CIMultiDict([("X-Robots-Tag", "otherbot: noindex"), ("X-Robots-Tag", "noai")])
    assert opted_out(both, "breed-diffusion")
    assert opted_out({"TDM-Reservation": "1"}, "x")
    assert not opted_out({"TDM-Reservation": "0"}, "x") and not opted_out({}, "x")


def test_what_is_opted_out_is_not_read_and_not_asked_for_again(tmp_path: Path) -> None:
    async def reserved(request: Request) -> None:
        tag = {"/tag": {"X_Robots_Tag": "noai"}, "/tdm": {"TDM_Reservation": "1"}}
        await request.reply(PICTURE, **tag.get(request.path, {"X_Robots_Tag": "other: noai"}))

    with serving(reserved) as site:
        urls = [site.url("tag"), site.url("tdm"), site.url("free")]
        results = download(urls, tmp_path, allow=urls, user_agent=AGENT)
    assert [(results[url].reason, results[url].lasting) for url in urls] == [
        ("opted_out", True),
        ("opted_out", True),
        (None, True),
    ]
    assert len(list(tmp_path.iterdir())) == 1


def test_the_product_token() -> None:
    assert product_token(AGENT) == "breed-diffusion"
    assert product_token("Some Thing/2") == "some"
    assert product_token("") == "*"


def test_a_slow_robots_txt_holds_up_its_own_host_alone(tmp_path: Path) -> None:
    async def slow(request: Request) -> None:
        while request.host == A and len(request.server.asked(B)) < 6:
            await asyncio.sleep(0.01)
        await request.reply(b"")

    with serving(fine, slow) as site:
        urls = [site.url(str(i), host) for i in range(6) for host in (A, B)]
        results = download(urls, tmp_path, allow=urls, connections=2)
    assert all(each.content for each in results.values())
    assert max(site.times(B)) < min(site.times(A))
