"""Visitors take turns at each source, outlive their browsers, and end when they are told to."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from crew import GALLERY, request, working
from selenium.common.exceptions import InvalidSessionIdException

from pipeline.errors import PipelineError
from pipeline.scraping import api, visitors
from pipeline.scraping.page import Outcome, Visit
from pipeline.scraping.sources import Limits, Source
from pipeline.scraping.turns import Turns
from pipeline.scraping.visitors import Request

FINE = Visit(Outcome.RESULTS)


def source(name: str, at_once: int = 1, pause: float = 0.0, kind: str = "browser") -> Source:
    return replace(GALLERY, name=name, kind=kind, limits=Limits(pause=pause, visits=at_once))


# Turns


def test_a_source_is_left_in_peace_while_others_go_on() -> None:
    ahead = 0.0  # seconds by which the clock was turned
    turns: Turns[Request] = Turns(clock=lambda: time.monotonic() + ahead)
    busy, free = source("busy", pause=60.0), source("free", at_once=2)
    for where in (busy, busy, free, free, free):
        turns.put(request(where))
    first = [turns.take(0.0) for _ in range(3)]
    assert [item and item.source_name for item in first] == ["busy", "free", "free"]
    for item in first:
        assert item is not None
        turns.done(item)
    assert turns.take(0.0) is not None  # of `free`: `busy` rests still
    ahead = 20.0
    with pytest.raises(TimeoutError):
        turns.take(0.0)
    ahead = 91.0  # half to one and a half of its pause
    last = turns.take(0.0)
    assert last is not None and last.source_name == "busy"


def test_a_rest_is_waited_for() -> None:
    turns: Turns[Request] = Turns()
    busy = source("busy", pause=0.2)
    for _ in range(2):
        turns.put(request(busy))
    start, first = time.monotonic(), turns.take()
    assert first is not None
    turns.done(first)
    assert turns.take() is not None
    assert time.monotonic() - start >= 0.1


def test_a_thread_that_waits_is_woken_by_work_and_by_the_end() -> None:
    turns: Turns[Request] = Turns()
    taken: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
    threads = [threading.Thread(target=lambda: taken.put(turns.take())) for _ in range(2)]
    for thread in threads:
        thread.start()
    asked = request(source("one"))
    turns.put(asked)
    assert taken.get(timeout=60) is asked
    turns.close()
    assert taken.get(timeout=60) is None
    assert turns.take() is None


# Visitors with a browser that is only pretended


@dataclass
class Pretended:
    """Stands for a browser; ``faults`` says how each visit ends, ``starts`` how each start does."""

    faults: list[BaseException | Visit] = field(default_factory=list)
    starts: list[BaseException | None] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def __call__(self, *_: object) -> Pretended:  # as if it were the class
        return self

    running, served, remote, queueing, driver = False, 0, False, False, None

    def start(self) -> None:
        self.log.append("start")
        error = self.starts.pop(0) if self.starts else None
        if error is not None:
            raise error
        self.running, self.served = True, 0

    def stop(self) -> None:
        self.running = False

    def kill(self) -> None: ...

    def visit(self, _driver: object, _source: Source, *_: object) -> Visit:
        self.log.append("visit")
        end = self.faults.pop(0) if self.faults else FINE
        if isinstance(end, BaseException):
            raise end
        return end


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    browser = Pretended()
    monkeypatch.setattr(visitors, "Browser", browser)
    monkeypatch.setattr(visitors, "visit", browser.visit)
    monkeypatch.setattr(visitors, "RESTS", (0.01, 0.02))
    return browser


GONE = InvalidSessionIdException("session deleted as the browser has closed the connection\nmore")
AWAY = Visit(Outcome.OFFLINE, detail="gave no page")


@pytest.mark.parametrize(
    ("faults", "outcome", "detail", "tries"),
    [
        ([], "results", "", 1),
        ([GONE, GONE], "results", "", 3),
        ([GONE, AWAY], "results", "", 3),
        ([AWAY] * 3, "offline", "gave no page; tried 3 times", 3),
        ([GONE] * 3, "offline", "broke down (session deleted as the browser has", 3),
        ([Visit(Outcome.BLOCKED, detail="captcha")], "blocked", "captcha", 1),
        ([Visit(Outcome.LAYOUT_CHANGED, detail="tile")], "layout_changed", "tile", 1),
    ],
)
def test_a_visit_has_three_attempts_with_a_fresh_browser_each_and_never_ends_the_work(
    pretended: Pretended,
    tmp_path: Path,
    faults: list[BaseException | Visit],
    outcome: str,
    detail: str,
    tries: int,
) -> None:
    pretended.faults = list(faults)
    with working(tmp_path) as (crew, heard):
        crew.submit(request(source("one")))
        seen = heard.visit()
        assert seen.outcome == outcome and detail in seen.detail and "\n" not in seen.detail
        assert pretended.log == ["start", "visit"] * tries
        crew.submit(request(source("one")))
        assert heard.visit() == FINE, "the next visit is not harmed"
    assert heard.crashes.empty()


def test_without_any_browser_the_work_ends_with_the_reason(
    pretended: Pretended, tmp_path: Path
) -> None:
    pretended.starts = [PipelineError("no browser found: install it")]
    with working(tmp_path) as (crew, heard):
        crew.submit(request(source("one")))
        assert str(heard.crashes.get(timeout=60)) == "no browser found: install it"
    assert pretended.log == ["start"], "what never worked is not tried again"


def test_a_browser_that_cannot_be_had_for_a_while_is_waited_for(
    pretended: Pretended, tmp_path: Path
) -> None:
    pretended.faults = [FINE, GONE]
    pretended.starts = [None, PipelineError("the hub restarts"), None, *[PipelineError("over")] * 9]
    with working(tmp_path) as (crew, heard):
        for _ in range(2):
            crew.submit(request(source("one")))
            assert heard.visit() == FINE
        pretended.faults = [GONE]
        crew.submit(request(source("one")))
        assert str(heard.crashes.get(timeout=60)) == "over"


def test_a_browser_is_replaced_after_so_many_visits(
    pretended: Pretended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitors, "VISITS_A_BROWSER", 3)
    with working(tmp_path) as (crew, heard):
        for _ in range(7):
            crew.submit(request(source("one")))
        assert [heard.visit() for _ in range(7)] == [FINE] * 7
    assert pretended.log == ["start", *["visit"] * 3] * 2 + ["start", "visit"]


def test_a_stopped_source_is_not_visited_and_the_others_are(
    pretended: Pretended, tmp_path: Path
) -> None:
    under_way, go_on = threading.Event(), threading.Event()

    def slow(*_: object) -> Visit:
        under_way.set()
        assert go_on.wait(60)
        return AWAY

    pretended.visit = slow  # type: ignore[method-assign]
    bad, good = source("bad"), source("good")
    with pytest.MonkeyPatch.context() as patch, working(tmp_path) as (crew, heard):
        patch.setattr(visitors, "visit", slow)
        for where in (bad, bad, good, bad):
            crew.submit(request(where))
        assert under_way.wait(60)
        crew.stop_source("bad", "stopped after a captcha")
        crew.submit(request(bad))
        dropped = [heard.visits.get(timeout=60) for _ in range(3)]
        assert {item.source_name for item, _ in dropped} == {"bad"}
        assert [seen for _, seen in dropped] == [
            Visit(Outcome.BLOCKED, detail="stopped after a captcha")
        ] * 3
        patch.setattr(visitors, "visit", lambda *_: FINE)
        go_on.set()
        assert heard.visit().detail == "gave no page; tried 1 times", "nor is it tried again"
        last, seen = heard.visits.get(timeout=60)
        assert (last.source_name, seen) == ("good", FINE)
    assert heard.crashes.empty()


def test_a_grid_gets_its_browser_back_while_there_is_no_work(
    pretended: Pretended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitors, "IDLE", 0.1)
    pretended.remote = True
    with working(tmp_path) as (crew, heard):
        for _ in range(2):
            crew.submit(request(source("one")))
            assert heard.visit() == FINE
            end = time.monotonic() + 60
            while pretended.running:
                assert time.monotonic() < end
                time.sleep(0.01)
    assert pretended.log == ["start", "visit"] * 2


def test_a_grid_full_of_our_own_browsers_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One browser for two workers: who gets none waits until the other has nothing to do."""
    free = threading.Semaphore(1)

    class Scarce(Pretended):
        remote = True

        def __init__(self, *_: object) -> None:
            super().__init__()

        def start(self) -> None:
            if not free.acquire(timeout=0.02):
                raise PipelineError("all are busy")
            self.running = True

        def stop(self) -> None:
            if self.running:
                self.running = False
                free.release()

    def visit(*_: object) -> Visit:
        time.sleep(0.3)
        return FINE

    for name, value in {"Browser": Scarce, "visit": visit, "RESTS": (0.01,) * 2}.items():
        monkeypatch.setattr(visitors, name, value)
    monkeypatch.setattr(visitors, "IDLE", 0.1)
    with working(tmp_path, workers=2) as (crew, heard):
        for _ in range(4):
            crew.submit(request(GALLERY))
        assert [heard.visit() for _ in range(4)] == [FINE] * 4
    assert heard.crashes.empty()


def test_an_api_is_asked_without_a_browser(
    pretended: Pretended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def answer(*arguments: object, sleep: Callable[[float], object]) -> Visit:
        asked.append(arguments)
        sleep(0)
        return FINE

    monkeypatch.setattr(api, "visit_api", answer)
    with working(tmp_path, user_agent="breed-diffusion/0.1") as (crew, heard):
        item = request(source("api", kind="api"))
        crew.submit(item)
        assert heard.visit() == FINE
    folder = tmp_path / "evidence" / "api-dog"
    assert asked == [(item.job.source, item.search, 30, "breed-diffusion/0.1", folder)]
    assert pretended.log == []


def test_leaving_ends_rests_and_waiting_at_once_and_says_nothing(
    pretended: Pretended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitors, "RESTS", (60.0, 60.0))
    pretended.faults = [GONE]
    with working(tmp_path, workers=3) as (crew, heard):
        crew.submit(request(source("one")))
        crew.submit(request(source("one", pause=60)))
        while "visit" not in pretended.log:
            time.sleep(0.01)
        start = time.monotonic()
    assert time.monotonic() - start < 25, "half of a rest"
    assert heard.visits.empty() and heard.crashes.empty()
