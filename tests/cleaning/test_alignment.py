"""A window that lies a little beside the true one is brought there."""

from __future__ import annotations

import numpy as np
from PIL import Image

from pipeline.cleaning import alignment
from pipeline.cleaning.alignment import aligned, correlate, correlate_at
from pipeline.cleaning.duplicates import ALIGNED
from pipeline.cleaning.hashing import weights


def looks(pictures, count: int) -> np.ndarray:
    grey = [pictures.photo(k).convert("L").resize((64, 64)) for k in range(count)]
    return np.stack([*map(np.asarray, grey)])


def seen(middles: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    across, down = weights(boxes[:, 0], boxes[:, 2]), weights(boxes[:, 1], boxes[:, 3])
    return down @ middles.astype(np.float32) @ across.transpose(0, 2, 1)


def fitted(middles: np.ndarray, boxes: np.ndarray, thumbs: np.ndarray) -> np.ndarray:
    """``aligned`` of each picture and the thumbnail of its number."""
    own = np.arange(len(middles))
    return aligned(middles, own, boxes, thumbs, own, np.zeros(len(own), bool))


def test_shifted_and_stretched_windows_are_found_again(pictures):
    middles, rng = looks(pictures, 40), np.random.default_rng(0)
    sides = rng.uniform(0.86, 0.96, (40, 2))
    true = np.hstack([rng.random((40, 2)) * (1 - sides), sides])
    wanted = 40 + 0.6 * seen(middles, true)  # brightness and contrast are no matter
    start = np.hstack(
        [np.clip(true[:, :2] + rng.uniform(-0.03, 0.03, (40, 2)), 0, 0.1), np.full((40, 2), 0.9)]
    )
    before = correlate(seen(middles, start), wanted)
    after = fitted(middles, start, wanted)
    assert np.median(before) < 0.97
    assert (after > 0.995).mean() > 0.95 and (after >= before - 1e-6).all()


def test_other_pictures_cannot_be_made_to_fit(pictures):
    middles = looks(pictures, 40)
    thumbs = seen(middles, np.tile([0.05, 0.05, 0.9, 0.9], (40, 1)))
    boxes = np.tile([0.0, 0.0, 1.0, 1.0], (40, 1))
    assert fitted(middles, boxes, np.roll(thumbs, 1, axis=0)).max() < 0.9


def test_pairs_are_told_by_number_and_mirrored_ones_by_their_mark(pictures):
    middles = looks(pictures, 6)
    boxes = np.tile([0.05, 0.05, 0.9, 0.9], (6, 1))
    thumbs = seen(middles, boxes)[::-1]
    thumbs[::2] = thumbs[::2, :, ::-1]
    which, sought = np.arange(6), np.arange(6)[::-1]
    found = aligned(middles, which, boxes, thumbs, sought, sought % 2 == 0)
    assert (found > 0.999).all()


def test_those_that_can_be_made_to_fit_are_not_given_up_and_the_others_early(pictures, monkeypatch):
    middles, rng = looks(pictures, 40), np.random.default_rng(1)
    sides = rng.uniform(0.86, 0.96, (40, 2))
    true = np.hstack([rng.random((40, 2)) * (1 - sides), sides])
    start = np.hstack([np.clip(true[:, :2] + rng.uniform(-0.03, 0.03, (40, 2)), 0, 0.1), sides])
    thumbs = seen(middles, true)
    boxes, wanted = np.tile(start, (2, 1)), np.concatenate([thumbs, np.roll(thumbs, 1, axis=0)])
    steps = []
    move = alignment._move
    monkeypatch.setattr(alignment, "_move", lambda *a: steps.append(len(a[0])) or move(*a))
    quick = fitted(np.tile(middles, (2, 1, 1)), boxes, wanted)
    given_up = steps[-1]
    monkeypatch.setattr(alignment, "_HOPELESS", {})
    whole = fitted(np.tile(middles, (2, 1, 1)), boxes, wanted)
    assert ((quick >= ALIGNED) == (whole >= ALIGNED)).all()
    assert (quick[:40] == whole[:40]).all() and steps[-1] == 80 and given_up < 60


def test_a_picture_of_one_colour_is_no_trouble(pictures):
    middles = np.full((2, 64, 64), 128, np.uint8)
    thumbs = np.asarray(Image.new("L", (32, 32), 7))[None].repeat(2, axis=0)
    found = fitted(middles, np.tile([0.0, 0.0, 0.9, 0.9], (2, 1)), thumbs)
    assert np.isfinite(found).all() and (found < 0.1).all()


def test_pairs_by_number_correlate_as_the_pictures_do_however_many_are_taken_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    thumbs = rng.integers(0, 256, (30, 32, 32), dtype=np.uint8)
    i, j = rng.integers(0, 30, (2, 100))
    monkeypatch.setattr(alignment, "_PAIRS", 7)
    turned = thumbs[:, :, ::-1]
    assert (correlate_at(turned, i, thumbs, j) == correlate(turned[i], thumbs[j])).all()
    assert correlate_at(thumbs, i[:0], thumbs, j[:0]).shape == (0,)
