"""Rectangles and turned prints are seen where they were put; doors and lone edges say less."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipeline.cleaning import cells, outlines, seams, segments


def hits(*sides: tuple[slice, int], shape=(384, 383), noise=0.1, seed=0) -> np.ndarray:
    """A map with hits along given parts of given columns, and here and there elsewhere."""
    found = np.random.default_rng(seed).random(shape) < noise
    for rows, column in sides:
        found[rows, column] = True
    return found


def framed(top: int, low: int, left: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """The maps of a rectangle between points; sides at the picture's edge are none."""
    rows, columns = slice(top + 1, low + 1), slice(left + 1, end + 1)
    upright = [(rows, x) for x in (left, end) if 0 <= x < 383]
    level = [(columns, y) for y in (top, low) if 0 <= y < 383]
    return hits(*upright), hits(*level, seed=1).T


KINDS = {2: slice(0, 6), 3: slice(6, 12), 4: slice(12, 18), 5: slice(18, 24)}


@pytest.mark.parametrize(
    ("box", "sides"),
    [
        ((-1, 99, -1, 149), 2),
        ((250, 383, 240, 383), 2),
        ((260, 383, -1, 120), 2),
        ((-1, 120, 100, 250), 3),
        ((90, 200, 270, 383), 3),
        ((20, 150, 30, 200), 4),
        ((40, 150, 60, 200), 5),
        ((222, 370, 201, 371), 4),
    ],
)
def test_a_rectangle_is_found_with_the_sides_it_has(box, sides):
    found = np.array(outlines.rectangles(*framed(*box)))
    score, weakest, mean, past, short, long = found[KINDS[sides]]
    assert weakest == mean == 1 and past < 0.35 and score > 1.3
    tall, wide = (box[1] - box[0]) / 384, (box[3] - box[2]) / 384
    assert short == pytest.approx(min(tall, wide), abs=0.01)
    assert long == pytest.approx(max(tall, wide), abs=0.01)
    turned = outlines.rectangles(*(part.T for part in reversed(framed(*box))))
    assert np.allclose(np.array(turned)[KINDS[sides]], found[KINDS[sides]], atol=1e-6)


def test_lines_that_cross_or_a_side_that_is_missing_are_no_rectangle():
    whole = outlines.rectangles(*framed(100, 220, 100, 250))[18]
    everywhere = slice(None)
    crossing = outlines.rectangles(
        hits((everywhere, 100), (everywhere, 250)), hits((everywhere, 100), (everywhere, 220)).T
    )
    upright, level = framed(100, 220, 100, 250)
    level[220] = hits(shape=(384, 384))[220]
    open_below = outlines.rectangles(upright, level)
    assert crossing[18] < whole - 0.3
    assert open_below[19] < 0.5 and open_below[18] < whole - 0.4
    assert outlines.rectangles(hits(noise=0), hits(noise=0).T)[0::6] == pytest.approx([0, 0, 0, 0])


def test_an_inset_is_seen_in_a_picture(pictures):
    plain, pasted = [], []
    for seed in range(6):
        photo = pictures.photo(seed, (640, 480))
        plain.append(seams.evidence(photo)[0].features)
        photo.paste(pictures.photo(seed + 100, (200, 150)), (420, 20))
        pasted.append(seams.evidence(photo)[0].features)
    best = [np.stack(some)[:, FREE] for some in (plain, pasted)]
    assert np.median(best[1]) > np.median(best[0]) + 0.3


FIRST = 2 * seams.AXIS + 4 + 2 * seams.MORE
FREE = FIRST + 12  # the score of the best rectangle with four sides, close to a corner
TURNED = FIRST + outlines.COUNT


