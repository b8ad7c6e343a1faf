"""Distances between two sets of pictures that need no feature network.

All three follow one recipe. Every picture becomes a bag of descriptors (``Bag``: N pictures × K
descriptors × D numbers); each of the D columns is a 1-D distribution; the distance is the mean
over the columns of the squared 2-Wasserstein distance, which in 1-D is exact and costs a sort.
They differ in the descriptor only:

- ``swd``: patches of a Laplacian pyramid, projected on random directions: edges, texture, shape
  (Karras et al., "Progressive Growing of GANs", ICLR 2018, section 5);
- ``spectrum``: power at each spatial frequency, in decibels: blur, noise, checkerboards
  (the azimuthal average of Durall et al., "Watch your Up-Convolution", CVPR 2020);
- ``colour``: coarse pixels in opponent axes, projected likewise: palette, light, contrast
  (sliced Wasserstein: Rabin et al., SSVM 2011).

A distance between two finite samples is never zero, even when both come from the same source: its
excess falls as 1/n. So that values at different n can be compared, ``debiased`` removes the 1/n
term; the result scatters around zero for equal sources and can be slightly negative.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

Bag = np.ndarray
"""float32 N×K×D: K descriptors of D numbers for each of N pictures."""

PATCH = 7
DIRECTIONS = 128
COARSEST = 16
# Patches a level and set, about: four times as many cost three times the time and were measured to
# leave the scatter as it is, for that comes from the number of pictures.
DESCRIPTORS = 8_192
SPLITS = 3
MOST = 16_384  # pictures a side; the scatter comes from the smaller side, time from the larger


def distances(fake: np.ndarray, real: np.ndarray, seed: int = 0) -> dict[str, float]:
    """``swd``, ``spectrum`` and ``colour`` between two sets, 0 for equal sources, lower is better.

    Args:
        fake, real: uint8 N×S×S×3 and M×S×S×3. ``real`` also sets the scale of the patches.
        seed: of the random patches, directions and splits: equal seeds give equal values.
    """
    return {name: function(fake, real, seed) for name, function in DISTANCES.items()}


def swd(fake: np.ndarray, real: np.ndarray, seed: int = 0) -> float:
    """Squared sliced Wasserstein distance of Laplacian-pyramid patches, mean over the levels.

    Karras et al. 2018, section 5, with two changes: both sets are scaled by the statistics of
    ``real`` (scaling each by its own hides a loss of contrast), and the 1/n bias is removed. Unit:
    variance of a level of ``real``, so 0.1 is a tenth of the spread that real patches have.
    """
    fake, real = some(fake, seed), some(real, seed)
    levels = []
    for fake_patches, real_patches in zip(patches(fake, seed), patches(real, seed), strict=True):
        mean = real_patches.mean(axis=(0, 1, 2))
        std = real_patches.std(axis=(0, 1, 2)) + 1e-6
        directions = random_directions(PATCH * PATCH * 3, DIRECTIONS, seed)
        bags = [
            ((bag - mean) / std).reshape(*bag.shape[:2], -1) @ directions
            for bag in (fake_patches, real_patches)
        ]
        levels.append(debiased(bags[0], bags[1], seed))
    return float(np.mean(levels))


def spectrum(fake: np.ndarray, real: np.ndarray, seed: int = 0) -> float:
    """Squared Wasserstein distance of the radial power spectra, in squared decibels."""
    return debiased(radial_power(some(fake, seed)), radial_power(some(real, seed)), seed)


def colour(fake: np.ndarray, real: np.ndarray, seed: int = 0) -> float:
    """Squared sliced Wasserstein distance of coarse colours, × 1000.

    Unit before the factor: squared intensity, where black to white is 1.
    """
    directions = random_directions(3, 32, seed)
    sides = some(fake, seed), some(real, seed)
    fake_bag, real_bag = (opponent_pixels(images, seed) @ directions for images in sides)
    return 1000 * debiased(fake_bag, real_bag, seed)


DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray, int], float]] = {
    "swd": swd,
    "spectrum": spectrum,
    "colour": colour,
}


def some(images: np.ndarray, seed: int) -> np.ndarray:
    """At most MOST of the pictures, at random by ``seed``, in their order."""
    if len(images) <= MOST:
        return images
    return images[np.sort(np.random.default_rng(seed).permutation(len(images))[:MOST])]


# --------------------------------------------------------------------------- one dimension


def wasserstein(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared 2-Wasserstein distance of the columns of ``a`` (N×D) and ``b`` (M×D), exactly.

    In 1-D it is the integral over q of (F_a⁻¹(q) - F_b⁻¹(q))²: both quantile functions are steps,
    so the integral is a sum over the merged steps. N and M may differ. Returns D numbers.
    """
    n, m = len(a), len(b)
    a, b = (np.sort(np.ascontiguousarray(x.T), axis=1) for x in (a, b))  # D×N: rows sort fast
    if n == m:
        return np.square(a - b).mean(axis=1, dtype=np.float64)
    # Steps lie at i/n and j/m; times n·m they are integers, so no step is lost to rounding.
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    widths = np.diff(ends, prepend=0) / (n * m)
    gaps = a[:, (ends - 1) // m] - b[:, (ends - 1) // n]
    return np.square(gaps, dtype=np.float64) @ widths


def debiased(fake: Bag, real: Bag, seed: int = 0) -> float:
    """Mean over the columns of ``wasserstein``, with the bias of finite samples removed.

    The bias is c/n to first order, so with halves it is 2c/n: twice the distance of the whole sets
    minus that of halves cancels it (Richardson's step; for FID the same is done by Chong and
    Forsyth, "Effectively Unbiased FID", CVPR 2020). Halves are taken by picture: the descriptors
    of one picture are not independent. Equal arrays give exactly 0.
    """
    whole = _bag_distance(fake, real)
    if min(len(fake), len(real)) < 4:
        return whole
    halves = []
    for split in range(SPLITS):
        fake_halves = _halves(fake, (seed, split))
        real_halves = _halves(real, (seed, split))
        halves += [_bag_distance(f, r) for f, r in zip(fake_halves, real_halves, strict=True)]
    return float(2 * whole - np.mean(halves))


def _bag_distance(fake: Bag, real: Bag) -> float:
    width = fake.shape[-1]
    return float(wasserstein(fake.reshape(-1, width), real.reshape(-1, width)).mean())


def _halves(bag: Bag, seed: tuple[int, int]) -> tuple[Bag, Bag]:
    order = np.random.default_rng(seed).permutation(len(bag))
    middle = len(bag) // 2
    return bag[order[:middle]], bag[order[middle:]]


# --------------------------------------------------------------------------- descriptors


def patches(images: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    """Random 7×7 patches of each level of the Laplacian pyramid, finest first.

    Levels halve from S down to 16; all but the last hold what the next coarser one cannot say.

    Args:
        images: uint8 N×S×S×3.

    Returns:
        For each level float32 N×K×7×7×3 with values in [-1, 1] (differences in [-2, 2]).
    """
    per_image = int(np.clip(DESCRIPTORS // len(images), 8, 128))
    levels: list[list[np.ndarray]] = []
    for start in range(0, len(images), 256):
        pyramid = laplacian_pyramid(images[start : start + 256])
        levels = levels or [[] for _ in pyramid]
        for depth, level in enumerate(pyramid):
            levels[depth].append(_cut(level, per_image, (seed, start, depth)))
    return [np.concatenate(level) for level in levels]


def laplacian_pyramid(images: np.ndarray) -> list[np.ndarray]:
    """Laplacian pyramid (Burt and Adelson 1983) of uint8 N×S×S×3: float32 N×s×s×3, finest first."""
    level = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    pyramid = []
    while level.shape[-1] % 2 == 0 and level.shape[-1] >= 2 * COARSEST:
        coarser = _blur(level)[:, :, ::2, ::2]
        pyramid.append(level - _expand(coarser))
        level = coarser
    pyramid.append(level)
    return [level.permute(0, 2, 3, 1).contiguous().numpy() for level in pyramid]


def _blur(images: torch.Tensor, gain: float = 1.0) -> torch.Tensor:
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    channels = images.shape[1]
    kernel = (gain * torch.outer(row, row)).expand(channels, 1, 5, 5)
    return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), kernel, groups=channels)


def _expand(images: torch.Tensor) -> torch.Tensor:
    n, channels, height, width = images.shape
    spread = images.new_zeros(n, channels, 2 * height, 2 * width)
    spread[:, :, ::2, ::2] = images
    return _blur(spread, gain=4.0)  # three of four pixels are empty


def _cut(images: np.ndarray, per_image: int, seed: tuple[int, int, int]) -> np.ndarray:
    n, side = images.shape[:2]
    rng = np.random.default_rng(seed)
    y, x = rng.integers(0, side - PATCH + 1, (2, n, per_image, 1, 1))
    rows = np.arange(PATCH)
    return images[np.arange(n)[:, None, None, None], y + rows[:, None], x + rows]


def radial_power(images: np.ndarray) -> Bag:
    """Power of the brightness at each whole spatial frequency, in decibels: N×1×(S/2 - 1).

    A Hann window keeps the picture's borders out of the high frequencies. Power below the
    rounding noise of 8 bits says nothing and is cut off there.
    """
    parts = [_ring_power(images[start : start + 512]) for start in range(0, len(images), 512)]
    rounding = 1 / 255**2 / 12
    return (10 * np.log10(np.concatenate(parts) + rounding)).astype(np.float32)[:, None, :]


def _ring_power(images: np.ndarray) -> np.ndarray:
    """Mean power of the windowed brightness in each ring of frequencies: N×(S/2 - 1)."""
    side = images.shape[1]
    grey = images @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    window = np.outer(np.hanning(side), np.hanning(side)).astype(np.float32)
    grey -= grey.mean(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.rfft2(grey * window)) ** 2 / np.square(window).sum()
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]) * side
    ring = np.rint(radius).astype(int).ravel()
    inside = (ring >= 1) & (ring < side // 2)
    members = np.eye(side // 2)[ring[inside]][:, 1:]
    return power.reshape(len(images), -1)[:, inside] @ (members / members.sum(axis=0))


def opponent_pixels(images: np.ndarray, seed: int = 0) -> Bag:
    """Random pixels of the 16×16 picture as lightness, red-green and blue-yellow: N×K×3."""
    n, side = images.shape[:2]
    small = shrink(images, min(COARSEST, side)).reshape(n, -1, 3) / 255
    red, green, blue = small[..., 0], small[..., 1], small[..., 2]
    axes = np.stack(
        [(red + green + blue) / 3, (red - green) / 2, (red + green) / 4 - blue / 2], axis=-1
    )
    per_image = int(np.clip(4 * DESCRIPTORS // n, 8, axes.shape[1]))
    chosen = np.random.default_rng(seed).permuted(
        np.broadcast_to(np.arange(axes.shape[1]), axes.shape[:2]), axis=1
    )[:, :per_image]
    return np.take_along_axis(axes, chosen[..., None], axis=1).astype(np.float32)


def shrink(images: np.ndarray, side: int) -> np.ndarray:
    """Area average of uint8 N×S×S×3 down to at most ``side``: float32 N×s×s×3 in [0, 255].

    By a whole factor, so that no pixel counts twice: s is the least S/factor not below ``side``.
    """
    factor = max(1, images.shape[1] // side)
    rest = images.shape[1] // factor
    cut = images[:, : rest * factor, : rest * factor]
    boxes = cut.reshape(len(images), rest, factor, rest, factor, 3)
    return boxes.mean(axis=(2, 4), dtype=np.float32)


def random_directions(dimensions: int, count: int, seed: int) -> np.ndarray:
    """``count`` random unit vectors as the columns of a float32 matrix."""
    vectors = np.random.default_rng(seed).standard_normal((dimensions, count))
    return (vectors / np.linalg.norm(vectors, axis=0)).astype(np.float32)
