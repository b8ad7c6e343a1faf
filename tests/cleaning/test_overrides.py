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
            "line 2: decision is 'maybe', expected keep, drop or distinct",
        ),
        ("a.jpg\n", "line 1: got 1 columns"),
        ("item,decision,why\n\na,b,c,d,e\n", "line 3: got 5 columns"),
        ("item,decision,why\na,keep,nice, rare\n", "line 2: a fourth column"),
        ("item,decision,why,other\na,distinct,seen\n", "line 2: distinct needs the other"),
        ("item,decision,why,other\na,distinct,seen,\n", "line 2: distinct needs the other"),
        ("item,decision,why,other\na,distinct,seen,data/raw/a\n", "line 2: a cannot be"),
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
    wishes = match(lines, names, shas)
    assert {names[k]: line.keep for k, line in wishes.files.items()} == {
        "b/x.jpg": False,
        "b/y.jpg": False,
        "b/z.jpg": True,  # a path is more exact than a hash
    }
    assert [line.item for line in wishes.idle] == ["bb"]


def test_a_pair_is_named_by_paths_or_heads_of_hashes_and_holds_for_contents(tmp_path):
    names, shas = ["b/x.jpg", "b/y.jpg", "b/z.jpg"], ["aa" * 32, "bb" * 32, None]
    lines = written(
        tmp_path / "overrides.csv",
        "item,decision,why,other\nb/y.jpg,distinct,seen,AAAAAAAA\nb/x.jpg,distinct,,gone.jpg\n"
        "b/x.jpg,distinct,,b/z.jpg\n",
    )
    wishes = match(lines, names, shas)
    assert wishes.distinct == {("aa" * 32, "bb" * 32)} and not wishes.files
    assert [line.line for line in wishes.idle] == [3]
    moved = match(lines[:1], ["q/1.jpg", "b/y.jpg"], ["aa" * 32, "bb" * 32])
    assert moved.distinct == wishes.distinct


@pytest.mark.parametrize("other", ["b/y.jpg", "aaaaaaaa"])
def test_equal_bytes_cannot_be_called_distinct(tmp_path, other):
    lines = written(tmp_path / "overrides.csv", f"b/x.jpg,distinct,,{other}\n")
    with pytest.raises(PipelineError, match=r"overrides\.csv, line 1: .* same bytes") as caught:
        match(lines, ["b/x.jpg", "b/y.jpg"], ["aa" * 32] * 2)
    assert "\n" not in str(caught.value)
