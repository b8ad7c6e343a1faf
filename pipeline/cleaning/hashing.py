"""Perceptual hashes of many pictures at once, bit for bit those of ``imagehash.phash``.

pHash: the 8x8 lowest frequencies of the two-dimensional DCT-II of a 32x32 grey picture; a bit is
set where a coefficient exceeds the median of the 64 (the DC term among them). So 32 bits are set in
every picture that is not flat, and every distance between two of them is even.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import dct

SIDE = 32  # grey pictures are SIDE x SIDE
BITS = 8  # BITS x BITS frequencies are kept

# Mirroring a picture turns the sign of its odd horizontal frequencies and changes nothing else.
_MIRROR = (-1.0) ** np.arange(BITS)[None, :]
_WEIGHTS = (1 << np.arange(63, -1, -1, dtype=np.uint64)).astype(np.uint64)


def coefficients(grey: np.ndarray) -> np.ndarray:
    """Low DCT coefficients, N x 8 x 8 (row: vertical frequency), of N x 32 x 32 grey pictures.

    The same transform as imagehash calls: in a symmetric drawing half the coefficients are zero,
    and another order of summing would leave rounding noise there, which the median turns to bits.
    """
    values = np.asarray(grey, dtype=np.float64)
    return dct(dct(values, axis=1)[:, :BITS], axis=2)[:, :, :BITS]


def codes(low: np.ndarray) -> np.ndarray:
    """uint64 hashes (N) of coefficients (N x 8 x 8): most significant bit first, row by row."""
    flat = low.reshape(len(low), BITS * BITS)
    bits = flat > np.median(flat, axis=1, keepdims=True)
    return (bits.astype(np.uint64) * _WEIGHTS).sum(axis=1, dtype=np.uint64)


def phash(grey: np.ndarray) -> np.ndarray:
    """uint64 pHashes (N) of N x 32 x 32 grey pictures (Lanczos-shrunk, uint8)."""
    return codes(coefficients(grey))


def mirrored(low: np.ndarray) -> np.ndarray:
    """Coefficients of the same pictures seen in a mirror."""
    return low * _MIRROR


def to_hex(code: int | np.uint64) -> str:
    """16 hex digits, as ``str(imagehash.phash(...))``."""
    return f"{int(code):016x}"
