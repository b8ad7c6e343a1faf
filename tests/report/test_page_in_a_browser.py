"""The page as a person meets it: from a file, at two widths, light and dark."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from headless import chromium, show, worst_contrast
from reports_folder import HOSTILE, MODEL, make_reports
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from pipeline import params as schema
from pipeline.report.page import write_page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    reports = make_reports(tmp_path_factory.mktemp("work") / "reports")
    write_page(reports, schema.Params(), MODEL, HOSTILE)
    return (reports / "index.html").as_uri()


@pytest.mark.parametrize("width", [390, 1366])
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
    assert loaded == [[True, 900], [True, 800], [True, 1600]]
    assert driver.execute_script("return document.querySelectorAll('script').length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(driver: webdriver.Chrome, address: str, scheme: str):
    show(driver, address, 1366, scheme)
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
