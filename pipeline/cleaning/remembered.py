"""Squares that cleaning kept when it decoded a picture, so that it need not be decoded again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.cleaning import parts
from pipeline.cleaning.measure import SQUARE
from pipeline.cleaning.shards import cache_key

_BATCH = 65_536  # squares in memory at once beside the array: 0.8 GB


def fill_squares(
    images: np.ndarray, shas: Sequence[str], cache: Path, *, max_pixels: int
) -> np.ndarray:
    """Write the squares that the cache holds into ``images``.

    Args:
        images: uint8, N x S x S x 3. Nothing is known of squares of another side than ``SQUARE``.
        shas: the sha256 of the N files.
        cache: the folder that cleaning was given, with the ``max_pixels`` that it was given.

    Returns:
        bool, N: which squares were found. They are what ``pack.square`` makes of the file.
    """
    found = np.zeros(len(images), bool)
    if images.shape[1:] != (SQUARE, SQUARE, 3):
        return found
    folder = cache / "cleaning" / cache_key(max_pixels)
    for start in range(0, len(images), _BATCH):
        some = shas[start : start + _BATCH]
        kept = parts.read(folder, some, ["square"])["square"]
        for at, data in enumerate(kept.reindex(some, fill_value=b"")):
            if len(data) == images[0].size:
                images[start + at] = np.frombuffer(data, np.uint8).reshape(images.shape[1:])
                found[start + at] = True
    return found
