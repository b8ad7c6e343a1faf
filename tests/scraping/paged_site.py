"""Result pages that are turned: by links or a button, with repeats, refusals and odd addresses.

``/WORD?page=N``: three pages of ten, the last three of each page again at the head of the next.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PAGES, TILES, AGAIN = 3, 10, 3
asked: Counter[str] = Counter()  # how often each address was requested
times: list[float] = []  # when pages of results were
inside = {"now": 0, "most": 0}  # details that were being answered at once

BUTTON = """<button id="turn">next</button><script>
let page = 1;
document.querySelector("#turn").onclick = async () => {
  const answer = await fetch(`?page=${++page}`);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.querySelector("#results").innerHTML = fresh.querySelector("#results").innerHTML;
  if (page === 3) document.querySelector("#turn").disabled = true;
};
</script>"""
ENDLESS = """<script>
const list = document.querySelector("#results"), first = list.innerHTML;
addEventListener("scroll", () => {
  const n = list.children.length;
  if (n < 2000) list.insertAdjacentHTML("beforeend", first.replace(/dog-(\\d+)/g,
    (_, each) => `dog-${Number(each) + n}`));
});
</script>"""


def tile(word: str, number: int) -> str:
    facts = json.dumps({"murl": f"/full/dog-{number}.jpg", "size": {"w": 100 + number, "h": None}})
    image = "" if word == "details" else f"data-m='{facts}'"
    return (
        f'<li class="tile" {image}><a class="page" href="/imgres?imgurl=%2Ffull%2Fdog-{number}.jpg'
        f'&amp;w={number}"><img src="data:image/gif;base64,R0lGODlhAQABAAAAACw="></a>'
        f'<a class="detail" href="/detail/dog-{number}">d</a><b>  Dog no. {number} (CC0) </b></li>'
    )


def results(word: str, page: int) -> str:
    first = (page - 1) * (TILES - AGAIN)
    tiles = "".join(tile(word, number) for number in range(first, first + TILES))
    after = {
        "button": BUTTON if page == 1 else "",
        "endless": ENDLESS,
        "away": '<a class="next" href="http://localhost:1/?page=2">next</a>',
        "circle": '<a class="next" href="?page=1#again">next</a>',
        "stays": '<button id="turn">next</button>',
    }
    link = f'<a class="next" href="?page={page + 1}">next</a>' if page < PAGES else ""
    style = "<style>.tile {height: 90px}</style>"
    return f'{style}<ul id="results">{tiles}</ul>{after.get(word, link)}'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked[self.path] += 1
        word, page = parts.path[1:], int(parse_qs(parts.query).get("page", ["1"])[0])
        if word.startswith("detail/"):
            self.detail(word)
        elif word == "captcha" and page == 2:
            self.give('<form id="captcha"></form>')
        elif word == "refused" and page == 3:
            self.give("no", 429)
        else:
            times.append(time.monotonic())
            self.give(results(word, page))

    def detail(self, word: str) -> None:
        inside["now"] += 1
        inside["most"] = max(inside["most"], inside["now"])
        time.sleep(0.03)
        inside["now"] -= 1
        number = int(word.rpartition("-")[2])
        self.give(f'<a class="original" href="../full/dog-{number}.jpg">full</a>')

    def give(self, text: str, status: int = 200) -> None:
        body = f"<!doctype html><link rel=icon href=data:,><title>paged</title>{text}".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def running() -> Iterator[str]:
    """The address of the site, served on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
