"""The site that is measured against: a bare asyncio server in a process of its own.

    python site.py

prints its address. It answers from memory with one write an answer, on connections that are kept
open, so that a client is never held up by it (its own CPU time is reported to prove that).

/file/KILOBYTES/NUMBER.jpg   a picture whose bytes follow from both numbers (``picture``)
/search /more                a page of tiles that grows as one scrolls, as image searches do
/reset?delay=SECONDS /stats  counters of /file/, and the pause before each of its answers
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import time
from functools import cache
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from PIL import Image

SHAPES = {170: (1000, 750), 20: (360, 270)}  # kilobytes: pixels
TILES, BATCH = 1000, 40
PAGE = """<!doctype html><title>tiles</title>
<style>#results{{display:flex;flex-wrap:wrap}} a.tile{{width:200px;height:150px;margin:4px}}</style>
<main id="results">{tiles}</main><p id="foot"></p>
<script>
const main = document.querySelector("#results"), foot = document.querySelector("#foot");
let loading = false;
const count = () => main.children.length;
async function load() {{
  if (loading || count() >= {total}) return;
  if (foot.getBoundingClientRect().top > innerHeight + 600) return;
  loading = true;
  const reply = await fetch(`/more?from=${{count()}}`);
  main.insertAdjacentHTML("beforeend", await reply.text());
  loading = false;
  if (count() >= {total}) foot.insertAdjacentHTML("beforeend", '<b id="end">all</b>');
  else load();
}}
addEventListener("scroll", load);
load();
</script>"""


@cache
def _body(kilobytes: int) -> tuple[bytes, bytes]:
    """A JPEG of about so many kilobytes, in two parts between which a comment fits."""
    width, height = SHAPES[kilobytes]
    rng = np.random.default_rng(kilobytes)
    ground = Image.fromarray(rng.integers(0, 255, (9, 12, 3), dtype=np.uint8))
    pixels = np.asarray(ground.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    pixels = pixels + rng.integers(-14, 15, pixels.shape, dtype=np.int16)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    data = b""
    for quality in range(95, 10, -1):
        out = io.BytesIO()
        image.save(out, "JPEG", quality=quality)
        data = out.getvalue()
        if len(data) <= kilobytes * 1000:
            break
    return data[:2], data[2:]


def picture(kilobytes: int, number: int) -> bytes:
    """The file /file/KILOBYTES/NUMBER.jpg: no two are equal, and each one decodes."""
    start, rest = _body(kilobytes)
    return b"".join((start, b"\xff\xfe\x00\x0a", number.to_bytes(8, "big"), rest))


def digest(kilobytes: int, number: int) -> str:
    return hashlib.sha256(picture(kilobytes, number)).hexdigest()


def _tiles(first: int) -> str:
    return "".join(
        f'<a class="tile" data-id="{n}" href="/page/{n}" data-full="/file/20/{n}.jpg" '
        f'data-title="dog {n}"></a>'
        for n in range(first, min(first + BATCH, TILES))
    )


class _State:
    def __init__(self) -> None:
        self.reset(0.0)

    def reset(self, delay: float) -> None:
        self.delay = delay
        self.first = self.last = 0.0
        self.sent = self.at_once = self.most_at_once = 0
        self.cpu = time.process_time()

    def begin(self) -> None:
        self.first = self.first or time.perf_counter()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)

    def end(self) -> None:
        self.last = time.perf_counter()
        self.at_once -= 1
        self.sent += 1

    def stats(self) -> dict[str, float]:
        return {
            "seconds": self.last - self.first,
            "sent": self.sent,
            "most_at_once": self.most_at_once,
            "cpu": time.process_time() - self.cpu,
        }


class _Connection(asyncio.Protocol):
    def __init__(self, state: _State) -> None:
        self.state, self.received = state, b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        while b"\r\n\r\n" in self.received:
            head, _, self.received = self.received.partition(b"\r\n\r\n")
            self.answer(head.split(b" ", 2)[1].decode())

    def answer(self, target: str) -> None:
        url = urlsplit(target)
        query = dict(parse_qsl(url.query))
        if url.path.startswith("/file/"):
            _, _, kilobytes, name = url.path.split("/")
            self.state.begin()
            body = picture(int(kilobytes), int(name.partition(".")[0]))
            if self.state.delay:
                loop = asyncio.get_running_loop()
                loop.call_later(self.state.delay, self.send_file, body)
            else:
                self.send_file(body)
        elif url.path == "/search":
            self.send(200, "text/html", PAGE.format(tiles=_tiles(0), total=TILES).encode())
        elif url.path == "/more":
            self.send(200, "text/html", _tiles(int(query["from"])).encode())
        elif url.path == "/reset":
            self.state.reset(float(query.get("delay", 0)))
            self.send(200, "text/plain", b"ok")
        elif url.path == "/stats":
            self.send(200, "application/json", json.dumps(self.state.stats()).encode())
        else:
            self.send(404, "text/plain", b"no such page")

    def send_file(self, body: bytes) -> None:
        self.state.end()
        self.send(200, "image/jpeg", body)

    def send(self, status: int, kind: str, body: bytes) -> None:
        head = f"HTTP/1.1 {status} .\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.writelines((head.encode(), body))


async def serve() -> None:
    for kilobytes in SHAPES:
        _body(kilobytes)
    state = _State()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(state), "127.0.0.1", 0, backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
