"""What a user sees of long work, in a terminal and in a log."""

from __future__ import annotations

import io
import sys

import pytest

from pipeline import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_in_a_terminal_each_part_is_named_when_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress.parts("measure") as tell:
        for name in ("first", "second"):
            tell(name)
            assert name in screen.getvalue().splitlines()[-1].rpartition("\r")[2]


def test_in_a_log_parts_that_are_done_at_once_are_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress.parts("measure") as tell:
        for name in ("first", "second", "third"):
            tell(name)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) <= 2 and "\r" not in "".join(lines)
    assert "3 parts" in lines[-1] and "third" in lines[-1]
