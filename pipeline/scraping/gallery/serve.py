"""Serving the gallery: in a thread for tests and the scraper, or in the foreground for a person."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from pipeline.errors import PipelineError


@contextmanager
def serve(gallery: Any, port: int = 0, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve ``gallery`` from a thread while the context lasts; yields its address.

    ``port`` 0 takes a free one. Raises ``PipelineError`` if the port is taken.
    """
    listener = _listen(host, port)
    server = _server(gallery)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="gallery", daemon=True
    )
    thread.start()
    try:
        _until_started(server, thread)
        yield _address(listener)
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


def run(
    gallery: Any,
    host: str = "127.0.0.1",
    port: int = 8000,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve ``gallery`` until Ctrl-C; ``on_ready`` is given the address once the port is held."""
    listener = _listen(host, port)
    try:
        if on_ready:
            on_ready(_address(listener))
        _server(gallery).run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # how a person ends it
    finally:
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket: from here on the address answers, and nobody else can take it."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # Named as TCP: only then does asyncio send small answers at once, and not 40 ms late.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except (OSError, OverflowError) as error:
        raise PipelineError(f"gallery: cannot serve on {host}:{port}: {error}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(256)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise PipelineError(
            f"gallery: cannot serve on {host}:{port}: {reason}; choose another with --port"
        ) from None
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _server(gallery: Any) -> uvicorn.Server:
    config = uvicorn.Config(
        gallery.app, log_config=None, log_level="critical", access_log=False, lifespan="off",
        timeout_graceful_shutdown=2, timeout_keep_alive=20, server_header=False,
    )  # fmt: skip
    return uvicorn.Server(config)


def _until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + 20
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise PipelineError("gallery: the server did not start")
        time.sleep(0.01)
