"""A browser on a Selenium Grid: got, given back, and taken back from an owner who died.

Every session carries a name nobody else has. It is recorded before the session is asked for, so
that it is found among the hub's sessions even when the answer never reached its owner.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import aiohttp
import urllib3
from selenium import webdriver
from selenium.common.exceptions import SessionNotCreatedException
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.webdriver import WebDriver
from urllib3.exceptions import HTTPError

from pipeline.errors import ParamsError, PipelineError

_NAME = "se:name"  # capability that a Grid hands back, and shows on its own page
_QUEUE = 330  # seconds to wait for a free browser: a little longer than the hub itself does
_ANSWER = 5.0  # seconds for the hub to answer a question of its own


class Hub:
    """The entrance of a Grid.

    Args:
        url: as ``http://grid:4444``; may hold a user's name and password.

    Raises:
        ParamsError: no address of http or https.
    """

    def __init__(self, url: str) -> None:
        self.given = url
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https"):
            raise ParamsError(
                f"scrape.grid_url: got {url!r}, expected an address as http://grid:4444"
            )
        self.user, self.password = unquote(parts.username or ""), unquote(parts.password or "")
        self.url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")
        login = f"{self.user}:{self.password}" if self.user else None
        self.headers = urllib3.make_headers(basic_auth=login)

    def ask(self, method: str, path: str, seconds: float = _ANSWER) -> tuple[int, Any]:
        """Status and JSON of an answer (None where it is not JSON).

        A new connection each time: those of the driver may be waiting for a browser that hangs.

        Raises:
            HTTPError: no answer.
        """
        with urllib3.PoolManager(retries=False, timeout=seconds) as pool:
            answer = pool.request(method, self.url + path, headers=self.headers)
        with contextlib.suppress(ValueError):
            return answer.status, json.loads(answer.data)
        return answer.status, None

    def check(self) -> None:
        """Raises ``PipelineError``, in one line, unless a Grid answers."""
        try:
            status, said = self.ask("GET", "/status")
        except HTTPError as error:
            raise PipelineError(
                f"the Selenium Grid {self.url} cannot be reached ({_reason(error)}): start it, or "
                "mend scrape.grid_url"
            ) from None
        if status in (401, 403):
            raise PipelineError(
                f"the Selenium Grid {self.url} wants a name and password: give them in "
                "scrape.grid_url as http://name:password@host:port"
            )
        value = said.get("value") if isinstance(said, dict) else None
        if not isinstance(value, dict) or "ready" not in value:
            raise PipelineError(
                f"{self.url} is no Selenium Grid (its /status answered {status} and not what a "
                "Grid does): mend scrape.grid_url"
            )

    def named(self, name: str) -> list[str]:
        """Ids of the sessions that carry ``name``. Raises ``HTTPError`` for no answer."""
        _, said = self.ask("GET", "/status")
        value = said.get("value") if isinstance(said, dict) else None
        nodes = value.get("nodes", []) if isinstance(value, dict) else []
        sessions = [slot.get("session") or {} for node in nodes for slot in node["slots"]]
        return [
            session["sessionId"]
            for session in sessions
            if session.get("capabilities", {}).get(_NAME) == name
        ]

    def delete(self, session: str) -> bool:
        """Give a session back; whether it surely is no more. Raises ``HTTPError``: no answer."""
        status, _ = self.ask("DELETE", f"/session/{quote(session)}")
        return status in (200, 404)

    def close_browser(self, session: str) -> bool:
        """Tell the browser itself to end, on its own line; whether it could be told.

        A driver answers DELETE only after the command it is busy with. When its browser ends, that
        command fails at once.
        """
        line = f"ws{self.url.removeprefix('http')}/session/{quote(session)}/se/cdp"
        try:
            asyncio.run(_close_browser(line, self.headers))
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
        return True

    def cut(self, session: str) -> bool:
        """As ``delete``, for a session that may be busy with what nobody waits for."""
        self.close_browser(session)
        return self.delete(session)


async def _close_browser(line: str, headers: dict[str, str]) -> None:
    async with (
        asyncio.timeout(_ANSWER),
        aiohttp.ClientSession(headers=headers) as http,
        http.ws_connect(line) as socket,
    ):
        await socket.send_json({"id": 1, "method": "Browser.close"})
        await socket.receive()


class Session:
    """One browser of a Grid, from asking for it to giving it back."""

    def __init__(self, hub: Hub, name: str) -> None:
        self.hub, self.name = hub, name
        self.session = ""
        self.over = False
        self.cut_at: float | None = None

    @property
    def mark(self) -> str:
        return "\n".join((self.hub.given, self.name, self.session)).strip()

    def launch(self, options: webdriver.ChromeOptions) -> WebDriver:
        self.hub.check()
        options.set_capability(_NAME, self.name)
        config = ClientConfig(
            self.hub.url, timeout=_QUEUE, username=self.hub.user, password=self.hub.password
        )
        driver = webdriver.Remote(self.hub.url, options=options, client_config=config)
        self.session = driver.session_id or ""
        return driver

    def kill(self) -> None:
        """Giving it back is left to its owner, whose call may never return if that is done first.

        (The node then ends the driver that was about to say that the browser is gone.)
        """
        if not self.session or self.over:
            return
        if self.cut_at is None:
            told = self.hub.close_browser(self.session)
            self.cut_at = time.monotonic() if told else -math.inf
        if time.monotonic() - self.cut_at > _ANSWER:
            self.end()

    def end(self) -> bool:
        if not self.over:
            with contextlib.suppress(HTTPError):
                self.over = self._give_back()
        return self.over

    def _give_back(self) -> bool:
        if not self.session:  # it may have been given, and the answer lost
            return _end_named(self.hub, self.name)
        with contextlib.suppress(HTTPError):  # it is busy, or the hub is gone
            return self.hub.delete(self.session)
        return self.hub.cut(self.session)

    def explain(self, error: Exception) -> str:
        text = _reason(error)
        if isinstance(error, SessionNotCreatedException):
            return (
                f"the Selenium Grid {self.hub.url} gave no browser: all are busy, its nodes are "
                f"down, or none has Chrome or Chromium; see {self.hub.url}/ui ({text})"
            )
        return f"the Selenium Grid {self.hub.url} gave no browser: {text}"


def end_orphan(mark: str) -> bool:
    """End the session of a record; whether it surely is no more.

    Raises:
        HTTPError: its Grid does not answer.
    """
    url, name, session = [*mark.split("\n"), "", ""][:3]
    try:
        hub = Hub(url)
    except ParamsError:
        return True  # a damaged record
    return hub.cut(session) if session else _end_named(hub, name)


def _end_named(hub: Hub, name: str) -> bool:
    ended = [hub.cut(session) for session in hub.named(name)]
    return all(ended)


def _reason(error: Exception) -> str:
    """The cause under the layers of an HTTP client, or a driver's first line."""
    text = str(getattr(error, "msg", None) or getattr(error, "reason", None) or error)
    return " ".join((text.strip().splitlines() or [type(error).__name__])[0].split())
