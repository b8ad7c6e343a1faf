"""A small breed classifier that trains in seconds: do the samples show the asked breed?

Single-layer features after Coates, Ng and Lee, "An Analysis of Single-Layer Networks in
Unsupervised Feature Learning" (AISTATS 2011): whitened random patches of the training pictures are
the filters, their rectified responses are pooled in a coarse grid, and a ridge regression on
one-hot labels reads the breed from them. No gradient descent: the solution is closed, so equal
data gives an equal classifier.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from pipeline.evaluation.distances import shrink

SIDE = 32
MOST = 6000  # pictures to learn from: bounds time (seconds) and memory (a few hundred MB)
PATCH = 6
FILTERS = 256
STRIDE = 2
POOL = 3
RIDGE = 5.0
WHITEN = 0.1
CONTRAST = 0.01  # added to the variance of a patch: flat ones stay flat


@dataclass(frozen=True)
class BreedClassifier:
    """``fit`` it on labelled pictures, then ask for ``labels`` or ``accuracy``."""

    filters: torch.Tensor  # FILTERS × (PATCH·PATCH·3), whitening folded in
    mean: torch.Tensor  # of the features
    std: torch.Tensor
    weights: torch.Tensor  # features × classes
    offset: torch.Tensor  # classes

    @classmethod
    def fit(
        cls, images: np.ndarray, labels: np.ndarray, classes: int, seed: int = 0
    ) -> BreedClassifier:
        """Learn the breeds of uint8 ``images`` (N×S×S×3) with ``labels`` (N, below ``classes``).

        Every picture is also shown mirrored. Breeds weigh equally, however many pictures they have.
        Of more than MOST pictures a random part is used.
        """
        if len(images) > MOST:
            chosen = np.random.default_rng(seed).permutation(len(images))[:MOST]
            images, labels = images[chosen], labels[chosen]
        filters = _patch_filters(images, seed)
        both = np.concatenate([images, images[:, :, ::-1]])
        features = _features(both, filters)
        mean, std = features.mean(0), features.std(0) + 1e-6
        features = (features - mean) / std
        target = F.one_hot(torch.from_numpy(np.tile(labels, 2)).long(), classes).float()
        share = target.mean(0).clamp_min(1e-9)
        weight = (target @ (1 / (classes * share))).sqrt()[:, None]  # √: it enters squared
        offset = (target * weight**2).sum(0) / (weight**2).sum()
        weights = _ridge(features * weight, (target - offset) * weight)
        return cls(filters, mean, std, weights, offset)

    def labels(self, images: np.ndarray) -> np.ndarray:
        """The likeliest label of each picture: int64 N."""
        features = (_features(images, self.filters) - self.mean) / self.std
        return (features @ self.weights + self.offset).argmax(1).numpy()

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Share of pictures whose likeliest label is the given one, 0 to 1."""
        return float(np.mean(self.labels(images) == labels))


def _ridge(features: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """argmin |X w - y|² + λ |w|², in whichever of its two forms has the smaller system.

    λ is RIDGE times the mean of the diagonal of XᵀX, so it follows the number of pictures.
    """
    n, width = features.shape
    strength = RIDGE * float(features.square().sum()) / width
    if n <= width:
        gram = features @ features.T
        gram.diagonal().add_(strength)
        return features.T @ torch.linalg.solve(gram, target)
    covariance = features.T @ features
    covariance.diagonal().add_(strength)
    return torch.linalg.solve(covariance, features.T @ target)


def _patch_filters(images: np.ndarray, seed: int) -> torch.Tensor:
    """Random training patches, contrast-normalised and whitened (ZCA), as convolution filters."""
    rng = np.random.default_rng(seed)
    small = _small(images[rng.permutation(len(images))[:1000]])
    columns = F.unfold(small, PATCH, stride=PATCH // 2).transpose(1, 2).reshape(-1, 3 * PATCH**2)
    columns = _normalise(columns[torch.from_numpy(rng.permutation(len(columns))[:20_000])])
    mean = columns.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov((columns - mean).T))
    whiten = vectors @ torch.diag((values.clamp_min(0) + WHITEN).rsqrt()) @ vectors.T
    chosen = (columns[:FILTERS] - mean) @ whiten
    return F.normalize(chosen, dim=1) @ whiten


def _features(images: np.ndarray, filters: torch.Tensor) -> torch.Tensor:
    """Pooled responses of both signs and the coarse colours: float32 N×((2·FILTERS + 3)·POOL²)."""
    found = []
    for start in range(0, len(images), 128):
        small = _small(images[start : start + 128])
        response = _responses(small, filters)
        signs = [F.adaptive_avg_pool2d((sign * response - 0.25).relu(), POOL) for sign in (1, -1)]
        colours = F.adaptive_avg_pool2d(small, POOL)
        found.append(torch.cat([part.flatten(1) for part in (*signs, colours)], dim=1))
    return torch.cat(found)


def _responses(images: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Products of the filters with each contrast-normalised patch: N×FILTERS×s×s.

    The same as normalising unfolded patches, but as one convolution of the picture itself: mean and
    spread of a patch are two box averages.
    """
    kernels = filters.reshape(-1, 3, PATCH, PATCH)
    mean, square = (
        F.avg_pool2d(x.mean(1, keepdim=True), PATCH, STRIDE) for x in (images, images.square())
    )
    count = 3 * PATCH**2
    spread = ((square - mean.square()).clamp_min(0) * count / (count - 1) + CONTRAST).sqrt()
    total = filters.sum(1)[None, :, None, None]
    return (F.conv2d(images, kernels, stride=STRIDE) - mean * total) / spread


def _small(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(shrink(images, SIDE)).permute(0, 3, 1, 2) / 255


def _normalise(columns: torch.Tensor) -> torch.Tensor:
    centred = columns - columns.mean(-1, keepdim=True)
    return centred / (centred.var(-1, keepdim=True) + CONTRAST).sqrt()
