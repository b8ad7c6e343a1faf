"""What was found and what became of it: SQLite, so that ``kill -9`` loses only what is in flight.

One ledger serves all runs of a workspace. Its keys begin with a ``base``, the identity of what an
address stands for: of a real site that is the source's name, but ``gallery:/original/7.jpg`` names
another picture for each seed, so there the base holds everything the pictures depend on. With the
base in the key, changed params never meet stale rows, and changing them back finds the old ones.
Several checkouts may write at once (WAL): rows only repeat what the store already holds.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterable
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import PipelineError, refused
from pipeline.raw import Content
from pipeline.scraping.download import Result
from pipeline.scraping.frontier import Failure
from pipeline.scraping.page import Candidate, Outcome, Visit

_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS visits (
  base TEXT, query TEXT, wanted INTEGER, outcome TEXT, found INTEGER,
  PRIMARY KEY (base, query)
);
CREATE TABLE IF NOT EXISTS candidates (
  base TEXT, query TEXT, rank INTEGER, image_url TEXT,
  page_url TEXT, title TEXT, licence TEXT, author TEXT, width INTEGER, height INTEGER,
  PRIMARY KEY (base, query, rank)
);
CREATE TABLE IF NOT EXISTS failures (
  at TEXT, source TEXT, breed TEXT, search TEXT, outcome TEXT, detail TEXT, evidence TEXT
);
CREATE TABLE IF NOT EXISTS images (
  base TEXT, url TEXT, reason TEXT, lasting INTEGER, status INTEGER, attempts INTEGER,
  sha256 TEXT, ext TEXT, bytes INTEGER, width INTEGER, height INTEGER, fetched_at TEXT,
  final_url TEXT,
  PRIMARY KEY (base, url)
);
"""


def unusable(path: Path, error: sqlite3.Error) -> str:
    """Why the ledger cannot be used, and what to do, in one line."""
    number = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest tells variants apart
    if number in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        return refused(OSError(errno.ENOSPC, str(error), str(path)))
    if number in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        mend = "give this user the right to it and run the same command again"
        return f"{path}: cannot be written ({error}): {mend}"
    return (
        f"{path}: cannot be used ({error}); delete it and run again: pictures that were fetched "
        "stay in the store"
    )


class Ledger:
    """Rows of visits, candidates and images. Used from one thread."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        try:
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            # Survives the death of the process; after power loss the last rows are fetched again.
            self._db.execute("PRAGMA synchronous = NORMAL")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise PipelineError(f"{path}: made by another version; delete it and run again")
            self._db.executescript(_SCHEMA + f"PRAGMA user_version = {_VERSION};")
        except sqlite3.DatabaseError as error:
            raise PipelineError(unusable(path, error)) from None

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def record_visit(self, base: str, query: str, wanted: int, visit: Visit) -> None:
        """Replaces what an earlier visit of the same query found."""
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:
            self._db.execute("DELETE FROM candidates WHERE base = ? AND query = ?", (base, query))
            self._db.executemany(
                "INSERT INTO candidates (base, query, rank, image_url, page_url, title, licence,"
                " author, width, height) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(base, query, *astuple(candidate)) for candidate in visit.candidates],
            )
            self._db.execute(
                "INSERT OR REPLACE INTO visits VALUES (?, ?, ?, ?, ?)",
                (base, query, wanted, visit.outcome.value, len(visit.candidates)),
            )

    def visit(self, base: str, query: str, wanted: int) -> Visit | None:
        """An earlier visit that answers for ``wanted`` results, cut to as many; else None."""
        row = self._db.execute(
            "SELECT wanted, outcome FROM visits WHERE base = ? AND query = ?", (base, query)
        ).fetchone()
        if row is None:
            return None
        outcome = Outcome(row[1])
        if outcome.failed or (outcome is Outcome.RESULTS and row[0] < wanted):
            return None
        found = self._db.execute(
            "SELECT rank, image_url, page_url, title, licence, author, width, height"
            " FROM candidates"
            " WHERE base = ? AND query = ? ORDER BY rank LIMIT ?",
            (base, query, wanted + 1),
        ).fetchall()
        more = outcome is Outcome.RESULTS or len(found) > wanted
        candidates = [Candidate(*values) for values in found[:wanted]]
        return Visit(Outcome.RESULTS if more and candidates else outcome, candidates)

    def record_failure(self, source: str, breed: str, failure: Failure) -> None:
        """Keep what went wrong; unlike a visit's results it answers for nothing later."""
        facts = (failure.search, failure.outcome.value, failure.detail, str(failure.evidence or ""))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._db.execute(
            "INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?, ?)", (now, source, breed, *facts)
        )

    def record_image(self, base: str, url: str, result: Result) -> None:
        content = result.content
        facts: Iterable[object] = (None,) * 5
        if content is not None:
            facts = (content.sha256, content.ext, content.bytes, content.width, content.height)
        self._db.execute(
            "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(base, url, result.reason, result.lasting, result.status, result.attempts),
                *facts,
                *(result.fetched_at, result.final_url),
            ),
        )

    def image(self, base: str, url: str) -> Result | None:
        """How fetching ``url`` ended, or None if it was never tried to the end."""
        row = self._db.execute(
            "SELECT reason, lasting, status, attempts, fetched_at, final_url, sha256, ext, bytes,"
            " width, height FROM images WHERE base = ? AND url = ?",
            (base, url),
        ).fetchone()
        if row is None:
            return None
        reason, lasting, status, attempts, fetched_at, final_url, *facts = row
        content = Content(*facts) if facts[0] is not None else None
        return Result(content, fetched_at, reason, bool(lasting), status, attempts, final_url)
