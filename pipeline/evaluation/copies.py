"""Are the samples copies? The nearest training picture of each, by perceptual hash and by pixels.

Two measures, because each is blind somewhere: pHash forgives recompression and light but sees
only the coarse layout; pixels see everything but are fooled by a shift. Both also look at the
mirrored picture, for training mirrors half of what it shows. Neither is trusted without the same
figure for held-out real pictures beside it, nor without a look at the pairs themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipeline.cleaning import hashing

HASH_BITS = 6
"""A sample within this many pHash bits (of 64) of a training picture is suspect."""

RATIO = 0.5
"""A sample whose nearest training picture is at most this far, relative to the mean distance of its
50 nearest, looks like a copy (the 0.5 of Carlini et al.)."""

NEIGHBOURS = 50
_BLOCK = 512  # pictures a side of one block of the distance matrix
_TABLE = 1 << 23  # entries of a table of distances at most, once there are many known pictures


@dataclass(frozen=True)
class Nearest:
    """The nearest training picture of each of N queries."""

    index: np.ndarray  # int64 N: row of the training set
    distance: np.ndarray  # N: bits, or root mean square difference in grey levels (0-255)
    mirrored: np.ndarray  # bool N: the query's mirror image is what is near

    def pictures(self, train: np.ndarray) -> np.ndarray:
        """The nearest training pictures, turned the way their queries are: uint8 N×S×S×3."""
        found = train[self.index]
        return np.where(self.mirrored[:, None, None, None], found[:, :, ::-1], found)


@dataclass(frozen=True)
class CopyCheck:
    """What ``check_copies`` found for N queries."""

    by_hash: Nearest
    by_pixels: Nearest
    ratio: np.ndarray  # N: distance to the nearest over the mean to the k nearest, 0 to 1

    @property
    def copied(self) -> np.ndarray:
        """bool N: looks like a copy.

        Either the pixels alone say so (RATIO), or the hash does (HASH_BITS) and the pixels name the
        same training picture: in simple pictures of one layout hashes alone agree by chance.
        """
        same = self.by_hash.index == self.by_pixels.index
        return (self.ratio <= RATIO) | (same & (self.by_hash.distance <= HASH_BITS))

    @property
    def share(self) -> float:
        """Share of the queries that look like copies, 0 to 1."""
        return float(self.copied.mean())

    def worst(self, count: int) -> np.ndarray:
        """The ``count`` queries that look most like copies, worst first."""
        return np.lexsort((self.by_hash.distance, self.ratio))[:count]


def check_copies(queries: np.ndarray, train: np.ndarray) -> CopyCheck:
    """Look for each of ``queries`` (uint8 N×S×S×3) in ``train`` (uint8 M×S×S×3)."""
    by_pixels, ratio = nearest_by_pixels(queries, train)
    return CopyCheck(nearest_by_hash(queries, train), by_pixels, ratio)


def nearest_by_hash(queries: np.ndarray, train: np.ndarray) -> Nearest:
    """Nearest by Hamming distance of pHash, mirrored copies included."""
    low = hashing.coefficients(_grey(queries))
    plain, mirror = hashing.codes(low), hashing.codes(hashing.mirrored(low))
    known = hashing.phash(_grey(train))
    parts = []
    for rows in row_blocks(len(queries), len(train), _BLOCK):
        tables = (np.bitwise_count(codes[rows, None] ^ known[None]) for codes in (plain, mirror))
        index, bits, turned = least(*tables)
        parts.append((index, bits.astype(np.int64), turned))
    return Nearest(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def nearest_by_pixels(
    queries: np.ndarray, train: np.ndarray, neighbours: int = NEIGHBOURS
) -> tuple[Nearest, np.ndarray]:
    """Nearest by root mean square difference of pixels, mirrored copies included.

    Also the ratio of Carlini et al., "Extracting Training Data from Diffusion Models" (USENIX
    Security 2023), section 5.1: the distance to the nearest training picture over the mean
    distance to the ``neighbours`` nearest. An ordinary picture has many about equally near
    neighbours (ratio near 1); a copy is far nearer to one picture than to all others.

    ``neighbours`` is cut to an eighth of the training set, so that a small set has a neighbourhood
    too. Memory is bounded by blocks, not by N × M × pixels.
    """
    neighbours = min(neighbours, max(2, len(train) // 8), len(train))
    parts = []
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        index, mirrored, nearest = _least_squares(block, train, neighbours)
        # The matrix product loses the last digits, which is all a copy's distance consists of.
        turned = np.where(mirrored[:, None, None, None], block[:, :, ::-1], block)
        gap = turned.astype(np.float32) - train[index]
        distance = np.sqrt(np.square(gap).mean(axis=(1, 2, 3), dtype=np.float64))
        ratio = np.minimum(distance / np.maximum(np.sqrt(nearest).mean(axis=1), 1e-9), 1)
        parts.append((index, distance, mirrored, ratio))
    *columns, ratios = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Nearest(*columns), ratios


def _least_squares(
    block: np.ndarray, train: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each query the nearest training picture, whether mirrored, and the ``count`` least mean
    squares (float32 N×count, ascending). No table of all distances exists: each part of the
    training set is unpacked once for all queries of the block."""
    both = np.concatenate([_centred(block), _centred(block[:, :, ::-1])])
    best, mirrored = np.zeros(len(block), np.int64), np.zeros(len(block), bool)
    least_of = np.full((len(block), count), np.inf, np.float32)
    for start in range(0, len(train), _BLOCK):
        tables = np.split(_mean_squares(both, _centred(train[start : start + _BLOCK])), 2)
        index, squares, turned = least(*tables)
        nearer = squares < least_of[:, 0]
        best[nearer], mirrored[nearer] = start + index[nearer], turned[nearer]
        merged = np.concatenate([least_of, np.minimum(*tables)], axis=1)
        least_of = np.sort(np.partition(merged, count - 1, axis=1)[:, :count], axis=1)
    return best, mirrored, least_of


