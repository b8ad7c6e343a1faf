"""The review of 14,000 pictures as a person meets it: from a file, at two widths."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from headless import chromium, show, worst_contrast
from review_table import HOSTILE, cleaned
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from pipeline.cleaning.overrides import read_overrides
from pipeline.cleaning.review import write_review

pytestmark = pytest.mark.browser

COUNT = 14_000
NODES = 3_000  # in the document at any time, of pictures by the thousand
WIDTHS = pytest.mark.parametrize("width", [390, 1280])


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("clean")
    found = cleaned(COUNT)
    write_review(found, folder / "review.html")
    address = (folder / "review.html").as_uri()
    return SimpleNamespace(table=found.table, folder=folder, address=address)


def until(truth: Callable[[], object], seconds: float = 60) -> object:
    end = time.monotonic() + seconds
    while not (value := truth()):
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.03)
    return value


def nodes(driver: webdriver.Chrome) -> int:
    return driver.execute_script("return document.getElementsByTagName('*').length")


def rows(driver: webdriver.Chrome, section: str = "") -> list[int]:
    """The rows whose cards are drawn, in a section or anywhere."""
    cards = f"[...document.querySelectorAll('{section and '#' + section} .card')]"
    return driver.execute_script(f"return {cards}.map(c => Number(c.dataset.row))")


def find(driver: webdriver.Chrome, text: str = "", breed: str = "", reason: str = "") -> None:
    driver.execute_script(
        "byId('find').value = arguments[0]; byId('breed').value = arguments[1];"
        "byId('reason').value = arguments[2]; filter(); scrollTo(0, 0)",
        *(text, breed, reason),
    )


def settled(driver: webdriver.Chrome) -> bool:
    """Whether all pictures in the document have arrived."""
    return driver.execute_script(
        "return document.images.length > 0 && [...document.images].every(i => i.naturalWidth > 0)"
    )


@WIDTHS
def test_it_opens_small_and_without_a_complaint_or_a_request(driver, page, width):
    show(driver, page.address, width)
    until(lambda: settled(driver))
    assert nodes(driver) < NODES
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    outside = driver.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
        ".filter(name => !name.startsWith('data:') && !name.startsWith('file:'))"
    )
    assert outside == []
    # Of the 180 files and more that hold the thumbnails it took a few.
    assert len(list((page.folder / "review").iterdir())) > 100
    assert 0 < driver.execute_script("return loaded.size") < 12
    assert (page.folder / "review.html").stat().st_size < 2_500_000
    assert driver.get_log("browser") == []


@WIDTHS
def test_every_section_can_be_reached_and_none_swells_the_page(driver, page, width):
    show(driver, page.address, width)
    targets = driver.execute_script(
        "return [...document.querySelectorAll('nav a')].map(a => a.hash.slice(1))"
    )
    items = driver.execute_script("return data.sections")
    assert set(items) < set(targets) and items["conflicts"] and targets[-1] == "thresholds"
    for name in dict.fromkeys(targets):
        driver.execute_script("location.hash = arguments[0]", "#" + name)
        if name == "thresholds":
            break
        until(lambda name=name: rows(driver, name))
        first = next(item for item in items[name] if not isinstance(item, str))
        head = first if isinstance(first, int) else first[0][0]
        assert rows(driver, name)[0] == head, name
        assert nodes(driver) < NODES, name
    # The last of the 9,000 kept ones, at the far end.
    last = items["browse"][-1]

    def at_the_end() -> bool:
        driver.execute_script("byId('browse').scrollIntoView({block: 'end'})")
        return last in rows(driver, "browse")

    until(at_the_end)
    until(lambda: settled(driver))
    assert nodes(driver) < NODES
    assert driver.get_log("browser") == []


def test_the_sections_hold_what_the_decisions_say(driver, page):
    show(driver, page.address, 1280)
    items = driver.execute_script("return data.sections")
    paths = driver.execute_script("return data.rows.map(row => row[0])")
    assert paths == page.table["path"].tolist()
    held = {name: _flat(some) for name, some in items.items()}
    table = page.table
    assert sorted(held["browse"]) == table.index[table["keep"]].tolist()
    clusters = held["conflicts"] + held["near_duplicate"] + held["exact_duplicate"]
    assert sorted(clusters) == table.index[table["cluster"] >= 0].tolist()
    for name in ("corrupt", "override"):
        assert held[name] == table.index[table["reason"] == name].tolist()
    for name in ("blank", "dark", "blurred", "text", "odd_aspect", "too_small"):
        found = table.index[(table["reason"] == name) | (table["keep"] & table[f"is_{name}"])]
        assert sorted(held[name]) == found.tolist()
    for group, _ in items["near_duplicate"]:
        assert [bool(table.at[k, "keep"]) for k in group] == [True] + [False] * (len(group) - 1)
    cells = table.index[table["part_of"].notna()]
    assert set(cells) <= set(held["collage"])


def _flat(items: list) -> list[int]:
    found: list[int] = []
    for item in items:
        found += [item] if isinstance(item, int) else item[0] if isinstance(item, list) else []
    return found


def press(driver: webdriver.Chrome, label: str, path: str) -> str:
    """Press the button of one file; the line it stands for."""
    button = driver.execute_script(
        "return [...document.querySelectorAll('button[data-line]')].find("
        "b => b.getAttribute('aria-label') === arguments[0])",
        f"{label}: {path}",
    )
    button.send_keys(Keys.ENTER)
    assert button.get_attribute("aria-pressed") == "true"
    return button.get_attribute("data-line")


def pasted(driver: webdriver.Chrome) -> str:
    """What the clipboard holds."""
    driver.execute_script(
        "const area = document.createElement('textarea'); area.id = 'paste';"
        "document.querySelector('main').prepend(area); area.focus()"
    )
    area = driver.find_element(By.ID, "paste")
    area.send_keys(Keys.CONTROL, "v")
    text = area.get_attribute("value")
    driver.execute_script("arguments[0].remove()", area)
    return text


def test_hostile_names_are_inert_and_their_lines_are_read_back(driver, page, tmp_path):
    show(driver, page.address, 1280)
    driver.execute_script("localStorage.clear()")
    driver.refresh()
    scripts = driver.execute_script("return document.scripts.length")
    table = page.table
    chosen = table[table["path"].str.endswith(HOSTILE)]
    assert len(chosen) == len(HOSTILE)
    for row in chosen.itertuples():
        find(driver, row.path.split("\n")[0])  # a field of one line cannot ask for two
        until(lambda row=row: row.Index in rows(driver))
        press(driver, "Drop" if row.keep else "Keep", row.path)
    until(lambda: settled(driver))
    assert (
        driver.execute_script("return document.querySelectorAll('img[src=x], [onload]').length")
        == 0
    )
    assert driver.execute_script("return document.scripts.length") == scripts
    driver.find_element(By.ID, "copy").send_keys(Keys.ENTER)
    file = tmp_path / "overrides.csv"
    file.write_text("item,decision,why,other\n" + pasted(driver), encoding="utf-8")
    lines = read_overrides(file)
    digests = dict(zip(table["sha256"].str[:16], table["path"], strict=True))
    assert [digests.get(line.item, line.item) for line in lines] == chosen["path"].tolist()
    assert [line.keep for line in lines] == (~chosen["keep"]).tolist()
    assert driver.get_log("browser") == []


def test_the_tray_collects_lines_takes_them_back_and_survives_a_reload(driver, page, tmp_path):
    show(driver, page.address, 390)
    driver.execute_script("localStorage.clear()")
    driver.refresh()
    copy = page.table[page.table["reason"] == "near_duplicate"].iloc[5]
    find(driver, copy["path"])
    until(lambda: rows(driver, "near_duplicate"))
    keep = press(driver, "Keep", copy["path"])
    assert pasted(driver) == keep + "\n"
    apart = press(driver, "Not the same photo", copy["path"])
    assert apart == f"{copy['path']},distinct,seen,{copy['nearest']}"
    file = tmp_path / "overrides.csv"
    file.write_text(f"{keep}\n{apart}\n")
    assert [(line.keep, line.other) for line in read_overrides(file)] == [
        (True, ""),
        (None, copy["nearest"]),
    ]
    held = "return byId('lines').value"
    assert driver.execute_script(held) == f"{keep}\n{apart}\n"
    driver.refresh()
    assert driver.execute_script(held) == f"{keep}\n{apart}\n"
    driver.find_element(By.ID, "clear").click()
    assert driver.execute_script(held) == ""
    driver.find_element(By.ID, "undo").click()
    assert driver.execute_script(held) == f"{keep}\n{apart}\n"
    find(driver, copy["path"])
    until(lambda: rows(driver, "near_duplicate"))
    button = driver.find_element(By.CSS_SELECTOR, "#near_duplicate [aria-pressed=true]")
    button.click()
    assert driver.execute_script(held) == f"{apart}\n"
    assert driver.execute_script("return document.documentElement.scrollWidth") <= 390


def test_filters_choose_by_breed_reason_and_path(driver, page):
    show(driver, page.address, 1280)
    table = page.table
    find(driver, breed="/breed_017")
    driver.execute_script("location.hash = '#browse'")
    until(lambda: rows(driver, "browse"))
    shown = driver.execute_script(
        "return [...document.querySelectorAll('#browse h3')].map(h => h.innerText)"
    )
    own = table[table["breed"] == "breed_017"]
    files = own["part_of"].isna()
    assert shown == [f"breed_017: {(own['keep'] & files).sum()} of {files.sum()} files kept"]
    find(driver, reason="corrupt")
    until(lambda: rows(driver, "corrupt"))
    visible = "return [...document.querySelectorAll('main section:not([hidden])')].map(s => s.id)"
    assert driver.execute_script(visible) == ["corrupt", "thresholds"]
    find(driver, "no such file")
    assert driver.execute_script("return !byId('nothing').hidden && byId('browse').hidden")
    driver.find_element(By.ID, "all").click()
    until(lambda: driver.execute_script("return byId('nothing').hidden && !byId('browse').hidden"))
    assert nodes(driver) < NODES


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_and_the_keyboard_finds_its_way(driver, page, scheme):
    show(driver, page.address, 1280, scheme)
    until(lambda: settled(driver))
    driver.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    worst = worst_contrast(driver)
    assert worst["ratio"] >= 4.5, worst
    driver.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert driver.switch_to.active_element.text == "Skip to the pictures"
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert driver.current_url.endswith("#conflicts")
    driver.switch_to.active_element.send_keys(Keys.TAB)
    focused = driver.switch_to.active_element
    assert focused.tag_name in ("a", "button")
    assert focused.value_of_css_property("outline-style") == "solid"
    alts = driver.execute_script("return [...document.images].map(i => i.alt)")
    assert all(alt.startswith("Picture ") for alt in alts)


def test_without_the_folder_of_thumbnails_it_says_so_and_works(driver, page, tmp_path: Path):
    shutil.copy(page.folder / "review.html", tmp_path)
    show(driver, (tmp_path / "review.html").as_uri(), 1280)
    until(lambda: "review/ is missing" in driver.find_element(By.ID, "toast").text)
    assert rows(driver, "conflicts")
