"""A proxy before a real HTTP server that does not answer, is slow, fails, or loses the answer."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

PASS, SILENT, SLOW, BROKEN, LOST = "pass", "silent", "slow", "broken", "lost"


class FaultyProxy(ThreadingHTTPServer):
    """Between a client and the server at ``port``, while the block lasts.

    ``mode`` may change at any time: PASS; SILENT takes a request and never answers; SLOW answers
    after ``delay`` seconds; BROKEN answers 500; LOST lets the server do its work and then hangs up,
    so that the client cannot know. ``asked`` counts requests by mode.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, mode: str = PASS, delay: float = 0.5) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind, self.mode, self.delay = port, mode, delay
        self.asked: Counter[str] = Counter()
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None = None,
        _error: BaseException | None = None,
        _trace: TracebackType | None = None,
    ) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:  # a client that gave up is no news here
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def forward(self) -> None:
        proxy = self.server
        mode = proxy.mode
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        proxy.asked[mode] += 1
        if mode == SILENT:
            proxy.closing.wait()
            self.close_connection = True
        elif mode == BROKEN:
            self.answer(500, "application/json", b'{"error_code": "INTERNAL_ERROR"}')
        else:
            if mode == SLOW:
                time.sleep(proxy.delay)
            behind = http.client.HTTPConnection("127.0.0.1", proxy.behind)
            behind.request(self.command, self.path, body, dict(self.headers))
            answer = behind.getresponse()
            content = answer.read()
            behind.close()
            if mode == LOST:
                self.close_connection = True
            else:
                self.answer(answer.status, answer.getheader("Content-Type", ""), content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward

    def answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
