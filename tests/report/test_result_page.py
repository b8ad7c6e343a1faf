from __future__ import annotations

import base64
import json
import re
import shlex
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from reports_folder import HOSTILE, MODEL, origins

from pipeline import params as schema
from pipeline.report.again import reproduce, used_params
from pipeline.report.figures import number, tables
from pipeline.report.origins import Origins
from pipeline.report.page import render, write_page

PARAMS = schema.from_document({"scheduler": "linear", "scrape": {"user_agent": "<b>me</b> 'x'"}})


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.text += " "

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag in tags]


@pytest.fixture
def page(reports: Path) -> str:
    return render(reports, PARAMS, MODEL, HOSTILE)


def test_names_from_outside_are_text_and_never_markup(page: str):
    elements = Elements(page)
    assert not elements.all("script", "iframe", "object")
    assert len(elements.all("img")) == 8
    assert not any(name.startswith("on") for _, attrs in elements.found for name in attrs)
    for shown in ("<script>alert('breed')</script>", '"><img src=x onerror=alert(1)>', "<b>me</b>"):
        assert shown in elements.text


def test_makers_licences_and_sources_are_text_and_their_addresses_safe(reports: Path):
    elements = Elements(render(reports, PARAMS, MODEL, HOSTILE, origins()))
    assert not elements.all("script", "i", "u", "iframe", "object")
    for shown in ("<i>title</i>", "<u>own</u>", "from a<b", "<b>A</b>"):
        assert shown in elements.text
    links = [str(a["href"]) for a in elements.all("a")]
    assert 'https://example.org/3?a=1&b="2' in links
    assert not any(link.startswith(("javascript:", "data:", "file:", "gallery:")) for link in links)
    assert all(a.get("rel") for a in elements.all("a") if "://" in str(a["href"]))


def test_it_tells_commit_run_split_and_changed_params(reports: Path):
    text = " ".join(Elements(render(reports, PARAMS, MODEL, HOSTILE, origins())).text.split())
    assert f"git checkout {'c' * 40} dvc exp run" in text and f"run {'0' * 32}" in text
    assert "6 pictures to train on, and 3 held out" in text
    assert "changed here default" in text and "scheduler cosine linear" in text
    assert text.index("scheduler cosine linear") < text.index("All params")
    assert "470 different files" in text and "380 kept" in text and "6 to train on" in text


def test_figures_nobody_explained_are_shown_all_the_same(reports: Path):
    figures = json.loads((reports / "metrics.json").read_text())
    figures |= {"unheard_of": 0.25, "costs": {"a": {"seconds": 3}, "b": {"seconds": 4}}}
    (reports / "metrics.json").write_text(json.dumps(figures))
    text = " ".join(Elements(render(reports, PARAMS, MODEL, HOSTILE)).text.split())
    assert "unheard of 0.25" in text and "Costs seconds a 3 b 4" in text


def test_nothing_is_asked_for_from_anywhere(page: str):
    elements = Elements(page)
    for tag, attributes in elements.found:
        assert tag not in ("link", "script", "base")
        for name in ("src", "srcset", "poster", "data", "action", "background"):
            assert str(attributes.get(name, "data:")).startswith("data:")
        if tag != "a":
            assert str(attributes.get("href", "#")).startswith("#")
    assert not re.search(r"https?://", page)  # a page without an origin has no link either
    assert not re.search(r"url\((?!#)|@import", page)
    policy = next(a["content"] for a in elements.all("meta") if "http-equiv" in a)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_the_pictures_are_in_the_page_byte_for_byte(page: str, reports: Path):
    images = Elements(page).all("img")
    held = [base64.b64decode(str(a["src"]).partition(",")[2]) for a in images]
    names = [
        "samples.png", "sweep.png", "denoising.webp", "", "denoising.png", "interpolation.png",
        "nearest.png", "seen.png",
    ]  # fmt: skip
    still = held.pop(names.index(""))
    assert still.startswith(b"\x89PNG")
    assert held == [(reports / name).read_bytes() for name in names if name]
    assert (images[0]["width"], images[0]["height"]) == ("900", "400")


