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
