"""Visitors at work, and what they report."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.scraping.frontier import Job
from pipeline.scraping.page import Visit
from pipeline.scraping.sources import Limits, Source, load_source
from pipeline.scraping.visitors import Request, Visitors

GALLERY = replace(load_source("gallery", Path("nowhere")), limits=Limits(1000, 2.0, 0.4, 2, 0, 64))


def request(where: Source, query: str = "normal dog", wanted: int = 30, base: str = "") -> Request:
    job = Job("dog", where, base, None, wanted, (query,))
    return Request(job, where.searches("dog", [query], base or "http://127.0.0.1:1")[0], wanted)


@dataclass
class Heard:
    visits: queue.SimpleQueue[tuple[Request, Visit]] = field(default_factory=queue.SimpleQueue)
    crashes: queue.SimpleQueue[BaseException] = field(default_factory=queue.SimpleQueue)

    def visit(self, timeout: float = 60) -> Visit:
        return self.visits.get(timeout=timeout)[1]


@contextlib.contextmanager
def working(folder: Path, workers: int = 1, **more: Any) -> Iterator[tuple[Visitors, Heard]]:
    heard = Heard()
    with Visitors(
        workers,
        folder / "records",
        folder / "evidence",
        False,
        on_visit=lambda request, visit: heard.visits.put((request, visit)),
        on_crash=heard.crashes.put,
        **more,
    ) as crew:
        yield crew, heard
