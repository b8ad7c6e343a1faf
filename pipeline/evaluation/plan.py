"""Which samples to draw: how many of each breed, and from which noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.errors import PipelineError


@dataclass(frozen=True)
class Plan:
    """N samples to draw, by breed. A sample's noise depends on its breed and place in it alone, so
    the first pictures of a breed stay the same when more are asked for."""

    labels: np.ndarray  # int64 N
    seeds: list[int]
    measured: np.ndarray  # bool N: counts in the metrics
    shown: np.ndarray  # bool N: is in the picture


def plan_samples(counts: np.ndarray, samples: int, grid: int, seed: int) -> Plan:
    """Spread ``samples`` over the breeds as the training pictures are, and show ``grid`` of each.

    A distance between two sets sees their mixture of breeds too. An even spread would count as an
    error of the generator where breeds have unequally many pictures; where they have equally many
    it is the same.

    Args:
        counts: training pictures of each breed.
        samples: for the metrics, all breeds together.
        grid: for the picture, each breed.
        seed: of the noise.

    Raises:
        PipelineError: fewer than two samples a breed.
    """
    classes = len(counts)
    if samples < 2 * classes:
        raise PipelineError(
            f"evaluate.samples: got {samples}, too few for {classes} breeds: "
            f"give at least {2 * classes}, two a breed"
        )
    measured = proportional(counts, samples, least=2)
    drawn = np.maximum(measured, grid)
    labels = np.repeat(np.arange(classes), drawn)
    place = np.concatenate([np.arange(count) for count in drawn])
    return Plan(
        labels,
        [noise_seed(seed, int(label), int(i)) for label, i in zip(labels, place, strict=True)],
        place < measured[labels],
        place < grid,
    )


def proportional(counts: np.ndarray, total: int, least: int) -> np.ndarray:
    """``total`` things in the proportions of ``counts``, at least ``least`` each (largest rest)."""
    weights = np.asarray(counts, float) if np.sum(counts) else np.ones(len(counts))
    raised = np.zeros(len(weights), bool)  # those whose share alone would be under ``least``
    while True:
        rest = total - least * raised.sum()
        share = np.where(raised, least, rest * weights / max(weights[~raised].sum(), 1e-9))
        low = ~raised & (share < least)
        if not low.any():
            break
        raised |= low
    whole = np.floor(share).astype(np.int64)
    order = np.argsort(whole - share, kind="stable")
    whole[order[: total - whole.sum()]] += 1
    return whole


def noise_seed(seed: int, label: int, place: int) -> int:
    """A seed below 2^53 (safe in JSON) that no other breed or place shares."""
    state = np.random.SeedSequence([seed, label, place]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(11))
