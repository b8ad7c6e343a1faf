"""The review page as bytes: what it holds, that it is the same for the same decisions."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from review_table import HOSTILE, cleaned

from pipeline.cleaning import review_figures, review_rows
from pipeline.cleaning.decide import clean
from pipeline.cleaning.overrides import read_overrides
from pipeline.cleaning.review import make, override_line, write_review
from pipeline.cleaning.verdicts import REASONS, counts
from pipeline.params import DedupeParams


@pytest.fixture(scope="module")
def found():
    return cleaned(900)


def data_of(html: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', html, re.S)[1])


def test_the_same_decisions_give_the_same_bytes(found):
    again = make(dataclasses.replace(found, table=found.table.copy()))
    assert again == make(found)
    assert make(found, inline=0).files == make(found, inline=0).files != {}


def test_the_counts_on_the_page_add_up(found):
    html = make(found).html
    shown = re.findall(r"<b>([\d,]+)</b> (\w[\w ]*)</(?:a|span)>", html)
    numbers = {name.replace(" ", "_"): int(count.replace(",", "")) for count, name in shown}
    expected = counts(found.table)
    assert {name: expected[f"reason_{name}"] for name in REASONS} | {"files": 900} == numbers
    assert sum(numbers[name] for name in REASONS) == 900


def test_nothing_in_it_ends_a_script_or_leads_outside(found):
    html = make(found).html
    data = re.search(r'id="data">(.*?)</script>', html, re.S)[1]
    assert "<" not in data and len(data_of(html)["rows"]) == len(found.table)
    assert "gone &lt;b&gt;.jpg" in html and "<b>.jpg" not in html
    outside = set(re.findall(r"""[\w-]+://[^\s"'<]*""", html))
    assert outside == {"http://www.w3.org/2000/svg"}  # a name, never asked for
    assert "{{ 7 * 7 }}{% raw %}.jpg" in html


def test_the_policy_lets_in_just_this_style_and_this_script(found):
    html = make(found).html
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    for kind, text in (
        ("style", re.search(r"<style>(.*?)</style>", html, re.S)[1]),
        ("script", re.search(r"<script>(.*?)</script>", html, re.S)[1]),
    ):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy and "default-src 'none'" in policy
    assert not re.search(r"\s(on\w+|style)=", html[: html.index('id="data"')])


def test_every_picture_shown_has_its_thumbnail_once(found):
    page = make(found, inline=0)
    data = data_of(page.html)
    thumbs = []
    for name, size in data["chunks"]:
        some = json.loads(re.fullmatch(r"thumbs\((.*)\)\n", page.files[name])[1])
        assert len(some) == size <= 100
        thumbs += some
    assert len(page.files) == len(data["chunks"])
    has = found.measured["thumb"]
    for row, (path, sha) in zip(data["rows"], found.table[["path", "sha256"]].values, strict=True):
        assert row[0] == path
        held = base64.b64decode(thumbs[row[7]]) if row[7] >= 0 else b""
        assert held == has[sha], path
    inside = re.findall(r'data-thumbs="\d+">(.*?)</script>', make(found, inline=10**9).html)
    assert [thumb for some in inside for thumb in json.loads(some)] == thumbs


def test_more_of_one_breed_leaves_most_files_as_they_are(found):
    less = found.table[found.table["path"] != "breed_119/00899.jpg"]
    assert len(less) == len(found.table) - 1
    before, after = (
        set(make(dataclasses.replace(found, table=table), inline=0).files)
        for table in (less, found.table)
    )
    assert len(before - after) <= 1 and len(before & after) > 5


def test_files_beside_the_page_are_those_it_asks_for(found, tmp_path: Path):
    page = make(found, inline=0)
    (tmp_path / "review").mkdir()
    (tmp_path / "review/0123456789abcdef.js").write_text("of an earlier run")
    write_review(found, tmp_path / "review.html", inline=0)
    names = {f"review/{file.name}" for file in (tmp_path / "review").iterdir()}
    assert names == set(page.files)
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "review").iterdir()}
    write_review(found, tmp_path / "review.html", inline=0)
    assert {file: file.stat().st_mtime_ns for file in times} == times


def test_lines_for_overrides_survive_their_own_reader(tmp_path: Path):
    path = tmp_path / "overrides.csv"
    sha = "0123456789abcdef" * 4
    odd = ["#1.jpg", "data/raw/x.jpg", "data/clean/x.jpg", "plain.jpg", "breed/a,b.jpg", *HOSTILE]
    lines = [override_line(name, True, sha) for name in odd]
    path.write_text("item,decision,why\n" + "".join(f"{line}\n" for line in lines), "utf-8")
    read = read_overrides(path)
    named = [sha[:16] if name in odd[:3] or name != name.strip() else name for name in odd]
    assert [line.item for line in read] == named
    assert all(line.keep for line in read)


