"""Joins are seen where they are; a set teaches itself what its collages look like."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageOps

from pipeline.cleaning import seams
from pipeline.cleaning.collages import LEAST, judge, rule_scores


@pytest.mark.parametrize("gutter", [0, 8])
def test_the_join_of_two_pictures_is_found_where_it_is(pictures, gutter):
    found = [seams.evidence(pictures.collage(10 * k, "2-up", gutter))[0] for k in range(8)]
    assert np.median([evidence.score for evidence in found]) > 0.8
    for evidence in found:
        if evidence.score > 0.6:
            assert evidence.seams[0].vertical
            assert abs(evidence.seams[0].position - 0.5) < 0.02


def test_a_stack_is_a_two_up_turned(pictures):
    upright = pictures.collage(0, "2-up")
    lying = upright.transpose(5)
    a, b = seams.evidence(upright)[0], seams.evidence(lying)[0]
    square = slice(0, 76)  # all but frame, aspect and contrast
    assert np.allclose(a.features[square], b.features[square], atol=0.15)
    assert not b.seams[0].vertical


def test_single_pictures_have_no_strong_join(pictures):
    scores = [seams.evidence(pictures.photo(seed))[0].score for seed in range(20)]
    assert max(scores) < 0.6


def test_small_pictures_give_no_evidence(pictures):
    small = pictures.collage(0, "2x2").resize((64, 64))
    assert seams.evidence(small)[0].score == 0
    assert not seams.evidence(small)[0].features.any()


def test_a_frame_is_measured_and_is_no_join(pictures):
    framed = ImageOps.expand(pictures.photo(1, (360, 360)), 20, "white")
    evidence, frame = seams.evidence(framed)
    assert all(abs(share - 0.05) < 0.01 for share in frame)
    assert evidence.score < 0.6


@pytest.fixture(scope="module")
def album(pictures, tmp_path_factory):
    """70 single pictures and 8 collages of others, as judge wants them."""
    folder = tmp_path_factory.mktemp("album")
    layouts = [("2-up", 0), ("stack", 0), ("2x2", 0), ("3x3", 0)]
    layouts += [("2-up", 10), ("stack", 10), ("2x2", 10), ("3x3", 10)]
    images = [pictures.photo(seed, (400, 320)) for seed in range(70)]
    images += [
        pictures.collage(1000 + 20 * k, layout, gutter)
        for k, (layout, gutter) in enumerate(layouts)
    ]
    paths = [str(pictures.save(folder / f"{k:03}.jpg", image)) for k, image in enumerate(images)]
    matrix = np.stack([seams.evidence(image)[0].features for image in images])
    return matrix, [f"{k:064x}" for k in range(len(images))], paths


def judged(album, matrix=None, **changes):
    own, shas, paths = album
    matrix = own if matrix is None else matrix
    options = {"alarms": 0.01, "max_pixels": 10**8, "workers": 2, "cache": None} | changes
    return judge(
        matrix, np.arange(len(matrix)), shas[: len(matrix)], paths[: len(matrix)], **options
    )


def test_collages_are_found_among_the_pictures_they_hide_in(album, tmp_path):
    result = judged(album, cache=tmp_path)
    assert (result.scores[70:] >= 0.5).all()
    assert (result.scores[:70] >= 0.5).sum() <= 1
    assert result.recall > 0.9 and result.alarms < 0.05
    again = judged(album, cache=tmp_path, workers=1)
    assert np.array_equal(again.scores, result.scores)
    # A damaged memory of the examples is as good as none.
    next(tmp_path.glob("collages-*.npz")).write_bytes(b"PK\x03\x04 torn")
    anew = judged(album, cache=tmp_path, workers=1)
    assert np.array_equal(anew.scores, result.scores)


def test_a_small_set_is_judged_by_the_plain_rule(album):
    matrix = album[0][-LEAST // 2 :]
    result = judged(album, matrix)
    assert np.array_equal(result.scores, rule_scores(matrix))
    assert result.recall is None
    assert (result.scores[-8:] >= 0.5).sum() >= 6


def test_without_evidence_there_is_no_collage():
    nothing = np.zeros((5, seams.COUNT), np.float32)
    assert not rule_scores(nothing).any()
