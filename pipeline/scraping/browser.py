"""A headless Chromium that always goes away: with us, before us, or at the next start.

Killing Python leaves chromedriver and Chromium running; killing chromedriver leaves Chromium. So
the driver gets a process group of its own, which is killed as a whole, and each browser's profile
folder (a name nobody else has, present on the command lines) is written to a record first. A
record whose owner is dead leads the next start to whatever that owner left behind. A browser on a
Selenium Grid (``grid``) leaves with the same certainty, by the name its session was given.
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
from typing import IO, Any, Protocol

from selenium import webdriver
from selenium.common.exceptions import SessionNotCreatedException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.remote_connection import RemoteConnection
from selenium.webdriver.remote.webdriver import WebDriver
from urllib3.exceptions import HTTPError

from pipeline.errors import PipelineError
from pipeline.scraping import grid

# What Selenium raises when browser or driver died or hang: its own error, or its HTTP client's.
BrowserGone = (WebDriverException, HTTPError, ConnectionError)

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
_REMEMBERED = 86_400  # seconds for which a Grid that does not answer is asked again
_NAMED = 5.0  # seconds until a record surely has its name
_PATIENCE = 90.0  # seconds until a silent driver is taken for dead; scripts may take 60


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
        grid_url: Selenium Grid that runs the browser; None: this machine does.
        product: appended to the browser's own User-Agent, as ``name/1.0 (+contact)``.
        patience: seconds that a call to the driver may take before it is taken for dead.

    Raises:
        ParamsError: ``grid_url`` is no address.
    """

    def __init__(
        self,
        records: Path,
        pictures: bool = False,
        grid_url: str | None = None,
        product: str = "",
        patience: float = _PATIENCE,
    ) -> None:
        self.records = records
        self.pictures, self.product, self.patience = pictures, product, patience
        self.served = 0  # visits since it was started, counted by whoever makes them
        self._hub = grid.Hub(grid_url) if grid_url else None
        self._driver: WebDriver | None = None
        self._place: _Place | None = None
        self._record: _Record | None = None
        self._killed = False

    def __enter__(self) -> Browser:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        return self._driver is not None

    @property
    def remote(self) -> bool:
        return self._hub is not None

    @property
    def queueing(self) -> bool:
        """Whether it waits for a Grid, which cannot be cut short, to give it a session."""
        return self.remote and self._place is not None and self._driver is None

    @property
    def driver(self) -> WebDriver:
        assert self._driver is not None, "the browser was not started"
        return self._driver

    def start(self) -> None:
        """Raises ``PipelineError`` when no browser can be had."""
        self._killed, self.served = False, 0
        token = secrets.token_hex(6)
        self._place = place = self._choose(token)
        self._record = _Record(self.records / f"{token}.record", place.mark)
        try:
            self._driver = place.launch(self._options())
            self._record.write(place.mark)  # a Grid's session has its id only now
            _connection(self._driver).client_config.timeout = self.patience
            if self.product:
                _introduce(self._driver, self.product)
            if self._killed:
                raise WebDriverException("it was told to end while it started")
        except PipelineError:
            self.stop()
            raise
        except (WebDriverException, HTTPError, OSError) as error:
            self.stop()
            raise PipelineError(place.explain(error)) from None
        except BaseException:
            self.stop()
            raise

    def _choose(self, token: str) -> _Place:
        if self._hub is not None:
            return grid.Session(self._hub, _PREFIX + token)
        return _Local(token)

    def _options(self) -> webdriver.ChromeOptions:
        options = webdriver.ChromeOptions()
        options.page_load_strategy = "eager"
        options.ignore_local_proxy_environment_variables()
        for flag in _FLAGS:
            options.add_argument(flag)
        if not self.pictures:
            options.add_argument("--blink-settings=imagesEnabled=false")
        return options

    def kill(self) -> None:
        """End what ``driver`` is doing now; each further call fails. From any thread."""
        self._killed = True
        if (place := self._place) is not None:
            place.kill()

    def stop(self) -> None:
        """End it; what cannot be ended now (a Grid that does not answer) keeps its record."""
        ended = self._place is None or self._place.end()
        if self._driver is not None:
            _connection(self._driver).close()
        self._driver = self._place = None
        if self._record is not None:
            self._record.close(keep=not ended)
            self._record = None


class _Place(Protocol):
    """Where a browser runs."""

    @property
    def mark(self) -> str:
        """What its record has to say."""

    def launch(self, options: webdriver.ChromeOptions) -> WebDriver: ...

    def kill(self) -> None: ...

    def end(self) -> bool:
        """Whether surely nothing is left."""

    def explain(self, error: Exception) -> str: ...


