"""The whole of it, with a real browser: quotas, reasons, resuming, refusing, stopping."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest
import tiny_site

from pipeline.errors import ParamsError, PipelineError
from pipeline.params import GalleryParams, ScrapeParams
from pipeline.scraping import browser as browser_module
from pipeline.scraping.browser import Browser
from pipeline.scraping.scrape import scrape
from pipeline.workspace import Workspace, exclusive

REPOSITORY = Path(__file__).resolve().parents[2]
BREEDS = """
normal: normal dog
dead: dead dog
odd: [odd dog, normal puppy]
twins: twins dog
slow: slow dog
nothing: nothing at all
sorry: sorry dog
stuck: stuck dog
"""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with tiny_site.running() as url:
        yield url


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "breeds.yaml").write_text(BREEDS)
    return Workspace(tmp_path, tmp_path)


def asking(site: str, *breeds: str, wanted: int = 30, **more: object) -> ScrapeParams:
    return ScrapeParams(
        breeds=list(breeds),
        sources={"gallery": wanted},
        gallery=GalleryParams(url=site),
        **more,  # type: ignore[arg-type]
    )


def manifest(place: Workspace) -> pd.DataFrame:
    return pd.read_parquet(place.raw / "manifest.parquet").drop(columns="fetched_at")


def hashes(word: str, numbers: range | list[int]) -> list[str]:
    return [sha256(tiny_site.picture(number)).hexdigest() for number in numbers]


def browsers_of(place: Workspace) -> int:
    records = [path.read_text().strip() for path in (place.cache / "scrape").rglob("*.record")]
    return sum(any(name in line for name in records) for _, line in browser_module._processes())


def original_requests() -> int:
    return sum(count for path, count in tiny_site.asked.items() if path.startswith("/original/"))


@pytest.mark.browser
def test_the_asked_number_arrives_and_everything_else_has_its_reason(
    site: str, place: Workspace
) -> None:
    heard: list[str] = []
    metrics = scrape(
        asking(site, "normal", "dead", "odd", "twins"),
        place,
        on_event=lambda kind, facts: heard.append(kind),
    )
    table = manifest(place)
    by_breed = {name: list(rows["sha256"]) for name, rows in table.groupby("breed")}
    assert by_breed["normal"] == hashes("normal", range(30))
    alive = [number for number in range(50) if number % 3][:30]
    assert by_breed["dead"] == hashes("dead", alive), "dead links are made up for"
    odd = table[table["breed"] == "odd"]
    good = odd[odd["width"].notna()]
    assert list(good["sha256"])[:30] == hashes("odd", [n for n in range(50) if n % 4][:30])
    assert {Path(path).suffix for path in odd[odd["width"].isna()]["path"]} == {".bin"}
    assert metrics["by_breed"]["twins"]["duplicates"] == 15
    assert metrics["failures"] == {"dead_link": metrics["by_breed"]["dead"]["failed"]}
    assert metrics["missing"] == 0
    files = {path.relative_to(place.raw).as_posix() for path in place.raw.rglob("*.*")}
    assert files == set(table["path"]) | {"manifest.parquet"}
    assert heard.count("visit") == 5, "one each, and one more for the breed of dead links"
    assert heard.count("image") == len(table) + sum(metrics["failures"].values())
    assert browsers_of(place) == 0


@pytest.mark.browser
def test_a_second_run_needs_neither_browser_nor_downloads(
    site: str, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = scrape(asking(site, "normal", "dead"), place)
    before, requests = manifest(place), original_requests()

    def no_browser(self: Browser) -> None:
        raise AssertionError("a browser was started")

    monkeypatch.setattr(Browser, "start", no_browser)
    assert scrape(asking(site, "normal", "dead"), place) == first
    assert original_requests() == requests
    assert manifest(place).equals(before)
    scrape(asking(site, "normal", wanted=10), place)
    fewer = before[before["breed"] == "normal"].head(10).reset_index(drop=True)
    assert manifest(place).equals(fewer)
    assert not (place.raw / "dead").exists(), "what is not asked for any more is removed"
    assert original_requests() == requests


@pytest.mark.browser
def test_a_picture_lost_from_the_store_is_fetched_again(site: str, place: Workspace) -> None:
    scrape(asking(site, "normal", wanted=5), place)
    before, requests = manifest(place), original_requests()
    next((place.cache / "scrape" / "store").glob("*.jpg")).unlink()
    scrape(asking(site, "normal", wanted=5), place)
    assert manifest(place).equals(before) and original_requests() == requests + 1


@pytest.mark.browser
def test_results_that_end_early_leave_a_run_short_and_said_so(site: str, place: Workspace) -> None:
    metrics = scrape(asking(site, "normal", wanted=70), place)
    assert (metrics["fetched"], metrics["missing"]) == (50, 20)


@pytest.mark.browser
@pytest.mark.parametrize(
    ("breed", "said"),
    [
        ("nothing", r"gallery gave no picture of nothing \(nothing at all: empty\)"),
        ("sorry", r"gallery, sorry: blocked: .*; page and screenshot: .*gallery-sorry"),
        ("stuck", r"gallery, stuck: consent_stuck: .*consent.buttons closes it; page and"),
    ],
)
def test_a_source_that_fails_never_passes_silently(
    site: str, place: Workspace, breed: str, said: str
) -> None:
    with pytest.raises(PipelineError, match=said):
        scrape(asking(site, breed, wanted=5), place)
    assert not place.raw.exists()
    assert browsers_of(place) == 0


@pytest.mark.browser
def test_a_browser_that_crashes_is_replaced(
    site: str, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[Browser] = []
    start = Browser.start

    def fragile(self: Browser) -> None:
        start(self)
        starts.append(self)
        if len(starts) == 1:
            self.kill()

    monkeypatch.setattr(Browser, "start", fragile)
    assert scrape(asking(site, "normal", wanted=5), place)["fetched"] == 5
    assert len(starts) == 2


def test_what_cannot_be_meant_is_said_before_anything_is_touched(
    site: str, place: Workspace
) -> None:
    before = set(place.here.rglob("*"))
    for params, said in [
        (asking(site, "norml"), "unknown breed norml; did you mean normal?"),
        (ScrapeParams(breeds=1, sources={"bong": 5}), "unknown source bong"),
        (ScrapeParams(breeds=99), "breeds.yaml lists 8"),
        (asking("gallery.local", "normal"), "scrape.gallery.url: got 'gallery.local'"),
        (
            ScrapeParams(breeds=1, gallery=GalleryParams(images="no/such")),
            "scrape.gallery.images: .* is no folder",
        ),
    ]:
        with pytest.raises(ParamsError, match=said):
            scrape(params, place)
    with pytest.raises(PipelineError, match=r"http://127.0.0.1:9 does not answer .*`pipeline gall"):
        scrape(asking("http://127.0.0.1:9", "normal"), place)
    assert not place.raw.exists()
    assert set(place.here.rglob("*.yaml")) <= before


def test_two_runs_at_once_are_refused(site: str, place: Workspace) -> None:
    with (
        exclusive(place.here / ".cache" / "scrape.lock", "scraping"),
        pytest.raises(PipelineError, match="scraping is already running"),
    ):
        scrape(asking(site, "normal"), place)


# ------------------------------------------------------------- in a process that is stopped

STAGE = """
scrape:
  breeds: [slow, normal]
  sources:
    gallery: 45
  connections: 2
  gallery:
    url: {site}
