from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.report.curves import draw_curves, read_curves, smooth


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "loss.csv"
    path.write_text(text)
    return path


def test_known_columns_are_read_as_numbers_and_others_passed_over(tmp_path: Path):
    path = write(tmp_path, "images,loss,lr,colour\n16,0.5,1e-3,red\n32,0.25,2e-3,blue\n")
    assert read_curves(path) == {
        "images": [16.0, 32.0],
        "loss": [0.5, 0.25],
        "lr": [1e-3, 2e-3],
    }


@pytest.mark.parametrize("text", ["", "images,loss\n", "nothing\n1\n", "images,loss\nx,y\n"])
def test_a_file_without_curves_draws_nothing(tmp_path: Path, text: str):
    assert draw_curves(read_curves(write(tmp_path, text))) == ""


def test_a_missing_file_draws_nothing(tmp_path: Path):
    assert draw_curves(read_curves(tmp_path / "loss.csv")) == ""


def test_a_torn_last_row_costs_only_itself(tmp_path: Path):
    assert read_curves(write(tmp_path, "images,loss\n1,2\n2,3\n4")) == {
        "images": [1, 2],
        "loss": [2, 3],
    }


def test_the_line_falls_where_the_loss_falls():
    svg = draw_curves({"images": [0, 50, 100], "loss": [3.0, 2.0, 1.0]})
    path = re.search(r'<g id="loss">\s*<path d="([^"]*)"', svg)
    assert path
    points = [tuple(map(float, pair.split())) for pair in re.findall(r"[ML] ([\d. ]+)", path[1])]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x0 < x1 < x2 and y0 < y1 < y2  # downwards on a screen
    assert x1 - x0 == pytest.approx(x2 - x1) and y1 - y0 == pytest.approx(y2 - y1)


def test_the_colours_are_the_pages_own_and_the_text_is_text():
    svg = draw_curves({"images": list(range(20)), "loss": [1.0] * 20, "lr": [0.1] * 20})
    assert "#0102" not in svg and "var(--accent)" in svg and "currentColor" in svg
    assert ">Learning rate</text>" in svg and ">images seen</text>" in svg
    assert svg.startswith("<svg role=") and svg.rstrip().endswith("</svg>")
    assert "http" not in svg and "xmlns" not in svg


def test_equal_curves_give_equal_bytes():
    curves = {"images": [1.0, 2.0], "loss": [2.0, 1.0]}
    assert draw_curves(curves) == draw_curves(dict(curves))


def test_a_loss_that_is_not_a_number_does_not_stop_the_page():
    nan = float("nan")
    assert draw_curves({"images": [1, 2, 3], "loss": [1.0, nan, 0.5]}).startswith("<svg")
    assert draw_curves({"images": [1, 2, 3], "loss": [nan] * 3}) == ""


def test_smoothing_keeps_a_straight_line_and_halves_scatter():
    line = [3 - 0.1 * k for k in range(100)]
    assert smooth(line) == pytest.approx(line)
    zigzag = [(-1) ** k for k in range(100)]
    assert max(map(abs, smooth(zigzag)[2:-2])) < 0.5
