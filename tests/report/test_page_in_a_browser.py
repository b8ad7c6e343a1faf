"""The page as a person meets it: from a file, at two widths, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from headless import chromium, show, worst_contrast
from reports_folder import HOSTILE, MODEL, make_reports, origins
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from pipeline import params as schema
from pipeline.diffusion.sampling import Sampling
from pipeline.report.comparison import Side, picture, write_comparison
from pipeline.report.page import write_page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    reports = make_reports(tmp_path_factory.mktemp("work") / "reports")
    write_page(reports, schema.Params(), MODEL, HOSTILE, origins())
    return (reports / "index.html").as_uri()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_a_complaint_a_request_or_a_sideways_scroll(
    driver: webdriver.Chrome, address: str, width: int, scheme: str
):
    show(driver, address, width, scheme)
    assert driver.get_log("browser") == []  # errors, blocked styles, refused requests
    outside = driver.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
        ".filter(name => !name.startsWith('data:'))"
    )
    assert outside == []
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    loaded = driver.execute_script(
        "return [...document.images].map(i => [i.complete, i.naturalWidth])"
    )
    assert loaded == [[True, wide] for wide in (900, 500, 450, 450, 800, 500, 1600, 500)]
    assert driver.execute_script("return document.querySelectorAll('script').length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(driver: webdriver.Chrome, address: str, scheme: str):
    show(driver, address, 1280, scheme)
    driver.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    worst = worst_contrast(driver)
    assert worst["ratio"] >= 4.5, worst


def test_the_keyboard_reaches_the_samples_and_the_pictures(driver: webdriver.Chrome, address: str):
    show(driver, address, 390)
    driver.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert driver.switch_to.active_element.text == "Skip to the samples"
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert driver.current_url.endswith("#samples")
    picture = driver.find_element(By.CSS_SELECTOR, "#samples .scroll")
    assert picture.get_attribute("tabindex") == "0"
    wider = driver.execute_script("return arguments[0].scrollWidth > 390", picture)
    assert wider  # on a phone the picture scrolls inside its frame, large enough to see


def motion(driver: webdriver.Chrome, scheme: str) -> None:
    wish = [{"name": "prefers-reduced-motion", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wish})


@pytest.mark.parametrize("wish", ["no-preference", "reduce"])
def test_the_film_runs_or_stands_as_the_reader_wishes(
    driver: webdriver.Chrome, address: str, wish: str
):
    show(driver, address, 390)
    motion(driver, wish)
    moving = driver.find_element(By.CSS_SELECTOR, ".film .moving")
    still = driver.find_element(By.CSS_SELECTOR, ".film .still")
    runs = wish == "no-preference"
    assert (moving.is_displayed(), still.is_displayed()) == (runs, not runs)
    label = driver.find_element(By.CSS_SELECTOR, ".film label")
    assert label.text == ("Stop the film" if runs else "Play the film")
    driver.find_element(By.ID, "hold").send_keys(Keys.SPACE)  # by keyboard alone
    assert (moving.is_displayed(), still.is_displayed()) == (not runs, runs)
    assert label.text == ("Play the film" if runs else "Stop the film")


def test_what_has_the_focus_is_outlined_and_details_open_by_keyboard(
    driver: webdriver.Chrome, address: str
):
    show(driver, address, 1280)
    body = driver.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    seen = 0
    for _ in range(200):
        active = driver.switch_to.active_element
        if active.tag_name == "body":
            break
        seen += 1
        width = driver.execute_script(
            "return parseFloat(getComputedStyle(arguments[0]).outlineWidth)", active
        )
        assert width >= 2, active.get_attribute("outerHTML")[:200]
        if active.tag_name == "summary":
            active.send_keys(Keys.ENTER)
            opened = active.find_element(By.XPATH, "..").get_attribute("open")
            assert opened
        active.send_keys(Keys.TAB)
    assert seen > 20


def test_an_unsafe_address_is_no_link(driver: webdriver.Chrome, address: str):
    show(driver, address, 1280)
    links = driver.execute_script("return [...document.links].map(a => a.href)")
    schemes = {link.partition(":")[0] for link in links}
    assert schemes == {"file", "http", "https"}
    known = ("https://example.org/", "http://127.0.0.1:5000/")
    inside = ("/reports/index.html#", "/data/clean/review.html")
    for link in links:
        if link.startswith("file:"):
            assert any(place in link for place in inside)
        else:
            assert link.startswith(known)


def test_what_is_compared_stands_side_by_side(driver: webdriver.Chrome, tmp_path: Path):
    grid = picture(np.zeros((8, 8, 3), np.uint8))
    sides = [Side(name, [("seen", "320")], grid) for name in ("one", "other")]
    path = write_comparison(tmp_path, sides, [], [], ["husky"], range(1), Sampling())
    tops = "return [...document.images].map(i => i.getBoundingClientRect().top)"
    show(driver, path.as_uri(), 1280)
    beside = driver.execute_script(tops)
    show(driver, path.as_uri(), 390)
    below = driver.execute_script(tops)
    assert beside[0] == beside[1] and below[0] < below[1]
