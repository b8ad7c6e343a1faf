"""A headless Chromium that always goes away: with us, before us, or at the next start.

Killing Python leaves chromedriver and Chromium running; killing chromedriver leaves Chromium. So
the driver gets a process group of its own, which is killed as a whole, and each browser's profile
folder (a name nobody else has, present on the command lines) is written to a record first. A
record whose owner is dead leads the next start to whatever that owner left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from selenium import webdriver
from selenium.common.exceptions import SessionNotCreatedException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.remote_connection import RemoteConnection
from urllib3.exceptions import HTTPError

from pipeline.errors import PipelineError

# What Selenium raises when browser or driver died or hang: its own error, or its HTTP client's.
BrowserGone = (WebDriverException, HTTPError, OSError)

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FIXED = (
    "/usr/bin/chromium",
    "/usr/lib/chromium/chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
_FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",  # containers often give /dev/shm 64 MB, and Chromium then crashes
    "--window-size=1366,900",
)
_PREFIX = "breed-browser-"  # of profile folders; short, for a socket's path is at most 107 bytes
_PATIENCE = 120  # seconds until a silent driver is taken for dead


def find_browser() -> str:
    """Path of Chromium or Chrome: CHROME_BIN, then PATH, then the usual places.

    Raises:
        PipelineError: there is none.
    """
    return _find("CHROME_BIN", _BROWSERS, _FIXED, "browser (Chromium or Chrome)", "chromium")


def find_driver() -> str:
    """Path of chromedriver: CHROMEDRIVER, then PATH, then the usual place. Never downloaded.

    Raises:
        PipelineError: there is none.
    """
    places = ("/usr/bin/chromedriver", "/usr/lib/chromium/chromedriver")
    return _find("CHROMEDRIVER", ("chromedriver",), places, "chromedriver", "chromium-driver")


def _find(
    variable: str, names: tuple[str, ...], places: tuple[str, ...], what: str, package: str
) -> str:
    given = os.environ.get(variable)
    if given:
        if not os.access(given, os.X_OK) or Path(given).is_dir():
            raise PipelineError(f"{variable}={given}: is not a program that can be run; mend it")
        return given
    found = next(filter(None, map(shutil.which, names)), None)
    found = found or next((place for place in places if os.access(place, os.X_OK)), None)
    if found is None:
        raise PipelineError(
            f"no {what} found: install it (Debian: apt-get install {package}) "
            f"or set {variable} to its path"
        )
    return found


class Browser:
    """One Chromium for as long as the context lasts; ``driver`` is Selenium's.

    Args:
        records: folder for the records by which a later start finds orphans.
        pictures: whether pages load their pictures.
    """

    def __init__(self, records: Path, pictures: bool = False) -> None:
        self.records = records
        self.pictures = pictures
        self._driver: webdriver.Chrome | None = None
        self._record: IO[str] | None = None
        self._record_path = records
        self._profile: Path | None = None

    def __enter__(self) -> Browser:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        return self._driver is not None

    @property
    def driver(self) -> webdriver.Chrome:
        assert self._driver is not None, "the browser was not started"
        return self._driver

    def start(self) -> None:
        """Raises ``PipelineError`` when no browser can be had."""
        binary, driver = find_browser(), find_driver()
        token = secrets.token_hex(6)
        self._profile = Path(tempfile.gettempdir()) / f"{_PREFIX}{token}"
        self._record_path = self.records / f"{token}.record"
        self._record = _write_record(self._record_path, self._profile)
        self._profile.mkdir(mode=0o700)
        try:
            self._driver = self._launch(binary, driver, self._profile)
        except SessionNotCreatedException as error:
            self.stop()
            raise PipelineError(_explain(error)) from None
        except (WebDriverException, HTTPError, OSError) as error:
            self.stop()
            raise PipelineError(f"{driver} did not start a browser: {_first_line(error)}") from None
        except BaseException:
            self.stop()
            raise

    def _launch(self, binary: str, driver: str, profile: Path) -> webdriver.Chrome:
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        options.page_load_strategy = "eager"
        options.ignore_local_proxy_environment_variables()
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        if os.geteuid() == 0:  # Chromium refuses to run as root with its sandbox
            options.add_argument("--no-sandbox")
        if not self.pictures:
            options.add_argument("--blink-settings=imagesEnabled=false")
        # With the path given Selenium Manager never runs; offline, in case a later version does.
        os.environ["SE_OFFLINE"] = "true"
        service = Service(
            driver,
            service_args=[f"--log-path={profile / 'chromedriver.log'}"],  # marks the driver as ours
            popen_kw={"start_new_session": True},
            env={**os.environ, "TMPDIR": str(profile)},  # Chromium's own scraps go with it
        )
        browser = webdriver.Chrome(options=options, service=service)
        _connection(browser).client_config.timeout = _PATIENCE
        return browser

    def kill(self) -> None:
        """Make every call on ``driver`` fail now. May be called from another thread."""
        if self._profile is not None:
            _kill_users_of(self._profile)

    def stop(self) -> None:
        """Kill the whole group (quicker than asking, and nothing of the profile is kept)."""
        self.kill()
        if self._driver is not None:
            with contextlib.suppress(subprocess.TimeoutExpired, AttributeError):
                self._driver.service.process.wait(5)
            _connection(self._driver).close()
            self._driver = None
        if self._profile is not None:
            shutil.rmtree(self._profile, ignore_errors=True)
            self._profile = None
        if self._record is not None:
            self._record_path.unlink(missing_ok=True)
            self._record.close()
            self._record = None


def _connection(driver: webdriver.Chrome) -> RemoteConnection:
    assert isinstance(driver.command_executor, RemoteConnection)
    return driver.command_executor


def clean_orphans(records: Path) -> int:
    """Kill browsers whose owner died without a chance to; returns how many owners.

    The owner holds a lock on its record, and the kernel frees that lock with the owner. Only
    processes that carry the recorded profile folder on their command line are touched: a process
    id that was given to somebody else since is safe.
    """
    found = 0
    for path in sorted(records.glob("*.record")):
        with contextlib.suppress(OSError), path.open("r+") as record:
            try:
                fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # alive
            profile = Path(record.read().strip() or os.devnull)
            if profile.name.startswith(_PREFIX):
                _kill_users_of(profile)
                shutil.rmtree(profile, ignore_errors=True)
                found += 1
            path.unlink(missing_ok=True)
    return found


def _write_record(path: Path, profile: Path) -> IO[str]:
    """A locked record; written before anything starts, so that no moment is without one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unnamed = path.with_suffix(".new")  # a record gets its name only once it is locked
    record = unnamed.open("w")
    fcntl.flock(record, fcntl.LOCK_EX)
    record.write(f"{profile}\n")
    record.flush()
    unnamed.rename(path)
    return record


