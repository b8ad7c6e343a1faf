"""The same copies given to other tools, each at its own defaults, and what they call duplicates."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cleaning_truth.intervals import Share, share
from pipeline.cleaning import neighbours

PLAIN = 8  # bits: what "plain pHash" calls a duplicate

Named = set[tuple[str, str]]  # pairs of files, each in order


def plain_codes(paths: Iterable[Path]) -> np.ndarray:
    """uint64 pHashes by imagehash in a loop: the baseline."""
    import imagehash

    codes = []
    for path in paths:
        with Image.open(path) as image:
            codes.append(int(str(imagehash.phash(image)), 16))
    return np.array(codes, np.uint64)


def plain_pairs(names: list[str], codes: np.ndarray) -> Named:
    i, j, _ = neighbours.within(codes, PLAIN)
    return {_ordered(names[a], names[b]) for a, b in zip(i.tolist(), j.tolist(), strict=True)}


def cluster_pairs(table: pd.DataFrame) -> Named:
    """The pairs of files that decisions put into one cluster."""
    some = table[table["cluster"] >= 0]
    return _of_sets(part.tolist() for _, part in some.groupby("cluster")["path"])


def _imagededup(folder: Path, workers: int) -> Named:
    from imagededup.methods import PHash

    found = PHash(verbose=False).find_duplicates(
        image_dir=folder, num_enc_workers=workers, num_dist_workers=workers
    )
    return {_ordered(name, other) for name, others in found.items() for other in others}


def _cleanvision(folder: Path, workers: int) -> Named:
    from cleanvision import Imagelab

    lab = Imagelab(data_path=str(folder), verbose=False)
    lab.find_issues({"near_duplicates": {}}, n_jobs=workers, verbose=False)
    # Exact duplicates are computed along and counted as near ones here: it names them apart.
    sets = [*lab.info["near_duplicates"]["sets"], *lab.info["exact_duplicates"]["sets"]]
    return _of_sets([Path(path).name for path in one] for one in sets)


PEERS: dict[str, tuple[str, Callable[[Path, int], Named]]] = {
    "imagededup": ("PHash, distance 10", _imagededup),
    "cleanvision": ("near-duplicates", _cleanvision),
}


def peer_pairs(folder: Path, workers: int) -> tuple[dict[str, Named], list[str]]:
    """What each peer that is installed names in the folder, and which ones are not installed."""
    found, missing = {}, []
    for package, (how, find) in PEERS.items():
        try:
            title = f"{package} {version(package)} ({how})"
        except PackageNotFoundError:
            missing.append(package)
            continue
        with contextlib.redirect_stdout(io.StringIO()):
            found[title] = find(folder, workers)
    return found, missing


def compare(truth: pd.DataFrame, named: Named, kinds: Iterable[str]) -> tuple[Share, str, Share]:
    """(share of the copies of these kinds that are named with their original, the weakest kind,
    share of the named pairs that show one photo); bootstrap over photos.

    Args:
        truth: path, photo, kind ("original" among them; copies without it do not count). Pairs
            may name no other files than these.
    """
    original = truth[truth["kind"] == "original"].set_index("photo")["path"]
    copies = truth[truth["kind"].isin(list(kinds)) & truth["photo"].isin(original.index)]
    pairs = zip(copies["path"], copies["photo"].map(original), strict=True)
    linked = pd.Series([_ordered(a, b) in named for a, b in pairs], index=copies.index)
    by_kind = linked.groupby(copies["kind"]).mean()
    weakest = f"{by_kind.idxmin()} {100 * by_kind.min():.1f}"
    photo = dict(zip(truth["path"], truth["photo"], strict=True))
    ends = sorted(named)
    right = pd.Series([photo[a] == photo[b] for a, b in ends], dtype=bool)
    return (
        share(linked, copies["photo"]),
        weakest,
        share(right, pd.Series([photo[a] for a, _ in ends])),
    )


def _of_sets(sets: Iterable[list[str]]) -> Named:
    return {_ordered(a, b) for one in sets for a, b in itertools.combinations(one, 2)}


def _ordered(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)
