"""From decisions and truth to figures with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

_RESAMPLES = 2000
_PLAIN = 8  # bits: what "plain pHash" calls a duplicate


@dataclass(frozen=True)
class Share:
    """A share of ``count`` cases with its 95 % interval."""

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        if not self.count:
            return "–"
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def share(hits: pd.Series, group: pd.Series) -> Share:
    """The share of hits; bootstrap over groups (the photos), which stand or fall together.

    Where all or none hit, resampling sees no doubt: the exact bound is given instead.
    """
    if not len(hits):
        return Share(0.0, 0.0, 1.0, 0)
    value = float(hits.mean())
    by = pd.DataFrame({"hit": hits.astype(float).to_numpy(), "group": group.to_numpy()})
    sums = by.groupby("group")["hit"].agg(["sum", "count"]).to_numpy(float)
    if value in (0.0, 1.0):
        doubt = 1 - 0.025 ** (1 / len(sums))
        return Share(value, max(0.0, value - doubt), min(1.0, value + doubt), len(hits))
    rng = np.random.default_rng(0)
    drawn = sums[rng.integers(0, len(sums), (_RESAMPLES, len(sums)))].sum(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975))
    return Share(value, float(low), float(high), len(hits))


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


def plain_phash(truth: pd.DataFrame, folder: Path) -> tuple[pd.Series, int]:
    """The baseline, imagehash in a loop: whether each copy lies within 8 bits of its original, and
    how many originals lie within 8 bits of another photo's."""
    import imagehash

    codes = np.empty((len(truth), 64), bool)
    for row, name in enumerate(truth["path"]):
        with Image.open(folder / name) as image:
            codes[row] = imagehash.phash(image).hash.ravel()
    original = truth["kind"] == "original"
    of = dict(zip(truth.loc[original, "photo"], np.flatnonzero(original), strict=True))
    own = codes[[of[photo] for photo in truth["photo"]]]
    found = pd.Series((codes != own).sum(axis=1) <= _PLAIN, index=truth.index)
    firsts = codes[original.to_numpy()]
    apart = (firsts[:, None] != firsts[None]).sum(axis=2)
    return found, int(((apart <= _PLAIN).sum(axis=1) > 1).sum())


def threshold_at(scores: pd.Series, alarms: float) -> float:
    """The lowest threshold that at most ``alarms`` of the single photos' scores reach."""
    ordered = np.sort(scores.to_numpy())[::-1]
    return float(np.nextafter(ordered[int(alarms * len(ordered))], 2))


def area(singles: pd.Series, collages: pd.Series) -> float:
    """Area under the ROC curve: how often a collage outscores a single photo."""
    ordered = np.sort(singles.to_numpy())
    below = np.searchsorted(ordered, collages, "left") + np.searchsorted(ordered, collages, "right")
    return float(below.mean() / 2 / len(ordered))
