"""Each host is asked as often, as fast and by as many connections as it may be, and no more."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
import tiny_site
from wire import Request, download, serving

from pipeline.scraping.hosts import REFUSALS, HostLimits, Lane, Lanes, limits_for

PICTURE = tiny_site.picture(1)
A, B, C = "127.0.0.1", "127.0.0.2", "127.0.0.3"


async def fine(request: Request) -> None:
    await request.reply(PICTURE)


async def slow(request: Request) -> None:
    await asyncio.sleep(0.05)
    await request.reply(PICTURE)


def test_limits_are_those_of_the_host_then_of_the_longest_pattern() -> None:
    known = {
        "a.example.org": HostLimits(1),
        "*.example.org": HostLimits(2),
        "*.b.example.org": HostLimits(3),
    }
    assert limits_for("a.example.org", known) == ("a.example.org", HostLimits(1))
    assert limits_for("c.example.org", known) == ("*.example.org", HostLimits(2))
    assert limits_for("x.b.example.org", known) == ("*.b.example.org", HostLimits(3))
    for host in ("example.org", "badexample.org", "example.com"):
        assert limits_for(host, known) == (host, HostLimits())


def test_the_hosts_of_a_pattern_share_a_lane() -> None:
    lanes: Lanes[int] = Lanes(4, hosts={"*.example.org": HostLimits(at_once=2, rate=5)})
    lane = lanes.lane("a.example.org")
    assert lane is lanes.lane("b.example.org") is not lanes.lane("example.org")
    assert (lane.at_once, lane.gap, lanes.lane("example.org").at_once) == (2, 0.2, 4)


def filled(lanes: Lanes[str], host: str, count: int) -> Lane[str]:
    lane = lanes.lane(host)
    lane.open()
    for i in range(count):
        lane.add(f"{host}{i}")
        lanes.enlist(lane, 0)
    return lane


def test_hosts_take_turns() -> None:
    lanes: Lanes[str] = Lanes(9)
    for host in "abc":
        filled(lanes, host, 3)
    order = [taken[1] for _ in range(9) if (taken := lanes.take(0))]
    assert order == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]
    assert lanes.take(0) is None and lanes.next_time() is None


def test_a_new_lane_is_narrow_until_its_host_answers() -> None:
    lanes: Lanes[str] = Lanes(3)
    lane = lanes.lane("a")
    for item in "xyz":
        lane.add(item)
    lanes.enlist(lane, 0)
    assert lanes.take(0) == (lane, "x")
    assert lanes.take(0) is None
    lane.open()
    lanes.enlist(lane, 0)
    assert lanes.take(0) == (lane, "y")
    assert lanes.take(0) == (lane, "z")


def test_what_is_tried_again_waits_its_time_and_then_goes_first() -> None:
    lanes: Lanes[str] = Lanes(9)
    lane = filled(lanes, "a", 2)
    lane.add("again", 5.0)
    lanes.enlist(lane, 0)
    assert lanes.take(1) == (lane, "a0")
    assert lanes.take(5) == (lane, "again")
    assert lanes.take(5) == (lane, "a1")
    lane.add("later", 9.0)
    lanes.enlist(lane, 5)
    assert lanes.take(6) is None and lanes.next_time() == 9.0


def test_something_earlier_moves_a_lane_up() -> None:
    lanes: Lanes[str] = Lanes(9)
    lane = lanes.lane("a")
    lane.open()
    lane.add("late", 60.0)
    lanes.enlist(lane, 0)
    assert lanes.next_time() == 60.0
    lane.add("now")
    lanes.enlist(lane, 1)
    assert lanes.take(1) == (lane, "now")
    assert lanes.take(2) is None
    assert lanes.take(60) == (lane, "late")


def test_a_pause_holds_up_its_lane_alone() -> None:
    lanes: Lanes[str] = Lanes(9)
    a, b = filled(lanes, "a", 1), filled(lanes, "b", 1)
    a.pause(0, 10)
    assert lanes.take(0) == (b, "b0")
    assert lanes.take(9.9) is None
    assert lanes.take(10) == (a, "a0")


def test_a_rate_keeps_starts_apart_and_saves_nothing_up() -> None:
    lanes: Lanes[str] = Lanes(9, rate=10)
    lane = filled(lanes, "a", 6)
    starts, now = [], 0.0
    for step in (0.0, 0.03, 0.07, 0.1, 1.0, 0.0, 0.1, 0.1):
        now += step
        if lanes.take(now):
            starts.append(round(now, 2))
    assert starts == [0.0, 0.1, 0.2, 1.2, 1.3, 1.4]
    lane.slow_down(0.5)
    lane.add("more")
    lanes.enlist(lane, now)
    assert lanes.next_time() == pytest.approx(1.4 + 0.5)
    lane.slow_down(0.2)
    assert lane.gap == 0.5


def test_bandwidth_is_shared_by_what_runs_in_a_lane() -> None:
    lane: Lane[str] = Lane(2, megabits=8)  # a million bytes a second
    assert lane.spend(500_000, 100.0) == pytest.approx(0.5)
    assert lane.spend(500_000, 100.0) == pytest.approx(1.0)
    assert lane.spend(100_000, 105.0) == pytest.approx(0.1), "time not used is not saved up"
    assert Lane(2).spend(1 << 30, 0) == 0


def test_refusals_in_a_row_stop_a_lane_and_those_of_one_moment_are_one() -> None:
    lane: Lane[str] = Lane(9)
    assert not any(lane.refuse(now=1.0, began=0.5) for _ in range(20))
    assert lane.refusals == 1
    for i in range(2, REFUSALS):
        assert not lane.refuse(now=i, began=i)
    lane.open()
    for i in range(10, 10 + REFUSALS - 1):
        assert not lane.refuse(now=i, began=i)
    assert lane.refuse(now=99, began=99) and lane.stopped


def test_no_host_gets_more_connections_than_it_may(tmp_path: Path) -> None:
    with serving(slow) as site:
        urls = [site.url(str(i), host) for i in range(24) for host in (A, B, C)]
        results = download(
            urls,
            tmp_path,
            allow=urls,
            connections=32,
            per_host=3,
            hosts={B: HostLimits(at_once=1), C: HostLimits(at_once=8)},
        )
    assert all(each.content for each in results.values())
    assert site.most[A] <= 3 and site.most[B] == 1 and 3 < site.most[C] <= 8


def test_all_hosts_together_get_no_more_than_all_connections(tmp_path: Path) -> None:
    open_now: list[int] = []

    async def watched(request: Request) -> None:
        open_now.append(request.server.open.total())
        await slow(request)

    hosts = [f"127.0.0.{i}" for i in range(1, 9)]
    with serving(watched) as site:
        urls = [site.url(str(i), host) for i in range(5) for host in hosts]
        download(urls, tmp_path, allow=urls, connections=6, per_host=4)
    assert 1 < max(open_now) <= 6


def test_a_rate_is_obeyed_by_every_request(tmp_path: Path) -> None:
    with serving(fine) as site:
        urls = [site.url(str(i), host) for i in range(10) for host in (A, B)]
        download(urls, tmp_path, allow=urls, connections=20, hosts={A: HostLimits(rate=20)})
    first, *_, last = site.times(A)
    assert last - first > 9 * 0.05 * 0.8
    assert site.times(B)[-1] < last, "the other host has no limit"


def test_a_bandwidth_is_kept(tmp_path: Path) -> None:
    async def large(request: Request) -> None:
        await request.reply(bytes(100_000))

    with serving(large) as site:
        urls = [site.url(str(i)) for i in range(6)]
        start = time.monotonic()
        download(urls, tmp_path, allow=urls, hosts={A: HostLimits(megabits=8)})
    assert time.monotonic() - start > 0.55  # 600 kB at 1 MB/s


def test_a_host_that_asks_for_patience_does_not_slow_another(tmp_path: Path) -> None:
    async def limited(request: Request) -> None:
        if request.host == A and len(request.server.asked(A)) == 1:
            await request.reply(b"later", 429, Retry_After=1)
        else:
            await request.reply(PICTURE)

    with serving(limited) as site:
        urls = [site.url(str(i), host) for i in range(10) for host in (A, B)]
        results = download(urls, tmp_path, allow=urls, connections=2)
    assert all(each.content for each in results.values())
    first, second, *_ = site.times(A)
    assert second - first >= 1, "nothing else of the host is asked for either"
    assert site.times(B)[-1] < second
    assert [results[url].attempts for url in urls].count(2) == 1


@pytest.mark.parametrize("status", [403, 429])
def test_a_host_that_refuses_again_and_again_is_left_alone(tmp_path: Path, status: int) -> None:
    async def refuse(request: Request) -> None:
        if request.host == A:
            await request.reply(b"no", status, Retry_After=0)
        else:
            await request.reply(PICTURE)

    with serving(refuse) as site:
        urls = [site.url(str(i), host) for i in range(30) for host in (A, B)]
        results = download(urls, tmp_path, allow=urls, per_host=3, retries=3)
        reasons = [results[url].reason for url in urls if f"//{A}:" in url]
        assert all(results[url].content for url in urls if f"//{B}:" in url)
    assert REFUSALS <= len(site.asked(A)) <= REFUSALS + 2  # those that were under way
    assert reasons.count("host_stopped") >= 30 - REFUSALS - 2
    assert set(reasons) == {"host_stopped", {403: "forbidden", 429: "rate_limited"}[status]}
    stopped = [each for each in results.values() if each.reason == "host_stopped"]
    assert not any(each.lasting for each in stopped), "the next run tries again"


def test_refusals_between_answers_stop_nobody(tmp_path: Path) -> None:
    async def now_and_then(request: Request) -> None:
        number = int(request.path[1:])
        await (request.reply(b"no", 403) if number % 4 else request.reply(PICTURE))

    with serving(now_and_then) as site:
        urls = [site.url(str(i)) for i in range(60)]
        results = download(urls, tmp_path, allow=urls)
    assert [results[url].reason for url in urls] == [
        "forbidden" if i % 4 else None for i in range(60)
    ]


def test_a_host_that_asks_for_more_patience_than_we_have_is_left_alone(tmp_path: Path) -> None:
    async def tomorrow(request: Request) -> None:
        await request.reply(b"", 503, Retry_After=86400)

    with serving(tomorrow) as site:
        urls = [site.url(str(i)) for i in range(5)]
        results = download(urls, tmp_path, allow=urls)
        assert len(site.asked()) <= 4
    assert {each.reason for each in results.values()} == {"host_stopped"}


def test_each_hop_of_a_redirect_waits_in_the_lane_of_its_host(tmp_path: Path) -> None:
    async def moved(request: Request) -> None:
        if request.host == A:
            target = request.server.url(request.path[1:], B)
            await request.reply(b"", 302, Location=target)
        else:
            await slow(request)

    with serving(moved) as site:
        urls = [site.url(str(i)) for i in range(12)]
        results = download(
            urls, tmp_path, allow=[*urls, site.url(host=B)], hosts={B: HostLimits(at_once=2)}
        )
        assert [results[url].final_url for url in urls] == [site.url(str(i), B) for i in range(12)]
        assert [each.attempts for each in results.values()] == [1] * 12
    assert site.most[B] <= 2 and len(site.asked(B, "/robots.txt")) == 1
