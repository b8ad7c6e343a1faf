"""The MLflow UI in a real browser, on the store the pipeline wrote."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from clone import Project, wait_for
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

pytestmark = pytest.mark.browser


@pytest.fixture
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--window-size=1600,1200"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_compare_link_shows_both_runs_with_what_differs(project: Project, browser: Any) -> None:
    project.dvc("exp", "run", "-n", "other", "-S", "seed=5", "-S", "train.images=64")
    port = str(free_port())
    process = project.start(sys.executable, "-m", "pipeline.cli", "ui", "--port", port)
    log = project.root / ".cache" / "started.log"
    try:
        wait_for(lambda: "/runs" in log.read_text(), "the UI", 400)
        said = project.pipeline("compare", "--port", port)
        [link] = re.findall(r"http://127\.0\.0\.1:\S+", said)
        assert "seed" in said and "train.lr" not in said
        browser.get(link)
        wait_for(lambda: "train.images" in text(browser), "the compare page", 300)
        browser.save_screenshot(str(project.root / ".cache" / "compare.png"))
        page = text(browser)
        assert "Comparing 2 Runs" in page and "other" in page
        assert "eval/" in page  # the first metrics: the page draws long tables as they are scrolled
        assert hosts_asked(browser) == {f"127.0.0.1:{port}"}, "the UI works offline"
    finally:
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(100) == 0
    with contextlib.closing(socket.socket()) as probe:
        assert probe.connect_ex(("127.0.0.1", int(port))) != 0, "the server is gone"


def hosts_asked(browser: Any) -> set[str]:
    """Hosts of every request the browser made."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m for m in messages if m["method"] == "Network.requestWillBeSent"]
    urls = [urlsplit(m["params"]["request"]["url"]) for m in sent]
    return {url.netloc for url in urls if url.scheme in ("http", "https", "ws", "wss")}


def text(browser: Any) -> str:
    return browser.execute_script("return document.body.innerText")
