"""The embedded gallery against its truth table: nothing is lost, nothing unexplained."""

from __future__ import annotations

import shutil
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest

from pipeline.params import GalleryParams, ScrapeParams
from pipeline.scraping.browser import Browser
from pipeline.scraping.frontier import generous
from pipeline.scraping.gallery import Gallery
from pipeline.scraping.scrape import scrape
from pipeline.workspace import Workspace

pytestmark = pytest.mark.browser
REPOSITORY = Path(__file__).resolve().parents[2]
BREEDS = ["siberian_husky", "bulldog"]
WANTED = 16
PARAMS = ScrapeParams(
    breeds=BREEDS, sources={"gallery": WANTED}, gallery=GalleryParams(seed=3, planted=0.5)
)


def workspace(folder: Path) -> Workspace:
    folder.mkdir()
    (folder / "dvc.yaml").touch()
    shutil.copy(REPOSITORY / "breeds.yaml", folder)
    return Workspace(folder, folder)


def tree(place: Workspace) -> dict[str, bytes]:
    files = (path for path in place.raw.rglob("*") if path.is_file())
    return {path.relative_to(place.raw).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, dict[str, object]]:
    place = workspace(tmp_path_factory.mktemp("embedded") / "one")
    return place, scrape(PARAMS, place)


def test_every_result_has_its_right_bytes_or_its_reason(
    scraped: tuple[Workspace, dict[str, object]],
) -> None:
    place, metrics = scraped
    gallery = Gallery(BREEDS, seed=3, per_breed=generous(WANTED, 0.75 * 0.5), planted=0.5)
    table = pd.read_parquet(place.raw / "manifest.parquet")
    failures: Counter[str] = Counter()
    for breed, truth in gallery.truth().groupby("breed"):
        got = table[table["breed"] == breed].set_index("image_url")
        good = 0
        for row in truth.sort_values("rank").itertuples():
            url = f"gallery:{row.url}"
            if good == WANTED:
                assert url not in got.index, "no more is fetched than was wanted"
                continue
            if row.kind == "dead_link":
                assert url not in got.index
                failures["dead_link"] += 1
                continue
            entry = gallery.collection.entry(row.id)
            assert entry is not None
            body = gallery.collection.original(entry)
            assert body is not None
            mine = got.loc[url]
            assert mine["sha256"] == sha256(body.body).hexdigest(), row
            assert (place.raw / mine["path"]).read_bytes() == body.body
            whole = not pd.isna(row.width)
            assert pd.isna(mine["width"]) != whole
            assert Path(mine["path"]).suffix == f".{row.format}" if whole else True
            good += whole
        assert good == WANTED
    assert metrics["failures"] == dict(failures)
    assert metrics["missing"] == 0


def test_nothing_in_the_manifest_depends_on_time_or_port(
    scraped: tuple[Workspace, dict[str, object]],
) -> None:
    table = pd.read_parquet(scraped[0].raw / "manifest.parquet")
    assert table["fetched_at"].isna().all()
    for column in ("image_url", "page_url"):
        assert table[column].str.startswith("gallery:/").all()
    order = list(zip(table["breed"], table["rank"], table["image_url"], strict=True))
    assert order == sorted(order)
    assert table["licence"].notna().all() and table["author"].notna().all()


def test_another_workspace_gets_the_same_bytes(
    scraped: tuple[Workspace, dict[str, object]], tmp_path: Path
) -> None:
    other = workspace(tmp_path / "two")
    assert scrape(PARAMS, other) == scraped[1]
    assert tree(other) == tree(scraped[0])


def test_more_breeds_and_other_seeds_never_mix_up_what_was_fetched(
    scraped: tuple[Workspace, dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, metrics = scraped
    before = tree(place)
    other = ScrapeParams(breeds=["bulldog"], sources={"gallery": 3}, gallery=GalleryParams(seed=4))
    scrape(other, place)
    assert not set(tree(place)) & (set(before) - {"manifest.parquet"})

    def no_browser(self: Browser) -> None:
        raise AssertionError("a browser was started")

    monkeypatch.setattr(Browser, "start", no_browser)
    assert scrape(PARAMS, place) == metrics, "going back costs nothing"
    assert tree(place) == before


def test_a_users_own_folder_is_served_and_scraped(tmp_path: Path) -> None:
    place = workspace(tmp_path / "own")
    gallery = Gallery(["pug"], per_breed=3, planted=0.0)
    folder = place.here / "mine" / "Beagle"
    folder.mkdir(parents=True)
    for number, entry in enumerate(gallery.collection.find("pug")):
        body = gallery.collection.original(entry)
        assert body is not None
        (folder / f"{number}.{entry.extension}").write_bytes(body.body)
    params = ScrapeParams(
        breeds=["beagle"], sources={"gallery": 3}, gallery=GalleryParams(images="mine")
    )
    assert scrape(params, place)["fetched"] == 3
    got = {data for name, data in tree(place).items() if name != "manifest.parquet"}
    assert got == {path.read_bytes() for path in folder.iterdir()}
