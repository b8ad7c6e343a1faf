"""A body that was cut is continued where the server can, and begun anew where it cannot."""

from __future__ import annotations

import asyncio
import fcntl
import io
import os
import queue
import signal
import subprocess
import sys
import time
from email.utils import formatdate
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from wire import Request, Wire, download, serving

from pipeline.raw import Store
from pipeline.scraping.download import Downloads, Limits, Result
from pipeline.scraping.guard import resolve
from pipeline.scraping.partials import FOLDER, Partials, validator


def noise(seed: int) -> bytes:
    """A JPEG of some 900 kB: more than is held in memory."""
    pixels = np.random.default_rng(seed).integers(0, 255, (900, 900, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    return out.getvalue()


LARGE, OTHER = noise(1), noise(2)
SMALL = LARGE[:1000]  # no picture, and a body all the same
OLD = formatdate(time.time() - 86400, usegmt=True)


class Files:
    """A server of one file that knows ranges; the first ``cuts`` answers break off half-way."""

    def __init__(self, data: bytes = LARGE, cuts: int = 1, **headers: str) -> None:
        self.data, self.cuts = data, cuts
        self.headers = headers or {"ETag": '"one"'}
        self.ranges: list[str | None] = []
        self.whole: list[int] = []  # statuses

    async def __call__(self, request: Request) -> None:
        asked = request.headers.get("range")
        self.ranges.append(asked)
        mark = request.headers.get("if-range")
        same = mark in (self.headers.get("ETag"), self.headers.get("Last_Modified"))
        start = int(asked[6:-1]) if asked and same and "Accept_Ranges" in self.headers else 0
        size = len(self.data)
        more = dict(self.headers, Date=formatdate(usegmt=True))
        if start >= size:
            self.whole.append(416)
            await request.reply(b"", 416, Content_Range=f"bytes */{size}", **more)
            return
        status = 206 if start else 200
        self.whole.append(status)
        if status == 206:
            more["Content_Range"] = f"bytes {start}-{size - 1}/{size}"
        body = self.data[start:]
        if self.cuts > 0:
            self.cuts -= 1
            await request.reply(body[: len(body) // 2], status, Content_Length=len(body), **more)
            await asyncio.sleep(0.05)  # else what is on its way may be lost with the connection
            request.hang_up()
        else:
            await request.reply(body, status, **more)


STRONG = {"ETag": '"one"', "Accept_Ranges": "bytes"}
DATED = {"Last_Modified": OLD, "Accept_Ranges": "bytes"}


def one(site: Wire, folder: Path, **limits: object) -> Result:
    url = site.url("x.jpg")
    return download([url], folder, allow=url, max_bytes=10_000_000, **limits)[url]


@pytest.mark.parametrize("headers", [STRONG, DATED])
@pytest.mark.parametrize("data", [LARGE, SMALL])
def test_a_cut_body_is_completed(tmp_path: Path, headers: dict[str, str], data: bytes) -> None:
    files = Files(data, cuts=3, **headers)
    with serving(files) as site:
        result = one(site, tmp_path)
        assert site.sent["/x.jpg"] == len(data), "no byte is sent twice"
    assert result.content is not None and result.content.sha256 == sha256(data).hexdigest()
    assert files.whole == [200, 206, 206, 206] and result.attempts == 4
    assert [path.name for path in tmp_path.iterdir()] == [Store(tmp_path).path(result.content).name]
    assert Store(tmp_path).path(result.content).read_bytes() == data


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"one"'},  # says nothing of ranges
        {"ETag": 'W/"one"', "Accept_Ranges": "bytes"},
        {"Accept_Ranges": "bytes"},
        {"ETag": '"one"', "Accept_Ranges": "none"},
    ],
)
def test_where_a_server_cannot_resume_the_body_begins_anew(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    files = Files(cuts=1, **headers)
    with serving(files) as site:
        result = one(site, tmp_path)
    assert result.content is not None and result.content.sha256 == sha256(LARGE).hexdigest()
    assert files.ranges == [None, None]


def test_a_server_that_ignores_ranges_sends_the_whole_again(tmp_path: Path) -> None:
    class Ignores(Files):
        async def __call__(self, request: Request) -> None:
            self.ranges.append(request.headers.pop("range", None))
            await super().__call__(request)

    files = Ignores(cuts=1, **STRONG)
    with serving(files) as site:
        result = one(site, tmp_path)
    assert result.content is not None and result.content.sha256 == sha256(LARGE).hexdigest()
    assert files.ranges[2] == f"bytes={len(LARGE) // 2}-" and files.whole == [200, 200]


def test_a_file_that_changed_in_between_begins_anew(tmp_path: Path) -> None:
    class Changes(Files):
        async def __call__(self, request: Request) -> None:
            if self.ranges:
                self.data, self.headers = OTHER, STRONG | {"ETag": '"two"'}
            await super().__call__(request)

    files = Changes(cuts=1, **STRONG)
    with serving(files) as site:
        result = one(site, tmp_path)
    assert result.content is not None and result.content.sha256 == sha256(OTHER).hexdigest()
    assert files.whole == [200, 200]


@pytest.mark.parametrize(
    "lie",
    [
        {"ETag": '"two"'},
        {"Content_Range": "bytes 5-9/10"},
        {"Content_Range": "rubbish"},
        {"Content_Range": f"bytes {len(LARGE) // 2}-{len(LARGE) // 2 + 9}/{len(LARGE)}"},
    ],
)
def test_a_range_that_does_not_fit_is_not_joined_on(tmp_path: Path, lie: dict[str, str]) -> None:
    true = Files(cuts=1, **STRONG)

    async def lies(request: Request) -> None:
        if "range" not in request.headers:
            await true(request)
            return
        half = len(LARGE) // 2
        right = {"Content_Range": f"bytes {half}-{len(LARGE) - 1}/{len(LARGE)}"}
        await request.reply(OTHER[half:], 206, **(STRONG | right | lie))

    with serving(lies) as site:
        result = one(site, tmp_path)
    assert result.content is not None and result.content.sha256 == sha256(LARGE).hexdigest()
    assert result.attempts == 2


def test_a_range_nobody_asked_for_is_refused(tmp_path: Path) -> None:
    async def half(request: Request) -> None:
        await request.reply(b"half", 206, Content_Range="bytes 4-7/8", **STRONG)

    with serving(half) as site:
        result = one(site, tmp_path)
    assert (result.reason, result.status) == ("refused", 206)


def test_a_later_pool_continues_what_an_earlier_one_began(tmp_path: Path) -> None:
    files = Files(cuts=1, **STRONG)
    with serving(files) as site:
        first = one(site, tmp_path, retries=1)
        assert (first.reason, first.lasting) == ("cut_short", False)
        assert len(list((tmp_path / FOLDER).iterdir())) == 2
        Store(tmp_path).sweep()
        result = one(site, tmp_path)
        assert site.sent["/x.jpg"] == len(LARGE)
    assert result.content is not None and result.content.sha256 == sha256(LARGE).hexdigest()
    assert not (tmp_path / FOLDER).exists()


CHILD = """
import sys, time
from pathlib import Path
from pipeline.raw import Store
from pipeline.scraping.download import Downloads, Limits
from pipeline.scraping.guard import resolve
url, folder, host = sys.argv[1:]
limits = Limits(allowed=resolve([host]))
with Downloads(Store(Path(folder)), limits, print, print) as pool:
    pool.submit(url, ("", url))
    time.sleep(60)
"""


def test_after_kill_9_the_next_run_continues(tmp_path: Path) -> None:
    stuck = asyncio.Event()

    async def answer(request: Request) -> None:
        if "range" in request.headers:
            await files(request)
            return
        half = LARGE[: len(LARGE) // 2]
        await request.reply(half, Content_Length=len(LARGE), **STRONG)
        await stuck.wait()

    files = Files(cuts=0, **STRONG)
    with serving(answer) as site:
        url = site.url("x.jpg")
        command = [sys.executable, "-c", CHILD, url, str(tmp_path), f"127.0.0.1:{site.port}"]
        child = subprocess.Popen(command, start_new_session=True)
        try:
            here, end = 0, time.monotonic() + 100
            while here < 1 << 18 and time.monotonic() < end:
                time.sleep(0.02)
                here = sum(path.stat().st_size for path in tmp_path.glob(f"{FOLDER}/*"))
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        result = one(site, tmp_path)
    assert result.content is not None and result.content.sha256 == sha256(LARGE).hexdigest()
    (asked,) = files.ranges
    assert asked is not None and int(asked[6:-1]) >= 1 << 18


def test_a_body_that_was_whole_when_the_process_died_is_not_sent_again(tmp_path: Path) -> None:
    files = Files(cuts=0, **STRONG)
    with serving(files) as site:
        left_behind(tmp_path, site.url("x.jpg"), LARGE, '"one"')
        result = one(site, tmp_path)
        assert site.sent["/x.jpg"] == 0
    assert result.content is not None and result.content.sha256 == sha256(LARGE).hexdigest()
    assert files.whole == [416] and result.attempts == 1


def left_behind(folder: Path, url: str, data: bytes, mark: str) -> Path:
    partials = Partials(Store(folder))
    partial = partials.create(url, mark)
    partial.append(data)
    partials.keep(partial)
    return partial.path


def test_what_another_process_is_writing_is_left_to_it(tmp_path: Path) -> None:
    files = Files(cuts=0, **STRONG)
    with serving(files) as site:
        path = left_behind(tmp_path, site.url("x.jpg"), b"theirs", '"one"')
        with path.open("ab") as theirs:
            fcntl.flock(theirs, fcntl.LOCK_EX)
            result = one(site, tmp_path)
    assert result.content is not None and files.whole == [200]
    assert path.read_bytes() == b"theirs"


def test_old_and_damaged_partials_are_swept(tmp_path: Path) -> None:
    old = left_behind(tmp_path, "http://a/1", b"x", '"1"')
    damaged = left_behind(tmp_path, "http://a/2", b"x", '"2"')
    fresh = left_behind(tmp_path, "http://a/3", b"x", '"3"')
    for path in (old, old.with_suffix(".json")):
        os.utime(path, (time.time() - 90_000,) * 2)
    damaged.with_suffix(".json").write_text('{"url"')
    partials = Partials(Store(tmp_path))
    assert not old.exists() and not old.with_suffix(".json").exists() and fresh.exists()
    assert partials.find("http://a/2") is None and not damaged.exists()
    found = partials.find("http://a/3")
    assert found is not None and (found.size, found.validator) == (1, '"3"')
    found.drop()
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_a_timeout_keeps_what_came_and_the_next_attempt_goes_on(tmp_path: Path) -> None:
    class Stalls(Files):
        async def __call__(self, request: Request) -> None:
            if self.ranges:
                await super().__call__(request)
                return
            self.ranges.append(None)
            await request.reply(LARGE[:300_000], Content_Length=len(LARGE), **STRONG)
            await asyncio.sleep(30)

    files = Stalls(cuts=0, **STRONG)
    with serving(files) as site:
        result = one(site, tmp_path, timeout=1.5)
    assert result.content is not None and result.content.sha256 == sha256(LARGE).hexdigest()
    assert files.ranges == [None, "bytes=300000-"] and result.attempts == 2


def test_ctrl_c_keeps_what_came(tmp_path: Path) -> None:
    async def stall(request: Request) -> None:
        await request.reply(LARGE[:300_000], Content_Length=len(LARGE), **STRONG)
        await asyncio.sleep(200)

    with serving(stall) as site:
        done: queue.SimpleQueue[object] = queue.SimpleQueue()
        limits = Limits(allowed=resolve([f"127.0.0.1:{site.port}"]))
        with Downloads(Store(tmp_path), limits, lambda *a: done.put(a), done.put) as pool:
            pool.submit(site.url("x.jpg"), ("", "x"))
            end = time.monotonic() + 100
            while 300_000 not in kept(tmp_path):
                assert time.monotonic() < end
                time.sleep(0.02)
        assert done.empty()
    sizes = kept(tmp_path)
    assert sizes[-1] == 300_000 and len(sizes) == 2


def kept(folder: Path) -> list[int]:
    """Sizes of the partial files and their notes."""
    return sorted(path.stat().st_size for path in folder.glob(f"{FOLDER}/*"))


def test_more_than_is_allowed_in_all_is_too_large(tmp_path: Path) -> None:
    files = Files(cuts=1, **STRONG)
    with serving(files) as site:
        url = site.url("x.jpg")
        assert download([url], tmp_path, allow=url, retries=1, max_bytes=len(LARGE))[url].reason
        result = download([url], tmp_path, allow=url, max_bytes=len(LARGE) - 1)[url]
    assert (result.reason, result.lasting) == ("too_large", True)
    assert not list(tmp_path.iterdir())


def test_which_marks_prove_that_a_file_is_the_same() -> None:
    ranges, now = {"Accept-Ranges": "bytes"}, formatdate(usegmt=True)
    dated = {"Last-Modified": OLD, "Date": now}
    assert validator({"ETag": '"a"'} | ranges, 200) == '"a"'
    assert validator({"ETag": '"a"'}, 206) == '"a"'
    assert validator({"ETag": '"a"'}, 200) == ""
    assert validator(dated | ranges, 200) == OLD
    assert validator({"ETag": 'W/"a"'} | dated | ranges, 200) == OLD
    for date in ({"Last-Modified": now, "Date": now}, {"Last-Modified": OLD}, {"Date": now}):
        assert validator(date | ranges, 200) == ""
    assert validator({"Last-Modified": "yesterday", "Date": now} | ranges, 200) == ""