def test_pairs_that_were_refused_are_all_there(pictures, tmp_path: Path):
    """Against every pair compared one by one."""
    from pipeline.cleaning.hashing import phash
    from pipeline.cleaning.measure import unpack_greys

    for seed in range(3):
        photo = pictures.photo(seed)
        pictures.save(tmp_path / f"a/{seed}.jpg", photo)
        pictures.save(tmp_path / f"a/{seed} small.jpg", photo.resize((160, 120)))
    params = DedupeParams(workers=1, near_distance=0, loose_distance=20, correlation=1.0)
    result = clean(tmp_path, params)
    near = review_figures.refused(result)
    codes = phash(unpack_greys(result.measured["greys"]).whole)
    taken = set(zip(result.pairs.i.tolist(), result.pairs.j.tolist(), strict=True))
    expected = {
        (i, j): int(codes[i] ^ codes[j]).bit_count()
        for i in range(len(codes))
        for j in range(i + 1, len(codes))
        if int(codes[i] ^ codes[j]).bit_count() <= 22 and (i, j) not in taken
    }
    got = zip(near.i.tolist(), near.j.tolist(), near.distance.tolist(), strict=True)
    assert {(min(i, j), max(i, j)): bits for i, j, bits in got} == expected
    kept = review_figures.likest(near, result.table, result.measured)
    assert [note for *_, note in kept] == sorted(
        (note for *_, note in kept), key=lambda note: -float(note.split()[-1])
    )


def test_histograms_count_every_pair_and_mark_the_thresholds(found):
    near = review_figures.Near(
        np.array([0, 1]), np.array([2, 3]), np.array([8, 12]), np.array([0.8, 0.2])
    )
    bits, alike = review_figures.histograms(found, near)
    for chart in (bits, alike):
        numbers = [re.findall(r": ([\d,]+) taken for the same, ([\d,]+) not", b.words)[0]
                   for b in chart.bars]  # fmt: skip
        assert sum(int(a) for a, _ in numbers) == len(found.pairs)
        assert sum(int(b) for _, b in numbers) == 2
        assert max(b.taken + b.refused for b in chart.bars) == pytest.approx(180, abs=0.2)
        assert all(b.x >= 0 and b.x + b.width <= 600.1 for b in chart.bars)
    assert [text for _, text in bits.lines] == ["near 6", "loose 10"]
    # 6 bits are within, 8 are not: the line stands between, on an axis from -0.5 to 12.5.
    assert bits.lines[0][0] == pytest.approx(600 * 7 / 13, abs=0.1)
    nothing = dataclasses.replace(found, pairs=found.pairs.among(np.zeros(0, np.int64)))
    assert review_figures.histograms(nothing, review_figures.NONE) == []


def test_every_knob_that_decides_is_in_the_table(found):
    rows = {row.name: row for row in review_figures.thresholds(found)}
    knobs = {f"dedupe.{knob.name}" for knob in dataclasses.fields(DedupeParams)}
    undecided = {"dedupe.executor", "dedupe.scheduler", "dedupe.workers", "dedupe.quality"}
    qualities = {f"dedupe.quality.{name}" for name in ("blank", "dark", "blurred", "text")}
    assert set(rows) == knobs - undecided | qualities
    for name in ("near_distance", "loose_distance", "correlation"):
        assert rows[f"dedupe.{name}"].candidates and rows[f"dedupe.{name}"].after
    assert "97.0%" in rows["dedupe.collage_alarms"].meaning


def test_the_page_shows_every_dropped_file_of_a_folder(pictures, tmp_path: Path):
    photo = pictures.photo(1)
    pictures.save(tmp_path / "boxer/<script>alert(1)<_script>\"'.jpg", photo)
    pictures.save(tmp_path / "beagle/copy.jpg", photo.resize((200, 150)))
    (tmp_path / "beagle/page.jpg").write_text("<html>404</html>")
    result = clean(tmp_path, DedupeParams(workers=1))
    page = make(result)
    data = data_of(page.html)
    assert "<script>alert" not in page.html and page.files == {}
    assert [item for item, _ in data["sections"]["conflicts"]] == [
        [k for k in np.lexsort((~result.table["keep"],)) if result.table.at[k, "cluster"] >= 0]
    ]
    parts = [review_rows.Section(name, "", items) for name, items in data["sections"].items()]
    shown = {k for part in parts if part.name != "browse" for k in part.rows()}
    assert set(result.table.index[~result.table["keep"]]) <= shown