"""


@pytest.fixture
def stage(site: str, place: Workspace) -> list[str]:
    (place.here / "params.yaml").write_text(STAGE.format(site=site))
    return [sys.executable, "-m", "stages.scrape"]


def started(stage: list[str], place: Workspace) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        stage, cwd=place.here, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def wait_for_store(place: Workspace, files: int) -> None:
    deadline = time.monotonic() + 100
    while len(list((place.cache / "scrape" / "store").glob("*.jpg"))) < files:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.browser
def test_after_kill_9_a_run_fetches_only_what_is_missing(
    stage: list[str], place: Workspace, site: str
) -> None:
    tiny_site.asked.clear()
    for files in (1, 20, 44):
        process = started(stage, place)
        wait_for_store(place, files)
        process.kill()
        process.communicate()
    assert not (place.raw / "manifest.parquet").exists()
    output = started(stage, place).communicate(timeout=300)
    assert "90 files" in output[0], output
    assert browsers_of(place) == 0
    table = manifest(place)
    assert list(table["sha256"]) == hashes("", range(45)) * 2
    # Of each of the three deaths at most the two downloads in flight are repeated.
    assert original_requests() <= 90 + 3 * 2 + 3, "a little more, for rows not yet written"


@pytest.mark.browser
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_with_the_right_code_and_no_browser(
    stage: list[str], place: Workspace, signum: signal.Signals, code: int
) -> None:
    process = started(stage, place)
    wait_for_store(place, 5)
    process.send_signal(signum)
    _, said = process.communicate(timeout=300)
    assert process.returncode == code
    assert "pictures are kept and the next run continues" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert browsers_of(place) == 0
    assert not place.raw.exists()
    assert not list((place.cache / "scrape").rglob("*.part"))


def test_signals_reach_only_the_main_thread() -> None:
    """The design rests on this: worker threads never see a KeyboardInterrupt."""
    seen: list[str] = []

    def record(*_: object) -> None:
        seen.append(threading.current_thread().name)

    before = signal.signal(signal.SIGUSR1, record)
    try:
        worker = threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGUSR1))
        worker.start()
        worker.join()
        time.sleep(0.05)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == [threading.main_thread().name]
