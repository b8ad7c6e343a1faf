"""``kill -9`` at twenty random moments, each time continued: the result is that of a quiet run."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest

from pipeline.scraping import browser

pytestmark = pytest.mark.browser
REPOSITORY = Path(__file__).resolve().parents[2]
BREEDS = ("beagle", "poodle", "boxer")
WANTED, CONNECTIONS = 24, 4
KILLS, SEED = 20, 2611
PARAMS = """
scrape:
  breeds: [{breeds}]
  sources: {{gallery: {wanted}}}
  connections: {connections}
  retries: 2
  max_bytes: 1000000
  gallery: {{url: "{url}"}}
"""


@dataclass
class Place:
    """A checkout of its own, whose browsers keep their profiles in ``profiles``."""

    folder: Path
    profiles: Path
    kills: int = 0
    sent: dict[str, int] = field(default_factory=dict)  # what the server had sent before

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "stages.scrape"],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY), "TMPDIR": str(self.profiles)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self) -> float:
        """Seconds of a run that nobody disturbs."""
        start = time.monotonic()
        process = self.start()
        assert process.wait(400) == 0, process.stderr and process.stderr.read()
        return time.monotonic() - start

    def manifest(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "data" / "raw" / "manifest.parquet")

    def tree(self) -> dict[str, bytes]:
        """data/raw, byte for byte; the time of fetching is the one thing that may differ."""
        raw = self.folder / "data" / "raw"
        found = {
            path.relative_to(raw).as_posix(): path.read_bytes()
            for path in raw.rglob("*")
            if path.is_file()
        }
        found["manifest.parquet"] = self.manifest().drop(columns="fetched_at").to_parquet()
        return found

    def left_over(self) -> list[str]:
        """Processes, profile folders and records of browsers, and halves of files."""
        lines = [line for _, line in browser._processes() if str(self.profiles) in line]
        cache = self.folder / ".cache"
        halves = list(cache.rglob("*.part*"))
        records = list(cache.rglob("*.record"))
        return lines + [str(path) for path in (*self.profiles.iterdir(), *records, *halves)]


@pytest.fixture(scope="module")
def gallery() -> Iterator[str]:
    """The address of a gallery in a process of its own, which outlives all runs."""
    script = Path(__file__).with_name("quick_gallery.py")
    process = subprocess.Popen(
        [sys.executable, str(script), ",".join(BREEDS), "44", "0.2", "0.2", "0.03"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def places(gallery: str, tmp_path: Path) -> Iterator[Iterator[Place]]:
    """New checkouts, as many as one takes."""
    params = PARAMS.format(
        breeds=", ".join(BREEDS), wanted=WANTED, connections=CONNECTIONS, url=gallery
    )
    with contextlib.ExitStack() as stack:

        def make() -> Iterator[Place]:
            number = 0
            while True:
                number += 1
                folder = tmp_path / str(number)
                folder.mkdir()
                (folder / "dvc.yaml").touch()
                (folder / "params.yaml").write_text(params)
                shutil.copy(REPOSITORY / "breeds.yaml", folder)
                # Not under tmp_path: a browser's socket lies in here, with at most 107 bytes.
                profiles = stack.enter_context(tempfile.TemporaryDirectory(prefix="killed-"))
                yield Place(folder, Path(profiles), sent=counts(gallery))

        yield make()


def counts(gallery: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{gallery}/counts", timeout=20) as answer:
        return dict(json.load(answer))


def kill_after(place: Place, seconds: float) -> float | None:
    """Start a run and kill it after so long. If it had ended before: the seconds that it took."""
    start, process = time.monotonic(), place.start()
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        place.kills += 1
        return None
    assert code == 0, process.stderr and process.stderr.read()
    return time.monotonic() - start


def test_twenty_kills_change_nothing(gallery: str, places: Iterator[Place]) -> None:
    quiet = next(places)
    quiet.finish()
    whole = next(places).finish()  # the first met the faults that come once, and took longer
    print(f"undisturbed: {whole:.1f} s")
    assert len(quiet.manifest()) > len(BREEDS) * WANTED
    rng, place = random.Random(SEED), next(places)
    for moment in [rng.random() for _ in range(KILLS)]:
        while (seconds := kill_after(place, moment * whole)) is not None:
            # It was all there: the next kill shall hit the making of another.
            check(place, quiet, gallery)
            if not place.kills:
                whole = seconds  # a better guess: the machine got quicker, or less busy
            place = next(places)
    assert place.kills
    place.finish()
    check(place, quiet, gallery)


def check(place: Place, quiet: Place, gallery: str) -> None:
    """That ``place`` ended like ``quiet``, left nothing behind, and fetched little twice."""
    assert place.tree() == quiet.tree()
    assert place.manifest()["fetched_at"].notna().all()
    assert not place.left_over()
    sent = counts(gallery)
    names = [url.rpartition("/")[2] for url in place.manifest()["image_url"]]
    mine = {name: sent[name] - place.sent.get(name, 0) for name in names}
    assert min(mine.values()) == 1
    twice = sum(mine.values()) - len(mine)
    print(f"{place.kills} kills, {twice} of {len(mine)} files sent again")
    # In flight is what a connection brings and, as much again at most, what is being examined.
    assert twice <= place.kills * 2 * CONNECTIONS
