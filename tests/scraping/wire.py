"""A web server that says byte for byte what a test tells it, on every address of 127.0.0.0/8, in
the clear or through TLS.

It writes down who asked for what and when, how many requests of a host were open at once, and how
many bytes of bodies left it.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.raw import Store
from pipeline.scraping.download import Downloads, Key, Limits, Result
from pipeline.scraping.guard import resolve

Answer = Callable[["Request"], Awaitable[None]]
NO_ROBOTS = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Request:
    """One request; ``say`` sends bytes as they are, ``reply`` a whole answer."""

    host: str
    path: str
    headers: dict[str, str]
    server: Wire
    writer: asyncio.StreamWriter
    at: float = field(default_factory=time.monotonic)

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, body: bytes = b"", status: int = 200, **headers: object) -> None:
        """``X_Robots_Tag="noai"`` is a header; a given Content_Length wins over the true one."""
        named = {"Content-Length": len(body)} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        await self.say(f"HTTP/1.1 {status} Word\r\n{lines}\r\n".encode())
        self.server.sent[self.path] += len(body)
        await self.say(body)

    def hang_up(self) -> None:
        self.writer.transport.close()

    def reset(self) -> None:
        """Hang up with a RST, as a server does that died."""
        self.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.writer.transport.abort()


class Wire:
    """``answer`` is called for each request but those for robots.txt, which ``robots`` answers."""

    def __init__(self, answer: Answer, robots: Answer | bytes, scheme: str = "http") -> None:
        self.answer, self.robots, self.scheme = answer, robots, scheme
        self.requests: list[Request] = []
        self.open: Counter[str] = Counter()
        self.most: Counter[str] = Counter()  # requests of a host that were open at once
        self.sent: Counter[str] = Counter()  # bytes of bodies by path
        self.port = 0

    def url(self, path: str = "", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}/{path}"

    def times(self, host: str = "127.0.0.1") -> list[float]:
        """When ``host`` was asked for something other than robots.txt."""
        return [each.at for each in self.asked(host)]

    def asked(self, host: str = "127.0.0.1", path: str | None = None) -> list[Request]:
        return [
            each
            for each in self.requests
            if each.host == host
            and (each.path == path if path else not each.path.endswith("/robots.txt"))
        ]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.suppress(*over):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.strip().split("\r\n")
                headers = {
                    name.lower(): value for name, value in (line.split(": ", 1) for line in lines)
                }
                host = headers["host"].partition(":")[0]
                request = Request(host, first.split(" ")[1], headers, self, writer)
                await self._answer(request)
        writer.close()

    async def _answer(self, request: Request) -> None:
        self.requests.append(request)
        host = request.host
        self.open[host] += 1
        self.most[host] = max(self.most[host], self.open[host])
        try:
            if request.path != "/robots.txt":
                await self.answer(request)
            elif isinstance(self.robots, bytes):
                await request.say(self.robots)
            else:
                await self.robots(request)
        finally:
            self.open[host] -= 1


@contextlib.contextmanager
def serving(
    answer: Answer, robots: Answer | bytes = NO_ROBOTS, tls: ssl.SSLContext | None = None
) -> Iterator[Wire]:
    wire = Wire(answer, robots, "https" if tls else "http")
    loop = asyncio.new_event_loop()
    started, ended = threading.Event(), asyncio.Event()

    async def main() -> None:
        server = await asyncio.start_server(wire.handle, "0.0.0.0", 0, backlog=500, ssl=tls)
        wire.port = server.sockets[0].getsockname()[1]
        started.set()
        await ended.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
    thread.start()
    started.wait(60)
    try:
        yield wire
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()


def download(
    urls: Sequence[str],
    folder: Path,
    *,
    allow: str | Sequence[str] = (),
    wait: float = 30,
    **limits: object,
) -> dict[str, Result]:
    """How each URL ended, in the order in which they ended. ``allow``: addresses let through."""
    sites = [allow] if isinstance(allow, str) else allow
    allowed = resolve({urlsplit(site).netloc for site in sites})
    settings = Limits(**{"timeout": 10.0, "max_bytes": 200_000, "allowed": allowed} | limits)  # type: ignore[arg-type]
    done: queue.SimpleQueue[tuple[Key, Result]] = queue.SimpleQueue()
    errors: list[BaseException] = []
    with Downloads(
        Store(folder), settings, lambda key, result: done.put((key, result)), errors.append
    ) as pool:
        for url in urls:
            pool.submit(url, ("", url))
        results = dict(done.get(timeout=wait) for _ in urls)
    assert not errors
    assert not list(folder.glob(".*.part")), "no half-written file stays"
    return {key[1]: result for key, result in results.items()}