class _Local:
    """A Chromium on this machine, in a process group and with a profile of its own."""

    def __init__(self, token: str) -> None:
        self.binary, self.program = find_browser(), find_driver()
        self.profile = Path(tempfile.gettempdir()) / f"{_PREFIX}{token}"
        self.mark = str(self.profile)
        self.service: Service | None = None

    def launch(self, options: webdriver.ChromeOptions) -> WebDriver:
        self.profile.mkdir(mode=0o700)
        options.binary_location = self.binary
        options.add_argument(f"--user-data-dir={self.profile}")
        if os.geteuid() == 0:  # Chromium refuses to run as root with its sandbox
            options.add_argument("--no-sandbox")
        # With the path given Selenium Manager never runs; offline, in case a later version does.
        os.environ["SE_OFFLINE"] = "true"
        log = self.profile / "chromedriver.log"
        self.service = Service(
            self.program,
            service_args=[f"--log-path={log}"],  # marks the driver as ours
            popen_kw={"start_new_session": True},
            env={**os.environ, "TMPDIR": self.mark},  # Chromium's own scraps go with it
        )
        return webdriver.Chrome(options=options, service=self.service)

    def kill(self) -> None:
        _kill_users_of(self.profile)

    def end(self) -> bool:
        """Kill the whole group (quicker than asking, and nothing of the profile is kept)."""
        self.kill()
        if self.service is not None:
            with contextlib.suppress(subprocess.TimeoutExpired, AttributeError):
                self.service.process.wait(5)
        shutil.rmtree(self.profile, ignore_errors=True)
        return True

    def explain(self, error: Exception) -> str:
        text = _first_line(error)
        if not isinstance(error, SessionNotCreatedException):
            return f"{self.program} did not start a browser: {text}"
        if "instance exited" in text or "DevToolsActivePort" in text:
            return (
                f"the browser {self.binary} ended at once; it does so when it runs as root with "
                "its sandbox, without a display when not headless, or when another browser uses "
                "the same profile folder; run it by hand with --headless=new --dump-dom "
                f"about:blank to see why ({text})"
            )
        return f"the browser {self.binary} cannot be driven by {self.program}: {text}"


def _introduce(driver: WebDriver, product: str) -> None:
    """Add to the User-Agent who is asking; by the driver's command, so that a Grid does it too."""
    own = driver.execute("executeCdpCommand", {"cmd": "Browser.getVersion", "params": {}})
    agent = {"userAgent": f"{own['value']['userAgent']} {product}"}
    driver.execute("executeCdpCommand", {"cmd": "Network.setUserAgentOverride", "params": agent})


def _connection(driver: WebDriver) -> RemoteConnection:
    assert isinstance(driver.command_executor, RemoteConnection)
    return driver.command_executor


def clean_orphans(records: Path) -> int:
    """Kill browsers whose owner died without a chance to; returns how many owners.

    The owner holds a lock on its record, and the kernel frees that lock with the owner. Only
    processes that carry the recorded profile folder on their command line, and sessions that carry
    the recorded name, are touched: an id that was given to somebody else since is safe.
    """
    found, silent = 0, set[str]()
    for unnamed in records.glob("*.new"):  # killed before it started anything
        with contextlib.suppress(FileNotFoundError):
            if time.time() - unnamed.stat().st_mtime > _NAMED:
                unnamed.unlink()
    for path in sorted(records.glob("*.record")):
        with contextlib.suppress(OSError), path.open("r+") as record:
            try:
                fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # alive
            mark = record.read().strip()
            ended = _end_session(mark, silent) if "://" in mark else _end_local(mark)
            if ended or time.time() - path.stat().st_mtime > _REMEMBERED:
                path.unlink(missing_ok=True)
                found += 1
    return found


def _end_local(mark: str) -> bool:
    profile = Path(mark or os.devnull)
    if profile.name.startswith(_PREFIX):  # else the record is damaged
        _kill_users_of(profile)
        shutil.rmtree(profile, ignore_errors=True)
    return True


def _end_session(mark: str, silent: set[str]) -> bool:
    """Each Grid that does not answer is asked only once: it lets us wait."""
    url = mark.split()[0]
    if url in silent:
        return False
    try:
        return grid.end_orphan(mark)
    except HTTPError:
        silent.add(url)
        return False


class _Record:
    """A locked file; written before anything starts, so that no moment is without one."""

    def __init__(self, path: Path, mark: str) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        unnamed = path.with_suffix(".new")  # a record gets its name only once it is locked
        self.file: IO[str] = unnamed.open("w")
        os.fchmod(self.file.fileno(), 0o600)  # the address of a Grid may hold a password
        fcntl.flock(self.file, fcntl.LOCK_EX)
        self.write(mark)
        unnamed.rename(path)

    def write(self, mark: str) -> None:
        self.file.seek(0)
        self.file.write(f"{mark}\n")
        self.file.flush()

    def close(self, keep: bool) -> None:
        if not keep:
            self.path.unlink(missing_ok=True)
        self.file.close()


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


def _first_line(error: Any) -> str:
    text = getattr(error, "msg", None) or str(error)
    return str(text).strip().splitlines()[0] if str(text).strip() else type(error).__name__