def nearest_few(
    query: np.ndarray, train: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ``count`` pictures of ``train`` (uint8 M×S×S×3) nearest to one (S×S×3), nearest first.

    Returns:
        Rows of ``train``; root mean square differences in grey levels (0 to 255); whether the
        query's mirror image is what is near.
    """
    plain, mirror = (_squares(one[None], train)[0] for one in (query, query[:, ::-1]))
    index = np.argsort(np.minimum(plain, mirror), kind="stable")[:count]
    mirrored = mirror[index] < plain[index]
    # As in nearest_by_pixels: the matrix product loses the digits that a copy consists of.
    turned = np.where(mirrored[:, None, None, None], query[None, :, ::-1], query[None])
    gap = turned.astype(np.float32) - train[index]
    distance = np.sqrt(np.square(gap).mean(axis=(1, 2, 3), dtype=np.float64))
    return index, distance, mirrored


def row_blocks(count: int, width: int, most: int) -> Iterator[slice]:
    """Slices over ``count`` rows, ``most`` in each, or fewer where a table of ``width`` columns
    would be large: memory must not grow with the training set."""
    step = max(1, min(most, _TABLE // max(width, 1)))
    return (slice(start, start + step) for start in range(0, count, step))


def least(plain: np.ndarray, mirror: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Column and value of the least of each row of two matrices, and whether the second has it."""
    both = np.minimum(plain, mirror)
    index = both.argmin(axis=1)
    rows = np.arange(len(both))
    return index, both[rows, index], mirror[rows, index] < plain[rows, index]


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean squared differences of uint8 pictures: float32 N×M, by blocks of matrix products."""
    flat = _centred(a)
    blocks = (b[start : start + _BLOCK] for start in range(0, len(b), _BLOCK))
    return np.concatenate([_mean_squares(flat, _centred(block)) for block in blocks], axis=1)


def _mean_squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    norms = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
    return np.maximum(norms - 2 * (a @ b.T), 0) / a.shape[1]


def _centred(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32) - 127.5


def _grey(images: np.ndarray) -> np.ndarray:
    """N×32×32 grey pictures, made as ``imagehash.phash`` makes them."""
    side = (hashing.SIDE, hashing.SIDE)
    return np.stack(
        [
            np.asarray(Image.fromarray(image).convert("L").resize(side, Image.Resampling.LANCZOS))
            for image in images
        ]
    )
