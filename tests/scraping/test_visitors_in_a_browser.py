"""Visitors outlive real browsers that die or hang, and servers that never answer."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_site
from crew import GALLERY, request, working

from pipeline.scraping import browser as browser_module
from pipeline.scraping import page, visitors
from pipeline.scraping.browser import Browser
from pipeline.scraping.page import Outcome
from pipeline.scraping.sources import Source

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with tiny_site.running() as url:
        yield url


def chromium_of(records: Path) -> set[int]:
    """Process groups of the browsers that have a record."""
    found = set()
    for record in records.glob("*.record"):
        profile = record.read_text().strip()
        found |= {group for group, line in browser_module._processes() if profile in line}
    return found


def when_visited(query: str, at_least: int) -> None:
    deadline = time.monotonic() + 100
    while tiny_site.asked[f"/search {query}"] < at_least:
        assert time.monotonic() < deadline, f"nobody asks for {query!r}"
        time.sleep(0.01)


def test_a_browser_killed_in_the_middle_of_a_visit_costs_nothing_but_time(
    site: str, tmp_path: Path
) -> None:
    with working(tmp_path) as (crew, heard):
        crew.submit(request(GALLERY, "normal crash", 50, site))
        when_visited("normal crash", 1)
        for group in chromium_of(tmp_path / "records"):
            os.killpg(group, signal.SIGKILL)
        seen = heard.visit(300)
        assert tiny_site.asked["/search normal crash"] == 2
    assert (seen.outcome, len(seen.candidates)) == (Outcome.END, 50)
    assert not list((tmp_path / "records").iterdir())


def test_a_driver_that_hangs_is_replaced(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped, not dead: its connections stay open, and only silence tells."""
    monkeypatch.setattr(visitors, "Browser", functools.partial(Browser, patience=4.0))
    with working(tmp_path) as (crew, heard):
        crew.submit(request(GALLERY, "normal freeze", 50, site))
        when_visited("normal freeze", 1)
        for group in chromium_of(tmp_path / "records"):
            os.killpg(group, signal.SIGSTOP)
        seen = heard.visit(300)
    assert (seen.outcome, len(seen.candidates)) == (Outcome.END, 50)
    assert not list((tmp_path / "records").iterdir()), "nor does the stopped one stay"


@pytest.mark.parametrize("word", tiny_site.HOSTILE)
def test_a_page_that_no_browser_ends_with_has_its_outcome_and_the_next_is_read(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setattr(visitors, "ATTEMPTS", 1)
    monkeypatch.setattr(visitors, "Browser", functools.partial(Browser, patience=8.0))
    with working(tmp_path) as (crew, heard):
        crew.submit(request(GALLERY, f"{word} dog", 5, site))
        seen = heard.visit(300)
        monkeypatch.setattr(visitors, "ATTEMPTS", 3)
        crew.submit(request(GALLERY, "normal dog", 5, site))
        after = heard.visit(300)
    assert seen.outcome.failed and seen.detail and not seen.candidates
    assert len(after.candidates) == 5 and heard.crashes.empty()


def test_a_page_on_which_the_browser_falls_silent_is_offline_and_named(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Browser(tmp_path / "records", patience=1.0) as browser:
        get = browser.driver.get

        def stopped(url: str) -> None:
            for group in chromium_of(tmp_path / "records"):
                os.killpg(group, signal.SIGSTOP)
            get(url)

        monkeypatch.setattr(browser.driver, "get", stopped)
        search = GALLERY.searches("dog", ["normal dog"], site)[0]
        seen = page.visit(browser.driver, GALLERY, search, 5, tmp_path / "seen")
    assert seen.outcome is Outcome.OFFLINE and seen.evidence is None
    assert seen.detail == f"{search.url} gave no page in 2 s, nor did the browser say a word"


def test_a_server_that_never_answers_is_offline_and_leaving_does_not_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How late the driver notices is its own affair: on a busy machine it may fall silent."""
    monkeypatch.setattr(visitors, "RESTS", (0.01, 0.01))
    with socket.create_server(("127.0.0.1", 0)) as silent, working(tmp_path) as (crew, heard):
        base = f"http://127.0.0.1:{silent.getsockname()[1]}"
        crew.submit(request(wait(0.5), base=base))
        seen = heard.visit(300)
        assert seen.outcome is Outcome.OFFLINE
        assert seen.detail.startswith(f"{base}/") and seen.detail.endswith("; tried 3 times")
        assert " gave no page in 0.5 s" in seen.detail
        kept = [*knocks(silent, 0.0)]  # of the visit that has ended
        crew.submit(request(wait(500), base=base))
        kept.append(next(knocks(silent, 100)))  # the second visit is under way
        start = time.monotonic()
    assert time.monotonic() - start < 200, "a page's time limit is longer"
    assert heard.visits.empty() and heard.crashes.empty()
    assert not list((tmp_path / "records").iterdir())


def wait(seconds: float) -> Source:
    return replace(GALLERY, limits=replace(GALLERY.limits, wait=seconds))


def knocks(server: socket.socket, patience: float) -> Iterator[socket.socket]:
    """Connections, as long as the next comes within ``patience`` seconds."""
    server.settimeout(patience)
    with contextlib.suppress(BlockingIOError, TimeoutError):
        while True:
            yield server.accept()[0]
