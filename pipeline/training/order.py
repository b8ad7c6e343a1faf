"""Data order and randomness as functions of (seed, images seen).

Nothing has to be stored to resume: the step that starts at image ``nimg`` draws the same pictures,
flips, labels, noise and dropout whether the run was interrupted before it or not. The idea of
reseeding from the image counter is EDM2's (Karras et al. 2024).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import torch
from torch import Tensor


def mixed_seed(*parts: int | str) -> int:
    """A 63-bit seed from a few values, without the correlations of adding them up."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator_at(seed: int, nimg: int) -> torch.Generator:
    """The CPU generator of the step that starts after ``nimg`` images."""
    return torch.Generator().manual_seed(mixed_seed("step", seed, nimg))


def batch_indices(seed: int, nimg: int, batch: int, count: int) -> Tensor:
    """(batch,) int64: places ``nimg`` .. ``nimg + batch - 1`` of an endless shuffled stream.

    Every epoch of ``count`` images is a new permutation, so each image is seen once an epoch also
    where a batch straddles two.
    """
    end = nimg + batch
    parts = []
    for epoch in range(nimg // count, (end - 1) // count + 1):
        first = epoch * count
        parts.append(
            _permutation(seed, epoch, count)[max(nimg - first, 0) : min(end - first, count)]
        )
    return torch.cat(parts)


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(mixed_seed("epoch", seed, epoch))
    return torch.randperm(count, generator=generator)
