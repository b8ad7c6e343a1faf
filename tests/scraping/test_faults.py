"""26 breeds by 60 pictures while downloads misbehave: all that can come comes, the rest says why.

The real browser, the real gallery. The pictures are drawn at a sixth of their size, for their
pixels do not matter here and drawing would take most of the time.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from quick_gallery import small

from pipeline.params import GalleryParams, ScrapeParams
from pipeline.scraping.breeds import choose_breeds, load_breeds
from pipeline.scraping.gallery import Gallery, drawn
from pipeline.scraping.gallery.edits import HTML
from pipeline.scraping.gallery.faults import ENDS, NOT_A_PICTURE
from pipeline.scraping.scrape import scrape
from pipeline.workspace import Workspace

pytestmark = pytest.mark.browser
REPOSITORY = Path(__file__).resolve().parents[2]
BREEDS, WANTED = 26, 60
PLANTED, FAULTS = 0.1, 0.25
PARAMS = ScrapeParams(
    breeds=BREEDS,
    sources={"gallery": WANTED},
    retries=3,
    max_bytes=2_000_000,
    gallery=GalleryParams(seed=11, planted=PLANTED, faults=FAULTS),
)


@dataclass(frozen=True)
class Run:
    metrics: dict[str, Any]
    raw: Path
    manifest: pd.DataFrame
    reasons: dict[str, str | None]  # of every address that was tried, from the ledger
    gallery: Gallery


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("faults")
    (folder / "dvc.yaml").touch()
    shutil.copy(REPOSITORY / "breeds.yaml", folder)
    place = Workspace(folder, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawn, "describe", small)
        metrics = scrape(PARAMS, place)
        breeds = choose_breeds(load_breeds(place.breeds), BREEDS)
        gallery = Gallery([breed.name for breed in breeds], 11, 2 * WANTED, PLANTED, faults=FAULTS)
    with sqlite3.connect(place.cache / "scrape" / "ledger.sqlite") as ledger:
        reasons = dict(ledger.execute("SELECT url, reason FROM images"))
    manifest = pd.read_parquet(place.raw / "manifest.parquet")
    return Run(metrics, place.raw, manifest, reasons, gallery)


def test_every_row_of_the_truth_ended_as_it_had_to(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawn, "describe", small)
    recovered: Counter[str] = Counter()
    for breed, truth in run.gallery.truth().groupby("breed"):
        got = run.manifest[run.manifest["breed"] == breed].set_index("image_url")
        good = 0
        for row in truth.sort_values("rank").itertuples():
            url = f"gallery:{row.url}"
            if good == WANTED:
                assert url not in run.reasons, "no more is fetched than was wanted"
                continue
            reason = expected_reason(row)
            assert run.reasons[url] == reason, row
            assert (url in got.index) == (reason is None), row
            if reason is None:
                whole = check_file(run, row, got.loc[url])
                good += whole
                recovered[row.fault if isinstance(row.fault, str) else row.kind] += whole
        assert good == WANTED, breed
    # The proof is worth what it met: of everything that recovers, enough.
    for kind in ("server_error", "cut_once", "redirect", "rate_limited", "slow", "exact_copy"):
        assert recovered[kind] >= BREEDS / 2, (kind, recovered)
    assert sum(recovered.values()) == BREEDS * WANTED


def expected_reason(row: Any) -> str | None:
    if row.kind == "dead_link":
        return "dead_link"
    end = ENDS[row.fault] if isinstance(row.fault, str) else None
    return None if end == NOT_A_PICTURE else end


def check_file(run: Run, row: Any, mine: pd.Series) -> bool:
    """That the file on disk is the one that was to come; whether it is a whole picture."""
    if row.fault == "wrong_type":
        body, whole = HTML, False
    else:
        entry = run.gallery.collection.entry(row.id)
        assert entry is not None
        answer = run.gallery.collection.original(entry)
        assert answer is not None
        body, whole = answer.body, not pd.isna(row.width)
    assert mine["sha256"] == sha256(body).hexdigest(), row
    assert (run.raw / mine["path"]).read_bytes() == body
    assert pd.isna(mine["width"]) != whole
    return whole


def test_the_summary_counts_what_the_truth_says(run: Run) -> None:
    failures = Counter(reason for reason in run.reasons.values() if reason)
    assert run.metrics["failures"] == dict(sorted(failures.items()))
    lost = {end for end in ENDS.values() if end not in (None, NOT_A_PICTURE)}
    assert set(failures) == lost | {"dead_link"}
    assert run.metrics["missing"] == 0
    assert run.metrics["breeds"] == BREEDS
    assert run.metrics["duplicates"] > 0
    assert run.metrics["not_pictures"] == run.manifest["width"].isna().sum() > BREEDS


def test_nothing_half_done_stays(run: Run) -> None:
    cache = run.raw.parents[1] / ".cache"
    assert cache.is_dir()
    assert not list(cache.rglob("*.part*"))
    listed = {path.relative_to(run.raw).as_posix() for path in run.raw.rglob("*.*")}
    assert listed == {*run.manifest["path"], "manifest.parquet"}