def _kill_users_of(profile: Path, patience: float = 5.0) -> None:
    """Kill the process groups of all processes that name ``profile``, until none is left."""
    deadline = time.monotonic() + patience
    while groups := {group for group, line in _processes() if str(profile) in line}:
        for group in groups - {os.getpgrp()}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)


def _processes() -> Iterator[tuple[int, str]]:
    """Process group and command line of every process that is not a zombie."""
    if sys.platform != "linux":
        listing = subprocess.run(
            ["ps", "-axww", "-o", "pgid=,command="], capture_output=True, text=True, check=False
        )
        for line in listing.stdout.splitlines():
            group, _, command = line.strip().partition(" ")
            yield int(group), command
        return
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it ended while we looked
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                if command:
                    yield os.getpgid(int(folder.name)), command.decode(errors="replace")


def _explain(error: SessionNotCreatedException) -> str:
    text = _first_line(error)
    if "instance exited" in text or "DevToolsActivePort" in text:
        return (
            f"the browser {find_browser()} ended at once; it does so when it runs as root with "
            "its sandbox, without a display when not headless, or when another browser uses the "
            f"same profile folder; run it by hand with --headless=new --dump-dom about:blank "
            f"to see why ({text})"
        )
    return f"the browser {find_browser()} cannot be driven by {find_driver()}: {text}"


def _first_line(error: Any) -> str:
    text = getattr(error, "msg", None) or str(error)
    return str(text).strip().splitlines()[0] if str(text).strip() else type(error).__name__