def drawn(angle: float, size: tuple[int, int] = (160, 110)) -> np.ndarray:
    """A bright print on a dark ground, turned about the middle of the picture (degrees)."""
    card = Image.new("L", (3 * size[0], 3 * size[1]), 255)
    mask = card.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    sheet = Image.new("L", (3 * 288, 3 * 240), 60)
    sheet.paste(210, ((sheet.width - mask.width) // 2, (sheet.height - mask.height) // 2), mask)
    return np.asarray(sheet.resize((288, 240), Image.Resampling.BOX), np.float32)


@pytest.mark.parametrize("angle", [-24, -9, 4, 17, 40])
def test_the_edges_of_a_turned_print_are_its_sides(angle):
    found = segments.join(segments.segments(drawn(angle)))
    longest = found.take(np.argsort(-found.length)[:4])
    expected = np.sort([160, 160, 110, 110])
    assert np.allclose(np.sort(longest.length), expected, atol=8)
    # Picture rows run down: a print turned by `angle` has its long sides at -angle.
    off = np.abs(np.sin(longest.angle - np.radians(-angle)))[np.argsort(longest.length)]
    assert np.allclose(off, [1, 1, 0, 0], atol=0.03)
    numbers = segments.prints(Image.fromarray(drawn(angle).astype(np.uint8)), (288, 240))
    closed = numbers[12]  # a line with a right angle at both ends
    assert closed == pytest.approx(110 / 240, abs=0.05)


def test_an_upright_print_is_no_turned_one_and_a_disc_has_no_sides():
    upright = segments.prints(Image.fromarray(drawn(0).astype(np.uint8)), (288, 240))
    assert upright[:9] == [0.0] * 9 and upright[9] > 0.4
    disc = Image.new("L", (288, 240), 60)
    ImageDraw.Draw(disc).ellipse((60, 40, 220, 200), fill=210)
    numbers = segments.prints(disc, (288, 240))
    assert max(numbers[6:9]) == 0 and numbers[12] == 0


def test_pieces_of_one_line_are_joined():
    grey = np.full((200, 288), 60, np.float32)
    grey[100:, 20:120] = 200
    grey[100:, 140:260] = 200
    grey[110:, 120:140] = 200
    joined = segments.join(segments.segments(grey))
    assert joined.length.max() == pytest.approx(240, abs=6)


def test_nothing_to_see_gives_nothing():
    assert segments.prints(Image.new("L", (384, 384), 90), (640, 480)) == [0.0] * segments.COUNT


def test_prints_are_seen_at_any_shape_of_the_picture(pictures):
    scores = {}
    for size in ((900, 500), (500, 900)):
        sheet = Image.new("RGB", size, (90, 70, 60))
        for place in ((60, 60), (250, 200)):
            card = pictures.photo(place[0], (220, 160)).convert("RGBA")
            card = card.rotate(14, Image.Resampling.BICUBIC, expand=True)
            sheet.paste(card, place, card)
        scores[size] = seams.evidence(sheet)[0].features[TURNED + 8]  # right angles, sum
    assert min(scores.values()) > 0.5


def test_a_rank_does_not_ask_how_large_a_step_is():
    rng = np.random.default_rng(0)
    step = rng.integers(0, 40, (240, 100)).astype(np.uint8)
    step[:, 50] = 60
    rank = cells.ranks(step)
    assert (rank[:, 50] == 1).all() and abs(rank.mean() - 0.5) < 0.01
    assert np.array_equal(cells.ranks(step * 3), rank)
    assert (cells.ranks(np.zeros((10, 40), np.uint8)) == 0.5).all()


def test_what_goes_on_in_one_place_is_seen_there():
    rng = np.random.default_rng(0)
    left, right = rng.normal(128, 40, (2, 240, 1))
    left, right = (np.repeat(np.round(side), 50, axis=1) for side in (left, right))
    grey = np.concatenate([left, right], axis=1)
    grey[100:120, 50:] = grey[100:120, :50]  # the sixth of twelve bands
    likeness = cells.goes_on(np.stack([grey] * 3).clip(0, 255).astype(np.uint8), 49, 12)
    assert likeness.argmax() == 5 and likeness[5] > 0.8
    assert np.abs(np.delete(likeness, 5)).max() < 0.7
