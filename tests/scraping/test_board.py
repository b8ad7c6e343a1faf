"""What a person sees while a scrape goes on, and at its end."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.raw import Content
from pipeline.scraping import board as board_module
from pipeline.scraping.board import Board
from pipeline.scraping.download import Result
from pipeline.scraping.frontier import Job
from pipeline.scraping.page import Candidate, Outcome, Visit
from pipeline.scraping.sources import load_source
from pipeline.scraping.summary import summary


def make_job(breed: str, wanted: int) -> Job:
    source = load_source("gallery", Path("nowhere"))
    searches = tuple(source.searches(breed, (f"{breed} dog",), "http://127.0.0.1:1"))
    return Job(breed, source, "base", "pages", wanted, searches)


def progress(job: Job, good: int, failed: int = 0, same: bool = False) -> None:
    """Let a job find and fetch so many."""
    due = job.next_visit()
    if due is not None:
        urls = [f"http://x/{number}" for number in range(due[1])]
        job.offer(due[0], Visit(Outcome.RESULTS, [Candidate(i, url) for i, url in enumerate(urls)]))
    for number in range(good + failed):
        entry = job.take()
        assert entry is not None
        sha = "0" * 64 if same else f"{number:064}"
        fine = Result(Content(sha, "jpg", 10, 100, 80))
        job.settle(entry, fine if number < good else Result(reason="dead_link"))


def screen(board: Board, console: Console) -> list[str]:
    with console.capture() as capture:
        console.print(board.table())
    return capture.get().splitlines()


def test_the_table_has_a_row_a_breed_and_source_with_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr(board_module.time, "monotonic", lambda: clock[0])
    console = Console(
        file=io.StringIO(), force_terminal=True, width=120, height=40, color_system=None
    )
    first, second = make_job("beagle", 40), make_job("pug", 10)
    board = Board([first, second], console)
    progress(first, 1)
    screen(board, console)
    clock[0] += 5
    progress(first, 10, failed=2)
    lines = screen(board, console)
    header, beagle, pug, total = (line.split() for line in lines)
    assert header[:2] == ["breed", "source"] and header[-2:] == ["rate", "left"]
    # 10 more in 5 seconds: 2 a second, so the 29 that are missing take 14 seconds.
    assert beagle == ["beagle", "gallery", "40", "51", "11", "1", "2", "2.0/s", "0:14"]
    assert pug == ["pug", "gallery", "10", "0", "0", "0", "0"]
    assert total[:6] == ["total", "50", "51", "11", "1", "2"]


def test_more_jobs_than_lines_show_those_under_way_first() -> None:
    console = Console(
        file=io.StringIO(), force_terminal=True, width=120, height=14, color_system=None
    )
    jobs = [make_job(f"breed{number}", 5) for number in range(30)]
    progress(jobs[0], 5)
    assert jobs[0].finished
    progress(jobs[20], 2)
    lines = screen(Board(jobs, console), console)
    assert len(lines) <= 14
    assert any(line.startswith("breed20 ") for line in lines)
    assert not any(line.startswith("breed0 ") for line in lines)
    assert "30 in all, 1 done" in lines[-2]


def test_without_a_terminal_it_is_lines_without_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = make_job("beagle", 4)
    with Board([job]) as board:
        progress(job, 3, failed=1)
        board.show()
        board.say("bing is left alone")
    said = capsys.readouterr().err
    assert "bing is left alone" in said.splitlines()
    assert "3/4" in said and "failed=1" in said
    assert "\x1b" not in said and "\r" not in said


def test_the_summary_names_sources_that_gave_nothing() -> None:
    row = {"breed": "puli", "source": "openverse", "fetched": 0, "searches": "puli dog: empty"}
    text = summary(
        {
            "by_breed": {"puli": {"wanted": 5, "found": 9, "fetched": 4, "failed": 1}},
            **{"wanted": 5, "found": 9, "fetched": 4, "failed": 1, "files": 4, "bytes": 1_000_000},
            **{"not_pictures": 0, "missing": 1, "unlicensed": 7, "failures": {"dead_link": 1}},
            "sources": {
                "bing": {"fetched": 4, "with_licence": 0, "with_author": 0},
                "openverse": {"fetched": 0, "with_licence": 0, "with_author": 0},
            },
            "table": [row],
            "stopped": {"openverse": "blocked: 429"},
        }
    )
    assert "openverse gave nothing for puli (puli dog: empty)" in text
    assert "openverse was left alone: blocked: 429" in text
    assert "7 left out" in text and "bing: 4 pictures, 0 with a licence" in text
