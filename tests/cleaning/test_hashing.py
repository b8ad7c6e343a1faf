"""The batched hash is imagehash's, bit for bit."""

from __future__ import annotations

import imagehash
import numpy as np
from PIL import Image, ImageOps

from pipeline.cleaning import hashing


def thumbnail(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS))


def hashes(images: list[Image.Image]) -> list[str]:
    return [hashing.to_hex(code) for code in hashing.phash(np.stack([*map(thumbnail, images)]))]


def test_hashes_equal_those_of_imagehash(pictures):
    images = [pictures.photo(seed) for seed in range(60)]
    assert hashes(images) == [str(imagehash.phash(image)) for image in images]


def test_hashes_equal_those_of_imagehash_where_half_the_frequencies_are_zero():
    y, x = np.mgrid[:64, :64]
    drawings = [
        np.zeros((64, 64)),
        np.full((64, 64), 255),
        np.full((64, 64), 128),
        x * 4,
        y * 4,
        x + y,
        (x // 8 + y // 8) % 2 * 255,
        np.abs(x - 32) * 4,
        ((x - 31.5) ** 2 + (y - 31.5) ** 2 < 400) * 255,
    ]
    images = [Image.fromarray(np.clip(drawing, 0, 255).astype(np.uint8)) for drawing in drawings]
    assert hashes(images) == [str(imagehash.phash(image)) for image in images]


def test_the_mirrored_hash_is_the_hash_of_the_mirrored_picture(pictures):
    thumbs = np.stack([thumbnail(pictures.photo(seed)) for seed in range(60)])
    low = hashing.mirrored(hashing.coefficients(thumbs))
    assert np.array_equal(hashing.codes(low), hashing.phash(thumbs[:, :, ::-1]))
    mirrored = thumbnail(ImageOps.mirror(pictures.photo(0)))
    assert hashing.codes(low)[0] == hashing.phash(mirrored[None])[0]


def test_half_the_bits_are_set_so_distances_are_even(pictures):
    codes = hashing.phash(np.stack([thumbnail(pictures.photo(seed)) for seed in range(60)]))
    assert (np.bitwise_count(codes) == 32).all()


def test_the_hash_of_a_part_is_that_of_the_part_cut_out(pictures):
    middles = np.stack(
        [np.asarray(pictures.photo(k).convert("L").resize((64, 64))) for k in range(30)]
    )
    for window in hashing.WINDOWS:
        cut = hashing.part(middles, window)
        direct = hashing.codes(hashing.coefficients(cut))
        quick = hashing.codes(hashing.part_coefficients(middles, window))
        assert np.bitwise_count(direct ^ quick).max() <= 2  # float32, and ties at the median
        box = [64 * v for v in (window.left, window.top)]
        box += [box[0] + 64 * window.side, box[1] + 64 * window.side]
        method = Image.Resampling.BILINEAR
        pillow = [Image.fromarray(m).resize((32, 32), method, box=box) for m in middles]
        assert np.abs(cut - np.stack([*map(np.asarray, pillow)])).max() <= 1.5


def test_windows_lie_within_the_picture():
    assert len(hashing.WINDOWS) == len(set(hashing.WINDOWS)) == 15
    for window in hashing.WINDOWS:
        assert 0 <= window.left <= window.left + window.side <= 1 + 1e-9
        assert 0 <= window.top <= window.top + window.side <= 1 + 1e-9
