"""Every page with scripts planted in every field, opened in a real browser: it runs none of them
and shows them as text."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from headless import chromium, show
from hostile import SCRIPTS, STEERING
from PIL import Image
from reports_folder import MODEL, make_reports, origins
from review_table import cleaned
from selenium import webdriver

from pipeline import params as schema
from pipeline.cleaning.review import write_review
from pipeline.diffusion.sampling import Sampling
from pipeline.report.comparison import Side, picture, write_comparison
from pipeline.report.page import write_page
from pipeline.scraping.gallery import Gallery, serve

pytestmark = pytest.mark.browser

COUNT = 600  # files on the review page
LINKS = """
return [...document.querySelectorAll('a[href], area[href], use[href], form[action]')]
  .map(node => new URL(node.getAttribute('href') ?? node.getAttribute('action'), location).protocol)
"""
STRANGE = """
return [...document.querySelectorAll('*')].flatMap(node => [...node.attributes])
  .map(attribute => attribute.name).filter(name => name.startsWith('on'))
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def check(driver: webdriver.Chrome, texts: tuple[str, ...]) -> None:
    """No script ran, nothing links to one, and ``texts`` are to be read on the page."""
    # An open dialog would fail each of these calls.
    assert driver.execute_script("return window.canary ?? null") is None
    assert driver.execute_script(STRANGE) == []
    assert set(driver.execute_script(LINKS)) <= {"http:", "https:", "file:"}
    assert driver.execute_script("return getComputedStyle(document.body).display") != "none"
    shown = driver.execute_script(
        "document.querySelectorAll('details').forEach(d => d.open = true);"
        "return document.body.textContent"
    )
    missing = [text for text in texts if text not in shown]
    assert not missing
    assert "1337" not in shown  # {{ 7 * 191 }}


def test_the_canary_would_sing(driver: webdriver.Chrome, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f"<!doctype html><body>{SCRIPTS[0]}{SCRIPTS[1]}")
    show(driver, (tmp_path / "page.html").as_uri(), 800)
    assert driver.execute_script("return window.canary ?? null") in (1, 2)
    driver.get_log("browser")  # forgotten: the other pages begin with nothing said


def test_the_result_page(driver: webdriver.Chrome, tmp_path: Path) -> None:
    reports = make_reports(tmp_path / "reports")
    cells = [SCRIPTS[k % len(SCRIPTS)] for k in range(12)]
    known = origins()
    assert known.manifest is not None and known.index is not None
    manifest = known.manifest.assign(
        **dict.fromkeys(("source", "title", "licence", "author", "page_url", "robots"), cells),
        breed=cells[::-1],
    )
    index = known.index.assign(breed=cells[::-1][:9])
    shown = pd.concat([index, manifest[9:]])
    model = MODEL | {"weights_sha256": SCRIPTS[0], "training": {"seed": SCRIPTS[1], "images": 1}}
    told = dataclasses.replace(known, manifest=manifest, index=index, shown=shown, base={})
    settings = schema.from_document({"tracking": {"experiment": SCRIPTS[2]}})
    write_page(reports, settings, model, list(SCRIPTS), told)
    show(driver, (reports / "index.html").as_uri(), 1280)
    check(driver, SCRIPTS)
    assert driver.get_log("browser") == []
    assert driver.execute_script("return document.querySelectorAll('script').length") == 0


def test_the_compare_page(driver: webdriver.Chrome, tmp_path: Path) -> None:
    grid = picture(np.zeros((8, 8, 3), np.uint8))
    sides = [Side(SCRIPTS[k], [(SCRIPTS[2], SCRIPTS[3]), *((s, s) for s in STEERING)], grid)
             for k in (0, 1)]  # fmt: skip
    rows = [[text, text, text] for text in SCRIPTS]
    path = write_comparison(tmp_path, sides, rows, rows, list(SCRIPTS), range(3), Sampling())
    assert path.parent == tmp_path
    show(driver, path.as_uri(), 1280)
    check(driver, SCRIPTS)
    assert driver.execute_script("return document.querySelectorAll('script').length") == 0


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "a" * 500, "..", "\0", *STEERING])
def test_the_name_of_a_compare_page_stays_in_its_folder(name: str) -> None:
    from pipeline.report.comparison import file_name

    made = file_name([name, name])
    assert Path(made).name == made and len(made) < 120 and made.isascii() and made.isprintable()


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A page on which the fields of the first rows are scripts; text of these fields may be
    anything but a slash in names."""
    found = cleaned(COUNT)
    table = found.table.copy()
    named = [text.replace("/", "_") for text in SCRIPTS]
    for k, text in enumerate(SCRIPTS):
        where = table.index[3 * k + 1]
        table.loc[where, ["breed", "detail"]] = [text, text]
    folder = tmp_path_factory.mktemp("clean")
    write_review(dataclasses.replace(found, table=table), folder / "review.html")
    return SimpleNamespace(address=(folder / "review.html").as_uri(), named=named, folder=folder)


def test_the_review_page(driver: webdriver.Chrome, review: SimpleNamespace) -> None:
    show(driver, review.address, 1280)
    for text in SCRIPTS:  # every breed in turn: only what is near the window is drawn
        driver.execute_script(
            "const list = byId('breed');"
            "list.value = [...list.options].find(o => o.textContent.includes(arguments[0])).value;"
            "filter(); scrollTo(0, 0)",
            text.replace("_", " "),
        )
        check(driver, ())
    shown = driver.execute_script(
        "return [...document.querySelectorAll('#breed option')].map(o => o.textContent).join('\\n')"
    )
    assert all(text.replace("_", " ") in shown for text in SCRIPTS)
    assert driver.get_log("browser") == []


@pytest.mark.parametrize("path", ["/", "/search?q=", "/detail/", "/page/", "/search?q=SCRIPT"])
def test_the_gallery_of_a_folder(
    driver: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory, path: str
) -> None:
    root = tmp_path_factory.mktemp("folder")
    for k, text in enumerate(SCRIPTS):
        breed = root / f"{k}{text.replace('/', '_')}"
        breed.mkdir()
        Image.new("RGB", (40, 30)).save(breed / f"{text.replace('/', '_')}.png")
    gallery = Gallery(images=root)
    with serve(gallery) as url:
        rows = gallery.truth()
        asked = [path]
        if path.endswith("/") and len(path) > 1:
            asked = [f"{path}{one}" for one in rows.id]
        elif path.endswith("SCRIPT"):
            from urllib.parse import quote

            asked = [path.replace("SCRIPT", quote(text)) for text in SCRIPTS]
        for one in asked:
            show(driver, url + one, 1000)
            check(driver, ())
            assert driver.execute_script("return document.contentType") == "text/html"
