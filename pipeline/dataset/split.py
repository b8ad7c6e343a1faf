"""Which pictures are kept from training: the same ones next time, and never half a group."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd


def held_out(table: pd.DataFrame, share: float) -> np.ndarray:
    """Choose whole groups of linked pictures until each class has about its ``share``.

    A cluster is a star around what stays; two kept pictures of neighbouring stars may still be
    linked, and then share a group. A group's place in the line is the hash of its smallest sha256:
    it depends on no other picture, so adding a breed moves nothing, and adding pictures moves few.
    Each class keeps at least one picture to train on.

    Args:
        table: columns breed, sha256 and group (-1: alone); tables that have no group, as earlier
            versions made them, are split by their cluster.
        share: wanted share of each class, in [0, 1).

    Returns:
        A boolean array: held out or not.
    """
    if not len(table) or share <= 0:
        return np.zeros(len(table), bool)
    number = table["group" if "group" in table else "cluster"]
    leader = table.groupby(number)["sha256"].transform("min")
    group = table["sha256"].where(number < 0, leader).astype(str)
    members = pd.DataFrame({"group": group.to_numpy(), "breed": table["breed"].to_numpy()})
    left = members["breed"].value_counts().to_dict()
    quota = {breed: round(count * share) for breed, count in left.items()}
    chosen: set[str] = set()
    sizes = {key: part["breed"].value_counts() for key, part in members.groupby("group")}
    for key in sorted(sizes, key=_place):
        size = sizes[key]
        fits = all(quota[breed] >= count and left[breed] > count for breed, count in size.items())
        if fits:
            chosen.add(key)
            for breed, count in size.items():
                quota[breed] -= count
                left[breed] -= count
    return members["group"].isin(chosen).to_numpy()


def _place(key: str) -> str:
    return hashlib.sha256(f"held out {key}".encode()).hexdigest()
