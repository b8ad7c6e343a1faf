"""Which pictures a job ends up with does not depend on the order in which downloads end."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pipeline.raw import Content
from pipeline.scraping.download import Result
from pipeline.scraping.frontier import Entry, Job, generous
from pipeline.scraping.page import Candidate, Outcome, Visit
from pipeline.scraping.sources import load_source

GOOD = Result(Content("0" * 64, "jpg", 10, 100, 80))
BROKEN = Result(Content("1" * 64, "bin", 10, None, None))
DEAD = Result(reason="dead_link")


def job(wanted: int, *queries: str) -> Job:
    source = load_source("gallery", Path("nowhere"))
    searches = source.searches("beagle", queries or ("beagle dog",), "http://127.0.0.1:1")
    return Job("beagle", source, "base", "pages", wanted, tuple(searches))


def found(count: int, outcome: Outcome, start: int = 0) -> Visit:
    urls = [f"http://x/{number}" for number in range(start, start + count)]
    return Visit(outcome, [Candidate(rank, url) for rank, url in enumerate(urls)])


def fate(entry: Entry) -> Result:
    number = int(entry.candidate.image_url.rpartition("/")[2])
    return DEAD if number % 5 == 0 else BROKEN if number % 7 == 0 else GOOD


def play(mine: Job, site: dict[str, list[int]], order: random.Random) -> list[str]:
    """Let downloads end in a random order; the site offers the numbers listed for each query."""
    under_way: list[Entry] = []
    while not mine.finished:
        while (entry := mine.take()) is not None:
            under_way.append(entry)
        if under_way:
            entry = under_way.pop(order.randrange(len(under_way)))
            mine.settle(entry, fate(entry))
            continue
        due = mine.next_visit()
        assert due is not None
        search, wanted = due
        numbers = site[search.query][:wanted]
        ended = len(site[search.query]) <= wanted
        candidates = [Candidate(i, f"http://x/{number}") for i, number in enumerate(numbers)]
        mine.offer(search, Visit(Outcome.END if ended else Outcome.RESULTS, candidates))
    return [entry.candidate.image_url for entry in mine.settled if entry.result is GOOD]


def test_the_first_good_ones_in_page_order_are_taken_whatever_the_order_of_downloads() -> None:
    good = [f"http://x/{n}" for n in range(200) if n % 5 and n % 7][:60]
    sizes = set()
    for seed in range(20):
        mine = job(60)
        assert play(mine, {"beagle dog": list(range(200))}, random.Random(seed)) == good
        sizes.add(len(mine.entries))
    assert len(sizes) == 1, "how many results were asked for does not depend on timing either"


def test_the_next_phrasing_is_used_only_when_the_first_has_ended() -> None:
    mine = job(10, "beagle dog", "beagle puppy")
    play(mine, {"beagle dog": list(range(40)), "beagle puppy": [99]}, random.Random(0))
    assert {entry.query for entry in mine.entries} == {"beagle dog"}
    mine = job(10, "beagle dog", "beagle puppy")
    taken = play(
        mine, {"beagle dog": [1, 2, 3], "beagle puppy": [2, *range(100, 150)]}, random.Random(0)
    )
    assert taken[:4] == ["http://x/1", "http://x/2", "http://x/3", "http://x/101"]
    assert len(taken) == mine.good == 10
    assert [entry.rank for entry in mine.entries] == list(range(len(mine.entries)))


def test_a_job_ends_short_when_results_end() -> None:
    mine = job(50)
    taken = play(mine, {"beagle dog": list(range(1, 12))}, random.Random(0))
    assert mine.finished and mine.missing == 50 - len(taken) > 0


def test_a_page_that_gives_nothing_new_counts_as_ended() -> None:
    mine = job(50)
    for _ in range(3):
        due = mine.next_visit()
        if due is None:
            break
        mine.offer(due[0], found(10, Outcome.RESULTS))
        while (entry := mine.take()) is not None:
            mine.settle(entry, GOOD)
    assert mine.finished and mine.good == 10


def test_nothing_more_is_under_way_than_is_missing() -> None:
    mine = job(3)
    due = mine.next_visit()
    assert due is not None and (due[0].query, due[1]) == ("beagle dog", generous(3))
    mine.offer(due[0], found(9, Outcome.RESULTS))
    taken = list(iter(mine.take, None))
    assert len(taken) == 3 and mine.waiting == 3
    mine.settle(taken[0], DEAD)
    assert len(list(iter(mine.take, None))) == 1


def test_what_a_visit_found_before_it_failed_is_fetched_and_the_next_query_follows() -> None:
    mine = job(10, "beagle dog", "beagle puppy")
    first = mine.next_visit()
    assert first is not None
    mine.offer(first[0], Visit(Outcome.LAYOUT_CHANGED, found(4, Outcome.END).candidates, "next"))
    for entry in list(iter(mine.take, None)):
        mine.settle(entry, GOOD)
    assert (mine.good, [failure.detail for failure in mine.failures]) == (4, ["next"])
    second = mine.next_visit()
    assert second is not None and second[0].query == "beagle puppy"


def test_a_stopped_job_finishes_what_is_under_way_and_no_more() -> None:
    mine = job(10, "beagle dog", "beagle puppy")
    first = mine.next_visit()
    assert first is not None
    mine.offer(first[0], found(4, Outcome.END))
    mine.stop("blocked")
    assert not mine.finished
    for entry in list(iter(mine.take, None)):
        mine.settle(entry, GOOD)
    assert mine.finished and mine.next_visit() is None and mine.stopped == "blocked"


@pytest.mark.parametrize(("wanted", "asked"), [(1, 7), (80, 97), (540, 626)])
def test_a_little_more_is_asked_for_than_wanted(wanted: int, asked: int) -> None:
    assert generous(wanted) == asked
