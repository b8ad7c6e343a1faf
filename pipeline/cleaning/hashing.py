"""Perceptual hashes of many pictures at once, bit for bit those of ``imagehash.phash``.

pHash: the 8x8 lowest frequencies of the two-dimensional DCT-II of a 32x32 grey picture; a bit is
set where a coefficient exceeds the median of the 64 (the DC term among them). So 32 bits are set in
every picture that is not flat, and every distance between two of them is even.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.fft import dct

SIDE = 32  # grey pictures are SIDE x SIDE
MIDDLE = 64  # the grey picture that parts are taken from is MIDDLE x MIDDLE
BITS = 8  # BITS x BITS frequencies are kept

# Mirroring a picture turns the sign of its odd horizontal frequencies and changes nothing else.
_MIRROR = (-1.0) ** np.arange(BITS)[None, :]
_BATCH = 256  # pictures at once: their floats stay near the processor


def coefficients(grey: np.ndarray) -> np.ndarray:
    """Low DCT coefficients, N x 8 x 8 (row: vertical frequency), of N x 32 x 32 grey pictures.

    The same transform as imagehash calls: in a symmetric drawing half the coefficients are zero,
    and another order of summing would leave rounding noise there, which the median turns to bits.
    """
    low = np.empty((len(grey), BITS, BITS))
    for start in range(0, len(grey), _BATCH):
        values = np.asarray(grey[start : start + _BATCH], dtype=np.float64)
        low[start : start + _BATCH] = dct(dct(values, axis=1)[:, :BITS], axis=2)[:, :, :BITS]
    return low


def codes(low: np.ndarray) -> np.ndarray:
    """uint64 hashes (N) of coefficients (N x 8 x 8): most significant bit first, row by row."""
    flat = low.reshape(len(low), BITS * BITS)
    ordered = np.sort(flat, axis=1)
    # The median, without numpy's care for what is not a number.
    bits = flat > ordered[:, 31:33].mean(axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)


def phash(grey: np.ndarray) -> np.ndarray:
    """uint64 pHashes (N) of N x 32 x 32 grey pictures (Lanczos-shrunk, uint8)."""
    return codes(coefficients(grey))


@dataclass(frozen=True)
class Window:
    """A part of a picture: its corner and its sides, as shares of the whole."""

    left: float
    top: float
    side: float
    name: str


def _windows() -> tuple[Window, ...]:
    """The parts that copies are looked for in: the centre with 5, 10 and 15 % cut off, the corners
    with 5 %, and 3 x 3 places with 10 %. So a crop of up to 12 % lies near one of them, wherever it
    was made: between two, the hash differs in about as many bits as a JPEG of low quality."""
    places = [(0.5, 0.5, 5), (0.5, 0.5, 10), (0.5, 0.5, 15)]
    places += [(x, y, 5) for y in (0.0, 1.0) for x in (0.0, 1.0)]
    places += [(x, y, 10) for y in (0, 0.5, 1) for x in (0, 0.5, 1) if (x, y) != (0.5, 0.5)]
    return tuple(
        Window(x * cut / 100, y * cut / 100, 1 - cut / 100, f"crop{cut}") for x, y, cut in places
    )


WINDOWS = _windows()


def weights(start: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Matrices (M x 32 x 64) that shrink the stretch from ``start`` over ``size`` (shares of the
    whole, one each of M) of 64 pixels to 32: a triangle as wide as a step on either side, so that
    nothing is skipped (as Pillow's bilinear resize does)."""
    step = MIDDLE * np.asarray(size, np.float32)[:, None] / SIDE
    corner = MIDDLE * np.asarray(start, np.float32)[:, None]
    centre = corner + (np.arange(SIDE, dtype=np.float32) + 0.5) * step
    pixel = np.arange(MIDDLE, dtype=np.float32) + 0.5
    away = np.abs(pixel - centre[:, :, None]) / np.maximum(step, 1)[:, :, None]
    matrix = np.maximum(1 - away, 0)
    return matrix / matrix.sum(axis=2, keepdims=True)


def part(middles: np.ndarray, window: Window) -> np.ndarray:
    """That part of N x 64 x 64 pictures as N x 32 x 32, float32."""
    across = weights(np.array([window.left]), np.array([window.side]))[0]
    down = weights(np.array([window.top]), np.array([window.side]))[0]
    return down @ middles.astype(np.float32) @ across.T


@cache
def _frequencies() -> np.ndarray:
    return np.asarray(dct(np.eye(SIDE), axis=0)[:BITS], np.float32)


def part_coefficients(middles: np.ndarray, window: Window) -> np.ndarray:
    """Low DCT coefficients of that part: shrinking and transforming are both linear, so the two
    small products of their matrices give them at once."""
    across = weights(np.array([window.left]), np.array([window.side]))[0]
    down = weights(np.array([window.top]), np.array([window.side]))[0]
    low = _frequencies()
    left, right = low @ down, (low @ across).T
    found = np.empty((len(middles), BITS, BITS), np.float32)
    for start in range(0, len(middles), _BATCH):
        some = middles[start : start + _BATCH].astype(np.float32)
        found[start : start + _BATCH] = left @ some @ right
    return found


def mirrored(low: np.ndarray) -> np.ndarray:
    """Coefficients of the same pictures seen in a mirror."""
    return low * _MIRROR


def to_hex(code: int | np.uint64) -> str:
    """16 hex digits, as ``str(imagehash.phash(...))``."""
    return f"{int(code):016x}"