@pytest.mark.parametrize("origin", [None, origins()], ids=["bare", "full"])
def test_it_can_be_read_without_seeing_or_pointing(reports: Path, origin: Origins | None):
    elements = Elements(render(reports, PARAMS, MODEL, HOSTILE, origin))
    assert all(str(a["alt"]).strip() for a in elements.all("img"))
    assert elements.all("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in elements.found if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    ids = [a["id"] for _, a in elements.found if "id" in a]
    assert len(ids) == len(set(ids))
    assert len(elements.all("main")) == len(elements.all("header")) == len(elements.all("nav")) == 1
    controls = [str(a["id"]) for a in elements.all("input")]
    assert controls and controls == [a["for"] for a in elements.all("label")]
    targets = [str(a["href"])[1:] for a in elements.all("a") if str(a["href"]).startswith("#")]
    assert targets and set(targets) <= set(ids)
    assert all(a.get("scope") for a in elements.all("th"))


def test_each_figure_stands_beside_its_floor_direction_and_counts(page: str):
    text = " ".join(Elements(page).text.split())
    assert "0.136 −0.00064 lower" in text
    assert "50.5 0.0229 lower" in text
    assert "0.9 – higher" in text  # no floor was measured
    assert "192 samples against 2700 training pictures" in text
    assert "300 held-out real pictures" in text
    assert "FID" not in text


def test_what_was_scraped_and_dropped_is_told_with_reasons(page: str):
    text = " ".join(Elements(page).text.split())
    assert "123.5 MB" in text and "404 </td><script> 6" in text
    assert "near duplicate 90" in text
    assert "corrupt" not in text  # none were


def test_the_params_of_the_training_are_those_the_model_remembers(page: str):
    text = " ".join(Elements(page).text.split())
    assert "scheduler cosine" in text and "seed 7" in text
    assert "991,235" in text
    assert "tracking" not in text
    assert "-S scheduler=cosine" in text and "-S seed=7" in text


def test_the_command_names_what_differs_and_nothing_else():
    plain = used_params(schema.Params(), {})
    assert reproduce(plain) == "dvc repro"
    command = reproduce(used_params(PARAMS, MODEL))
    assert command.splitlines()[0] == "dvc exp run \\"
    assert "train." not in command


@pytest.mark.parametrize("base", [{}, {"seed": 3, "scrape": {"sources": {"a": 1, "gallery": 80}}}])
@pytest.mark.parametrize(
    "wanted",
    [
        {"scheduler": "cosine", "scrape": {"user_agent": "<b>me</b> 'x' \"y\", a=[1] 5 % \u00fc"}},
        {"scrape": {"sources": {"commons": 5}, "breeds": ["pug", "shih_tzu"], "contact": "1.0"}},
        {"train": {"lr": 1e-5, "net": {"attention": []}, "flip": False}, "seed": 9},
    ],
)
def test_dvc_reads_the_command_as_the_params_it_was_made_from(
    tmp_path: Path, base: dict[str, Any], wanted: dict[str, Any]
):
    from dvc.utils.hydra import apply_overrides

    start, end = (schema.to_dict(schema.from_document(one)) for one in (base, wanted))
    start.pop("tracking"), end.pop("tracking")
    words = shlex.split(reproduce(end, start).replace("\\\n", ""))
    path = tmp_path / "params.yaml"
    path.write_text(json.dumps(start))
    assert words[:3] == ["dvc", "exp", "run"] and set(words[3::2]) == {"-S"}
    apply_overrides(str(path), words[4::2])
    assert schema.load(path) == schema.from_document(end)


def test_the_review_is_linked_only_where_it_is(reports: Path):
    assert "review.html" not in render(reports, PARAMS, MODEL, HOSTILE)
    links = Elements(render(reports, PARAMS, MODEL, HOSTILE, Origins(review=True))).all("a")
    assert "../data/clean/review.html" in [a["href"] for a in links]


def test_a_reason_leads_to_the_pictures_that_were_dropped_for_it(reports: Path):
    review = reports / "../data/clean/review.html"
    review.parent.mkdir(parents=True)
    review.write_text('<section id="near_duplicate"></section><section id="browse"></section>')
    page = render(reports, PARAMS, MODEL, HOSTILE, Origins(review=True))
    links = [a["href"] for a in Elements(page).all("a")]
    for name in ("near_duplicate", "browse"):
        assert f"../data/clean/review.html#{name}" in links


def test_equal_inputs_give_equal_bytes(reports: Path):
    write_page(reports, PARAMS, MODEL, HOSTILE)
    first = (reports / "index.html").read_bytes()
    write_page(reports, PARAMS, MODEL, HOSTILE)
    assert (reports / "index.html").read_bytes() == first


@pytest.mark.parametrize(
    "missing",
    [
        "metrics.json", "samples.png", "sweep.png", "denoising.webp", "seen.png", "loss.csv",
        "scrape.csv", "scrape.json", "dedupe.json",
    ],
)  # fmt: skip
def test_what_is_missing_or_broken_is_left_out(reports: Path, missing: str):
    (reports / missing).write_bytes(b"\x00not this")
    assert "<main>" in render(reports, PARAMS, MODEL, HOSTILE)
    (reports / missing).unlink()
    assert "<main>" in render(reports, PARAMS, MODEL, HOSTILE)


def test_an_empty_folder_still_makes_a_page(tmp_path: Path):
    page = render(tmp_path, schema.Params(), {}, ["beagle"])
    assert "1 breed, drawn from noise" in page and "Nothing was measured" in page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (0.0, "0"),
        (1234567, "1,234,567"),
        (0.136088, "0.136"),
        (-0.00064, "−0.00064"),
        (0.0000123, "1.2e-05"),
        (1234.5, "1,234"),
        ("text", "text"),
    ],
)
def test_figures_are_written_for_readers(value: object, text: str):
    assert number(value) == text


def test_groups_of_groups_become_tables_with_columns():
    document = {"by_breed": {"a_b": {"x": 1}, "c": {"x": 2, "y_z": 3}}, "note": None, "list": [1]}
    (table,) = tables(document)
    assert table.columns == ("x", "y z")
    assert table.rows == [("a b", "1", "–"), ("c", "2", "3")]
