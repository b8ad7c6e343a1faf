"""From decisions and truth to verdicts."""

from __future__ import annotations

import numpy as np
import pandas as pd


def judge_copies(truth: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """``truth`` with the decision and a ``verdict`` for each file:

    - found: dropped for another picture of the same photo, or the one picture of it that stays;
    - missed: kept, though another picture of the photo is kept too;
    - foreign: dropped as a duplicate of another photo;
    - collage, other: dropped for that reason, so nothing is known about duplicates.
    """
    judged = truth.merge(table, on="path", validate="one_to_one")
    photo_of = judged.set_index("path")["photo"]
    judged["towards"] = judged["nearest"].map(photo_of)
    stays = judged[judged["keep"]].copy()
    # One picture may stay for each photo: the original, or else the one most others name.
    named = judged["nearest"].value_counts()
    stays["rank"] = stays["path"].map(named).fillna(0) + 1e6 * (stays["kind"] == "original")
    chosen = set(stays.sort_values("rank", ascending=False).drop_duplicates("photo")["path"])
    duplicate = judged["reason"].isin(["near_duplicate", "exact_duplicate"])
    own = judged["towards"] == judged["photo"]
    judged["verdict"] = np.select(
        [
            judged["keep"] & ~judged["path"].isin(chosen),
            judged["keep"] | (duplicate & own),
            duplicate,
            judged["reason"] == "collage",
        ],
        ["missed", "found", "foreign", "collage"],
        "other",
    )
    return judged


def lost_photos(judged: pd.DataFrame) -> pd.Series:
    """For each photo: nothing of it is kept, and one of its files went as another photo's copy."""
    gone = ~judged.groupby("photo")["keep"].any()
    return gone & judged["verdict"].eq("foreign").groupby(judged["photo"]).any()


def empty_clusters(table: pd.DataFrame) -> int:
    """Clusters of which no picture is kept."""
    clustered = table[table["cluster"] >= 0]
    return int((~clustered.groupby("cluster")["keep"].any()).sum())


def area(singles: pd.Series, collages: pd.Series) -> float:
    """Area under the ROC curve: how often a collage outscores a single photo."""
    ordered = np.sort(singles.to_numpy())
    below = np.searchsorted(ordered, collages, "left") + np.searchsorted(ordered, collages, "right")
    return float(below.mean() / 2 / len(ordered))
