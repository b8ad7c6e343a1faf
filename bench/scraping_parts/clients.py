"""Each way to download, as a command of its own: python clients.py KIND CONNECTIONS FOLDER < URLS

Every one gets the same list, the same number of connections, and a folder for the files.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import queue
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image


def ours(urls: list[str], connections: int, folder: Path) -> None:
    """The pool of the scrape stage, with one host's limit raised to ``connections``."""
    from pipeline.raw import Store
    from pipeline.scraping.download import Downloads, Limits
    from pipeline.scraping.guard import resolve

    results: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    limits = Limits(
        connections=connections,
        per_host=connections,
        allowed=resolve([urlsplit(urls[0]).netloc]),
    )
    store = Store(folder)
    with Downloads(
        store, limits, lambda _, result: results.put(result.reason), lambda _: results.put("crash")
    ) as pool:
        for url in urls:
            pool.submit(url, ("bench", url))
        for _ in urls:
            if (reason := results.get()) is not None:
                sys.exit(f"ours: {reason}")


def icrawler(urls: list[str], connections: int, folder: Path, checked: bool = False) -> None:
    """Its URL-list crawler. It only ends 5 s after its last file; that is not counted.

    ``checked`` gives its files what ours always get: a full decode and a sha256.
    """
    from icrawler import ImageDownloader
    from icrawler.builtin import UrlListCrawler

    class Checked(ImageDownloader):
        def keep_file(self, task: object, response: Any, **_: object) -> bool:
            with Image.open(io.BytesIO(response.content)) as image:
                image.draft("RGB", (64, 64))  # as ours does
                image.load()
            return bool(hashlib.sha256(response.content).digest())

    crawler = UrlListCrawler(
        downloader_cls=Checked if checked else ImageDownloader,
        downloader_threads=connections,
        storage={"root_dir": str(folder)},
        log_level=logging.ERROR,
    )
    listing = folder / "urls.txt"
    listing.write_text("\n".join(urls))
    crawler.crawl(str(listing), max_num=len(urls) + 1)


def gallery_dl(urls: list[str], connections: int, folder: Path) -> None:
    """Its extractor of direct links. It has one connection: more of them are more processes."""
    processes = []
    for number in range(connections):
        listing = folder / f"urls-{number}.txt"
        listing.write_text("\n".join(urls[number::connections]))
        command = [sys.executable, "-m", "gallery_dl", "--config-ignore", "--quiet"]
        command += ["--no-colors", "--directory", str(folder), "--input-file", str(listing)]
        processes.append(subprocess.Popen(command))
    codes = [process.wait() for process in processes]
    if any(codes):
        sys.exit("gallery-dl failed")


def plain(urls: list[str], connections: int, folder: Path) -> None:
    """aiohttp and nothing else: the ceiling for whoever downloads with it."""
    import aiohttp

    async def fetch_all() -> None:
        waiting = iter(enumerate(urls))

        async def work(session: aiohttp.ClientSession) -> None:
            for number, url in waiting:
                async with session.get(url) as answer:
                    (folder / f"{number}.jpg").write_bytes(await answer.read())

        connector = aiohttp.TCPConnector(limit=connections)
        async with aiohttp.ClientSession(connector=connector) as session:
            await asyncio.gather(*(work(session) for _ in range(connections)))

    asyncio.run(fetch_all())


KINDS: dict[str, Callable[[list[str], int, Path], None]] = {
    "ours": ours,
    "icrawler": icrawler,
    "icrawler, checked": partial(icrawler, checked=True),
    "gallery-dl": gallery_dl,
    "plain aiohttp": plain,
}
NEEDS = {"icrawler": "icrawler", "icrawler, checked": "icrawler", "gallery-dl": "gallery_dl"}


if __name__ == "__main__":
    KINDS[sys.argv[1]](sys.stdin.read().split(), int(sys.argv[2]), Path(sys.argv[3]))
