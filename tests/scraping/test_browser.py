"""The browser goes away however we end, and says clearly why it cannot come."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.scraping import browser as module
from pipeline.scraping.browser import Browser, BrowserGone, clean_orphans, find_browser, find_driver

HOLD = """
import sys, time
from pathlib import Path
from pipeline.scraping.browser import Browser
with Browser(Path(sys.argv[1])):
    print("up", flush=True)
    time.sleep(60)
"""


def users_of(profile: str) -> int:
    return sum(profile in line for _, line in module._processes())


def profiles(records: Path) -> list[str]:
    return [path.read_text().strip() for path in records.glob("*.record")]


@pytest.mark.browser
def test_nothing_stays_after_the_context(tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.driver.get("data:text/html,<p>hello")
        assert browser.driver.execute_script("return document.body.innerText") == "hello"
        (profile,) = profiles(tmp_path)
        assert users_of(profile) > 1
    assert users_of(profile) == 0
    assert not Path(profile).exists() and not list(tmp_path.iterdir())


@pytest.mark.browser
def test_after_kill_9_the_next_start_removes_the_orphans_and_leaves_the_living(
    tmp_path: Path,
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    (profile,) = profiles(tmp_path)
    assert clean_orphans(tmp_path) == 0, "its owner lives"
    assert users_of(profile) > 1
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert users_of(profile) > 1, "Chromium outlives us: that is why there are records"
    with Browser(tmp_path) as living:
        assert clean_orphans(tmp_path) == 1
        assert users_of(profile) == 0 and not Path(profile).exists()
        assert living.driver.execute_script("return 1 + 1") == 2
    assert clean_orphans(tmp_path) == 0


@pytest.mark.browser
def test_a_call_under_way_fails_at_once_when_the_browser_is_killed(tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.kill()
        start = time.monotonic()
        with pytest.raises(BrowserGone):
            browser.driver.get("data:text/html,x")
        assert time.monotonic() - start < 60  # left alone, the driver's own limit is 120 s


@pytest.mark.browser
def test_a_silent_driver_is_taken_for_dead_after_its_patience(tmp_path: Path) -> None:
    with Browser(tmp_path, patience=1.0) as browser:
        (profile,) = profiles(tmp_path)
        for group, line in module._processes():
            if profile in line:
                os.kill(group, signal.SIGSTOP)  # the group's first process, the driver
        start = time.monotonic()
        with pytest.raises(BrowserGone):
            browser.driver.get("data:text/html,x")
        assert time.monotonic() - start < 60
    assert users_of(profile) == 0


@pytest.mark.browser
@pytest.mark.parametrize("product", ["breed-diffusion/0.1 (+https://example.org/us)", ""])
def test_the_product_follows_the_browsers_own_user_agent_everywhere(
    tmp_path: Path, product: str
) -> None:
    said: list[str] = []

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said.append(self.headers["User-Agent"])
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<script>fetch('/part').then(() => document.title = 'done')</script>")

        def log_message(self, *_: object) -> None: ...

    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server,
        Browser(tmp_path, product=product) as browser,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for host in ("127.0.0.1", "localhost"):  # two sites: the second gets another process
            browser.driver.get(f"http://{host}:{server.server_address[1]}/")
            deadline = time.monotonic() + 20
            while browser.driver.title != "done" and time.monotonic() < deadline:
                time.sleep(0.02)
        server.shutdown()
    assert len(said) >= 4, "two pages and what they fetched"
    (agent,) = set(said)
    assert "HeadlessChrome/" in agent, "it does not pass itself off as somebody's"
    assert agent.endswith(f" {product}" if product else "Safari/537.36")


def test_a_record_never_leads_to_somebody_elses_process(tmp_path: Path) -> None:
    """A record of a dead owner names a profile that an innocent process does not use."""
    innocent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        (tmp_path / "1.record").write_text(f"/tmp/{module._PREFIX}0123456789ab\n")
        (tmp_path / "2.record").write_text("/\n")  # damaged: would match every command line
        (tmp_path / "3.record").write_text("")
        clean_orphans(tmp_path)
        assert innocent.poll() is None
        assert not list(tmp_path.glob("*.record"))
    finally:
        innocent.kill()
        innocent.wait()


def test_a_missing_browser_or_driver_is_one_line_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in ("CHROME_BIN", "CHROMEDRIVER"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PipelineError, match=r"no browser .* apt-get install chromium\) or set CHR"):
        find_browser()
    with pytest.raises(PipelineError, match=r"no chromedriver .* install chromium-driver"):
        find_driver()
    monkeypatch.setenv("CHROME_BIN", "/nowhere/chrome")
    with pytest.raises(PipelineError, match="CHROME_BIN=/nowhere/chrome: is not a program"):
        find_browser()


@pytest.mark.browser
def test_a_browser_that_ends_at_once_names_the_three_causes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    false = tmp_path / "chrome"
    false.write_text("#!/bin/sh\nexit 1\n")
    false.chmod(0o755)
    monkeypatch.setenv("CHROME_BIN", str(false))
    with pytest.raises(PipelineError) as caught:
        Browser(tmp_path / "records").start()
    text = str(caught.value)
    assert "as root" in text and "display" in text and "profile" in text and "\n" not in text
    assert not list((tmp_path / "records").iterdir())
