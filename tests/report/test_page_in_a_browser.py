"""The page as a person meets it: from a file, at two widths, light and dark."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from reports_folder import HOSTILE, MODEL, make_reports
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from pipeline import params as schema
from pipeline.report.page import write_page
from pipeline.scraping.browser import find_browser, find_driver

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = find_browser()
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    profile = tmp_path_factory.mktemp("profile")
    for flag in (
        "headless=new",
        "disable-gpu",
        "disable-dev-shm-usage",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        f"user-data-dir={profile}",
        *(["no-sandbox"] if os.geteuid() == 0 else []),
    ):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options=options, service=Service(find_driver()))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    reports = make_reports(tmp_path_factory.mktemp("work") / "reports")
    write_page(reports, schema.Params(), MODEL, HOSTILE)
    return (reports / "index.html").as_uri()


def show(driver: webdriver.Chrome, address: str, width: int, scheme: str = "light") -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    wish = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wish})
    driver.get(address)


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
    worst = driver.execute_script(CONTRAST)
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


# The least contrast (WCAG 2.2, 1.4.3) of any text against the nearest opaque ground behind it.
CONTRAST = """
const channels = text => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => {
  const linear = v => v <= 10 ? v / 3294 : ((v / 255 + .055) / 1.055) ** 2.4;
  const [x, y, z] = [r, g, b].map(linear);
  return .2126 * x + .7152 * y + .0722 * z;
};
const ground = node => {
  for (; node; node = node.parentElement) {
    const colour = channels(getComputedStyle(node).backgroundColor);
    if (colour.length < 4 || colour[3] > .99) return colour;
  }
  return [255, 255, 255];
};
let worst = {ratio: 99};
for (const node of document.querySelectorAll('body *')) {
  const own = [...node.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  if (!own || !node.getClientRects().length) continue;
  const style = getComputedStyle(node);
  const ink = node instanceof SVGElement ? style.fill : style.color;
  const [a, b] = [light(channels(ink)), light(ground(node))];
  const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (ratio < worst.ratio) worst = {ratio, tag: node.tagName, text: node.textContent.trim()};
}
return worst;
"""
