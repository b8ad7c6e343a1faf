from __future__ import annotations

import imagehash
import numpy as np
import pytest
from PIL import Image

from pipeline.evaluation import copies
from pipeline.evaluation.copies import check_copies, nearest_by_hash, nearest_by_pixels


def test_a_generator_that_replays_training_pictures_scores_as_copying(train):
    chosen = np.array([5, 17, 200, 17])
    check = check_copies(train.images[chosen], train.images)
    assert check.share == 1
    assert check.by_pixels.index.tolist() == chosen.tolist()
    assert check.by_pixels.distance.tolist() == [0, 0, 0, 0]
    assert check.by_hash.distance.tolist() == [0, 0, 0, 0]
    assert check.ratio.tolist() == [0, 0, 0, 0]
    assert not check.by_pixels.mirrored.any()


def test_mirrored_replays_are_found_and_shown_turned(train):
    mirror = train.images[[3, 30]][:, :, ::-1]
    check = check_copies(mirror, train.images)
    assert check.share == 1
    for found in (check.by_pixels, check.by_hash):
        assert found.index.tolist() == [3, 30]
        assert found.mirrored.all()
        assert (found.pictures(train.images) == mirror).all()


def test_noisy_and_dimmed_replays_are_still_copies(train, damage):
    replays = train.images[:40]
    assert check_copies(damage["noise"](replays, 12), train.images).share > 0.95
    assert check_copies((replays * 0.85).astype(np.uint8), train.images).share > 0.95


def test_held_out_pictures_are_no_copies(train, fresh):
    assert check_copies(fresh.images, train.images).share == 0


def test_the_share_counts_the_replays_among_fresh_ones(train, fresh):
    mixed = np.concatenate([fresh.images[:30], train.images[:10]])
    check = check_copies(mixed, train.images)
    assert check.share == pytest.approx(0.25)
    assert set(check.worst(10)) == set(range(30, 40))


def test_hash_distances_are_those_of_imagehash(train, fresh):
    found = nearest_by_hash(fresh.images[:6], train.images[:50])
    known = [imagehash.phash(Image.fromarray(image)) for image in train.images[:50]]
    for row, image in enumerate(fresh.images[:6]):
        turned = image[:, ::-1] if found.mirrored[row] else image
        code = imagehash.phash(Image.fromarray(np.ascontiguousarray(turned)))
        assert code - known[found.index[row]] == found.distance[row]
        plain = imagehash.phash(Image.fromarray(image))
        assert found.distance[row] <= min(plain - other for other in known)


def test_pixel_distances_are_those_of_a_plain_loop_in_any_block_size(train, fresh, monkeypatch):
    queries, known = fresh.images[:7].astype(float), train.images[:40].astype(float)
    both = np.stack([known, known[:, :, ::-1]])
    table = np.sqrt(((queries[:, None, None] - both) ** 2).mean(axis=(3, 4, 5)))
    expected = table.min(axis=(1, 2))
    least = np.sort(table.min(axis=1), axis=1)[:, :5].mean(axis=1)
    for block in (3, 512):
        monkeypatch.setattr(copies, "_BLOCK", block)
        found, ratio = nearest_by_pixels(fresh.images[:7], train.images[:40])
        assert found.distance == pytest.approx(expected, rel=1e-4)
        assert ratio == pytest.approx(expected / least, rel=1e-4)


def test_a_training_set_of_one_picture_has_a_nearest(train):
    check = check_copies(train.images[:2], train.images[:1])
    assert check.by_pixels.index.tolist() == [0, 0]
    assert check.ratio[0] == 0


@pytest.mark.parametrize("width", [1, 300, 10_000, 100_000])
def test_a_table_of_distances_does_not_grow_with_the_training_set(width: int):
    slices = list(copies.row_blocks(1000, width, 512))
    rows = [row for part in slices for row in range(1000)[part]]
    assert rows == list(range(1000))
    widest = max(part.stop - part.start for part in slices)
    assert widest <= 512 and widest * width <= copies._TABLE


def test_blocks_of_few_rows_find_the_same(train, fresh, monkeypatch):
    whole = check_copies(fresh.images[:20], train.images)
    monkeypatch.setattr(copies, "_TABLE", 3 * len(train.images))
    monkeypatch.setattr(copies, "_BLOCK", 7)  # what pixels are compared by, in both directions
    few = check_copies(fresh.images[:20], train.images)
    assert (few.by_hash.distance == whole.by_hash.distance).all()
    assert (few.by_hash.index == whole.by_hash.index).all()
    assert (few.by_pixels.index == whole.by_pixels.index).all()
    assert few.ratio == pytest.approx(whole.ratio, abs=1e-5)
