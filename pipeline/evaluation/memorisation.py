"""Does the generator give back its training set? Three answers from nearest-neighbour distances.

All work on feature vectors of any net. The training pictures count mirrored too, for training
mirrors half of what it shows. No such number finds every copy (Stein et al., "Exposing Flaws of
Generative Model Evaluation Metrics", NeurIPS 2023, section 5), so the pairs are also shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.evaluation.copies import Nearest, least, row_blocks
from pipeline.evaluation.feature_distances import squared_distances

_BLOCK = 512
EPSILON = 0.1
"""MiFID divides by the mean cosine distance where that is below this."""


@dataclass(frozen=True)
class TrainingFeatures:
    """Features of the M training pictures (M×D), and of their mirror images in the same order."""

    plain: np.ndarray
    mirrored: np.ndarray

    def nearest(self, queries: np.ndarray) -> Nearest:
        """The training picture nearest to each of N×D ``queries``, by Euclidean distance."""
        parts = []
        for rows in row_blocks(len(queries), len(self.plain), _BLOCK):
            block = queries[rows]
            tables = (squared_distances(block, side) for side in (self.plain, self.mirrored))
            index, squares, mirrored = least(*tables)
            parts.append((index, np.sqrt(squares), mirrored))
        return Nearest(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def own_distances(self, among: np.ndarray | None = None) -> np.ndarray:
        """Distance of training pictures to the nearest other one: M.

        Args:
            among: rows of the training pictures that are asked for, the others get NaN: for all of
                them the time grows with the square of their number.
        """
        found = np.full(len(self.plain), np.nan)
        among = np.arange(len(self.plain)) if among is None else among
        for rows in row_blocks(len(among), len(self.plain), _BLOCK):
            chosen = among[rows]
            block = self.plain[chosen]
            own = np.arange(len(chosen)), chosen
            tables = [squared_distances(block, side) for side in (self.plain, self.mirrored)]
            for table in tables:
                table[own] = np.inf
            found[chosen] = np.sqrt(np.minimum(*tables).min(axis=1))
        return found

    def cosine(self, queries: np.ndarray) -> float:
        """Mean over the queries of the least cosine distance, 1 - |cos|, to a training picture.

        The memorisation distance of MiFID (Bai et al., "On Training Sample Memorization", KDD
        2021): 0 for a replayed set.
        """
        sides = [_unit(side) for side in (self.plain, self.mirrored)]
        closest = []
        for rows in row_blocks(len(queries), len(self.plain), _BLOCK):
            block = _unit(queries[rows])
            closest.append(np.max([np.abs(block @ side.T).max(axis=1) for side in sides], axis=0))
        return float(np.clip(1 - np.concatenate(closest), 0, 1).mean())


def authpct(nearest: Nearest, own: np.ndarray) -> float:
    """AuthPct: per cent of samples that are authentic, 0 to 100.

    A sample is, when it lies farther from its nearest training picture than that one from its own
    nearest (Alaa et al., "How Faithful is your Synthetic Data?", ICML 2022). Real pictures from the
    same source reach about 50.

    Args:
        nearest: of the samples; own: ``TrainingFeatures.own_distances`` of all that are nearest.
    """
    return 100 * float((nearest.distance > own[nearest.index]).mean())


def ct(sample_distances: np.ndarray, held_out_distances: np.ndarray) -> float:
    """C_T: are samples nearer to the training set than real pictures are? Far below 0 says yes.

    The z-score of the Mann-Whitney statistic of the two sets of nearest distances (Meehan et al.,
    "A Non-Parametric Test to Detect Data-Copying", AISTATS 2020, over the whole space as one cell).
    Without copying it is standard normal; below -3 is no accident; far above 0 underfits.
    """
    n, m = len(sample_distances), len(held_out_distances)
    ranks = pd.Series(np.concatenate([sample_distances, held_out_distances])).rank().to_numpy()
    wins = ranks[:n].sum() - n * (n + 1) / 2
    return float((wins - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))


def mifid_factor(cosine: float) -> float:
    """What MiFID multiplies FID by, given the memorisation distance: 1 where nothing is amiss."""
    return 1 / max(cosine, 1e-9) if cosine < EPSILON else 1.0


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
