"""Whatever a server or a page says in words is read or left, and never raises."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from protego import Protego

from pipeline.scraping.api_client import _retry_after
from pipeline.scraping.fetch import address_of, retry_after
from pipeline.scraping.fields import read
from pipeline.scraping.ledger import Ledger
from pipeline.scraping.outcome import Gathered, Outcome, pixels
from pipeline.scraping.partials import validator
from pipeline.scraping.robots import Rules, opted_out

anything = st.text(st.characters(), max_size=60)  # halves of characters as well
number = st.integers().map(str) | st.integers(4000, 6000).map(lambda length: "9" * length)
zone = st.sampled_from(["GMT", "-0000", "+2359", "+" + "9" * 14, "X"])
date = st.builds(
    "{} {} {} 00:00:00 {}".format,
    *(number, st.sampled_from(["Jan", "Foo"]), number, zone),
)
header = anything | number | date


@given(header)
@example("1 Jan 99999999999999999999 00:00:00 GMT")
@example("9" * 5000)
@example("1e999")
def test_any_wish_to_wait_is_seconds_or_none(text: str) -> None:
    for seconds in (retry_after(text), _retry_after(text)):
        assert seconds is None or seconds >= 0


@given(header, header, header)
@example("", "1 Jan 2020 00:00:00 +99999999999999", "1 Jan 2020 00:00:00 GMT")
def test_any_marks_of_a_file_are_proof_or_none(etag: str, day: str, modified: str) -> None:
    headers = {"Accept-Ranges": "bytes", "ETag": etag, "Date": day, "Last-Modified": modified}
    assert validator(headers, 200) in ("", etag, modified)


@given(header)
def test_any_opting_out_is_yes_or_no(text: str) -> None:
    assert opted_out({"X-Robots-Tag": text, "TDM-Reservation": text}, "us") in (True, False)


@given(anything)
def test_an_address_is_one_of_the_web_or_none(text: str) -> None:
    for spelt in (text, f"http://{text}", f"//{text}"):
        try:
            address = address_of(address_of("http://here.example/x").join(address_of(spelt)))
        except ValueError:
            continue
        assert address.scheme in ("http", "https") and address.host


rule = st.sampled_from(
    ["Disallow", "Allow", "Crawl-delay", "Request-rate", "User-agent", "Sitemap"]
)


@given(st.lists(st.tuples(rule, header | st.just("/*a*a*a*a*a*a$") | st.just("0/0")), max_size=8))
def test_any_robots_txt_gives_a_verdict(rules: list[tuple[str, str]]) -> None:
    text = "\n".join(["User-agent: *", *(f"{name}: {value}" for name, value in rules)])
    verdict = Rules(Protego.parse(text)).verdict("http://here.example/" + "a" * 300, "us")
    assert verdict.delay is None or (verdict.delay >= 0 and not math.isnan(verdict.delay))


@given(header)
@example("9" * 5000)
@example("٣ px")
def test_a_length_is_one_that_a_database_holds(text: str) -> None:
    found = pixels(text)
    assert found is None or 0 < found < 1 << 31


@given(anything)
@example("[" * 100_000)
@example(json.dumps({"a": "x"}))
def test_any_text_is_json_or_is_left(text: str) -> None:
    assert read({"m": text}, ["m | json a"]) in (None, ("x", "m | json a"))


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return Ledger(Path(tmp_path_factory.mktemp("ledger"), "ledger.sqlite"))


@settings(max_examples=40)
@given(st.lists(st.tuples(anything, header), max_size=5))
@example([("\ud800", "9" * 5000)])
def test_what_a_page_says_is_remembered_as_it_was_understood(
    ledger: Ledger, tiles: list[tuple[str, str]]
) -> None:
    gathered = Gathered()
    for text, size in tiles:
        facts = dict.fromkeys(("image_url", "page_url", "title", "licence", "author"), text)
        facts |= {"width": size, "height": size}
        gathered.add({name: (value, "rule") for name, value in facts.items()})
    visit = gathered.visit(Outcome.END, 9)
    ledger.record_visit("site", "dog", 9, visit)
    known = ledger.visit("site", "dog", 9)
    assert known is not None and known.candidates == visit.candidates
