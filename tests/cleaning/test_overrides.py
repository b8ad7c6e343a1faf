"""overrides.csv is read as written, and a mistake in it is named with its line."""

from __future__ import annotations

import pytest

from pipeline.cleaning.overrides import match, read_overrides
from pipeline.errors import PipelineError


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return read_overrides(path)


def test_no_file_and_an_empty_file_say_nothing(tmp_path):
    assert read_overrides(tmp_path / "overrides.csv") == []
    assert written(tmp_path / "overrides.csv", "") == []
    assert written(tmp_path / "overrides.csv", "item,decision,why\n") == []


def test_lines_are_read_with_quotes_blanks_and_no_reason(tmp_path):
    text = 'item,decision,why\n"a, b.jpg",keep,"nice, rare"\n\nc.jpg, drop\n# note\n'
    first, second = written(tmp_path / "overrides.csv", text)
    assert (first.item, first.keep, first.why, first.line) == ("a, b.jpg", True, "nice, rare", 2)
    assert (second.item, second.keep, second.why, second.line) == ("c.jpg", False, "", 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "item,decision,why\na.jpg,maybe,x\n",
            "line 2: decision is 'maybe', expected keep or drop",
        ),
        ("a.jpg\n", "line 1: got 1 columns"),
        ("item,decision,why\n\na,b,c,d\n", "line 3: got 4 columns"),
        ("item,decision,why\n,keep,x\n", "line 2: item is empty"),
        ('item,decision,why\n"a.jpg,keep,x\n', "line 2"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, text, words):
    with pytest.raises(PipelineError, match=words) as caught:
        written(tmp_path / "overrides.csv", text)
    assert "\n" not in str(caught.value)


def test_a_file_is_named_by_path_or_by_the_head_of_its_hash(tmp_path):
    names, shas = ["b/x.jpg", "b/y.jpg", "b/z.jpg"], ["aa" * 32, "bb" * 32, "bb" * 32]
    lines = written(
        tmp_path / "overrides.csv",
        "bbbbbbbb,drop,all of them\nb/z.jpg,keep,but this\ndata/raw/b/x.jpg,drop,\nbb,drop,short\n",
    )
    chosen, idle = match(lines, names, shas)
    assert {names[k]: line.keep for k, line in chosen.items()} == {
        "b/x.jpg": False,
        "b/y.jpg": False,
        "b/z.jpg": True,  # a path is more exact than a hash
    }
    assert [line.item for line in idle] == ["bb"]
