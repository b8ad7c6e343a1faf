"""The pages in a real browser: consent, endless scrolling, lazy thumbnails, the detail panel."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from pipeline.scraping.gallery import Gallery, serve

pytestmark = pytest.mark.browser


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no Chromium with its driver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    profile = tmp_path / "profile"
    for flag in ("--headless=new", "--disable-gpu", "--no-first-run", "--window-size=1366,900",
                 "--disable-background-networking", f"--user-data-dir={profile}"):  # fmt: skip
        options.add_argument(flag)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    chrome = webdriver.Chrome(options, Service(driver))
    yield chrome
    chrome.quit()


def test_a_visitor_sees_every_result_and_its_original(browser: webdriver.Chrome) -> None:
    gallery = Gallery(["beagle", "poodle"], per_breed=150)
    truth = gallery.truth().query("breed == 'beagle'")
    wait = WebDriverWait(browser, 20, 0.05)

    def one(selector: str) -> webdriver.remote.webelement.WebElement:
        return browser.find_element(By.CSS_SELECTOR, selector)

    def tiles() -> list[str]:
        script = "return [...document.querySelectorAll('#results a.tile')].map(t => t.dataset.id)"
        return browser.execute_script(script)

    with serve(gallery) as url:
        browser.get(f"{url}/search?q=beagle+dog")
        assert browser.title == "beagle dog – Gallery"
        assert browser.execute_script("return document.querySelector('#consent').open")
        # The page does not scroll or load under the dialog.
        assert len(tiles()) == 24
        one("button[data-consent=reject]").click()
        wait.until(lambda b: not b.find_elements(By.ID, "consent"))

        clicks = 0
        while not browser.find_elements(By.ID, "end"):
            before = len(tiles())
            browser.execute_script("window.scrollTo(0, document.body.scrollHeight)")
            if one("#more").is_displayed():
                assert before == 24 * (1 + 3 * (clicks + 1))
                one("#more").click()
                clicks += 1
            wait.until(
                lambda b, n=before: (
                    len(tiles()) > n or b.find_elements(By.ID, "end") or one("#more").is_displayed()
                )
            )
        assert clicks == 1
        assert tiles() == truth.id.tolist()

        browser.execute_script("window.scrollTo(0, 0)")
        first = "#results a.tile img"
        wait.until(lambda b: one(first).get_attribute("src").endswith(f"/thumb/{truth.id[0]}"))
        wait.until(lambda b: b.execute_script("return arguments[0].naturalWidth", one(first)) > 100)

        third = truth.iloc[2]
        browser.find_elements(By.CSS_SELECTOR, "a.tile")[2].click()
        wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, "#detail .detail"))
        assert one("#detail a.original").get_attribute("href") == url + third.url
        browser.switch_to.active_element.send_keys(Keys.ESCAPE)
        wait.until(lambda b: not one("#detail").is_displayed())
        assert browser.switch_to.active_element.get_attribute("data-id") == third.id

        # The choice is remembered.
        browser.get(f"{url}/")
        assert not browser.find_elements(By.ID, "consent")
        assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
