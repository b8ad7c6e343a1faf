"""What is recorded is found again, under the identity it was recorded for and no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.raw import Content
from pipeline.scraping.download import Result
from pipeline.scraping.ledger import Ledger
from pipeline.scraping.page import Candidate, Outcome, Visit

FOUND = [
    Candidate(rank, f"http://x/{rank}", "http://x/page", f"Title {rank}", "CC0", None)
    for rank in range(20)
]
KEPT = Result(Content("ab" * 32, "png", 123, 640, 480), "2026-01-01T00:00:00+00:00", attempts=2)
GONE = Result(reason="dead_link", status=404)


def test_images_come_back_as_they_were_also_after_a_restart(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record_image("a", "http://x/1", KEPT)
        ledger.record_image("a", "http://x/2", GONE)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.image("a", "http://x/1") == KEPT
        assert ledger.image("a", "http://x/2") == GONE
        assert ledger.image("a", "http://x/3") is None
        assert ledger.image("b", "http://x/1") is None, "another identity, another picture"


def test_a_visit_answers_for_as_many_results_or_fewer(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record_visit("a", "beagle", 20, Visit(Outcome.RESULTS, FOUND))
        assert ledger.visit("a", "beagle", 20) == Visit(Outcome.RESULTS, FOUND)
        assert ledger.visit("a", "beagle", 7) == Visit(Outcome.RESULTS, FOUND[:7])
        assert ledger.visit("a", "beagle", 21) is None, "there may be more on the page"
        assert ledger.visit("a", "poodle", 5) is None
        assert ledger.visit("b", "beagle", 5) is None


def test_a_visit_that_reached_the_end_answers_for_any_number(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record_visit("a", "beagle", 50, Visit(Outcome.END, FOUND))
        assert ledger.visit("a", "beagle", 500) == Visit(Outcome.END, FOUND)
        assert ledger.visit("a", "beagle", 20) == Visit(Outcome.END, FOUND)
        assert ledger.visit("a", "beagle", 19) == Visit(Outcome.RESULTS, FOUND[:19])
        ledger.record_visit("a", "xyz", 50, Visit(Outcome.EMPTY))
        assert ledger.visit("a", "xyz", 5) == Visit(Outcome.EMPTY)


def test_a_later_visit_replaces_an_earlier_one(tmp_path: Path) -> None:
    newer = [replace(FOUND[0], image_url="http://x/new")]
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record_visit("a", "beagle", 20, Visit(Outcome.RESULTS, FOUND))
        ledger.record_visit("a", "beagle", 20, Visit(Outcome.END, newer))
        assert ledger.visit("a", "beagle", 20) == Visit(Outcome.END, newer)


def test_two_writers_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as one, Ledger(path) as two:
        for number in range(50):
            one.record_image("a", f"http://x/{number}", KEPT)
            two.record_image("b", f"http://x/{number}", GONE)
        assert one.image("b", "http://x/49") == GONE
        assert two.image("a", "http://x/49") == KEPT


def test_a_file_that_is_no_ledger_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(PipelineError, match=r"ledger.sqlite: cannot be used"):
        Ledger(path)
