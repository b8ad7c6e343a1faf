"""How often pictures of unlike things are taken for copies: counted over all pairs of a folder.

    python bench/false_pairs.py FOLDER... [--same PAIRS.csv] [--out DIR]

Every pair of different contents is a trial. Counted are the pairs whose hashes come within d bits
(as whole pictures, and in any of the ways that ``pipeline.cleaning.duplicates`` tries), and those
that are still called copies after the look at the pixels. Pairs that a person has seen to be one
photo (a CSV of two names a line) are no false pairs and are left out. The constants of
``pipeline/cleaning/false_pairs.py`` come from here. Adds a dated report to bench/results/;
``--out`` also writes the list and a picture of the pairs that survive, for the eye.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from cleaning_truth.photos import find_photos
from cleaning_truth.sheet import Strip, write_sheet
from scipy.stats import chi2

from pipeline.cleaning import hashing
from pipeline.cleaning.duplicates import FLAT, Pairs, Rules, find_pairs
from pipeline.cleaning.false_pairs import PLAIN_GROUNDS, expected
from pipeline.cleaning.measure import Looks, measure, unpack_greys
from pipeline.params import DedupeParams

ROOT = Path(__file__).resolve().parent.parent
DISTANCES = tuple(range(0, 15, 2))  # every distance of two pHashes is even
FAR = (16, 18, 20)  # as far as dedupe.loose_distance may be set; by the whole hash alone
LOOKED_AT = (6, 8, 10, 12, 14)  # with the pixels: farther ones are too many
CORRELATIONS = (0.6, 0.7, 0.75, 0.8, 0.85, 0.93)
_MOST = 20_000  # pictures: a table of all pairs is kept
_FAR = 64
_RESAMPLES = 300


@dataclass(frozen=True)
class Trial:
    """Pictures that are no copies of each other, but for the pairs ``same``."""

    names: list[str]
    paths: list[Path]
    looks: Looks
    same: frozenset[tuple[int, int]]

    @property
    def pairs(self) -> int:
        return len(self.names) * (len(self.names) - 1) // 2 - len(self.same)


def main() -> None:
    options = arguments()
    trial = read(options.folders, options.same, options.workers)
    whole, plain, every = distances(trial, False), distances(trial, None), distances(trial, True)
    lines = proposed(trial, whole, plain, every)
    lines += survivors(trial)
    left = find_pairs(trial.looks, Rules(6, 14, 0.8, True, 0.85))
    lines += closest(trial, left)
    if options.out:
        show(trial, left, options.out)
    text = "\n".join([*head(options.folders, trial), *lines, *predicted(), ""])
    print(text)
    (ROOT / "bench" / "results" / f"{date.today()}-false-pairs.md").write_text(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+", help="folders of unlike pictures")
    parser.add_argument("--same", type=Path, help="CSV of pairs that are one photo after all")
    parser.add_argument("--out", type=Path, help="where the surviving pairs are shown")
    parser.add_argument("--workers", type=int)
    return parser.parse_args()


def read(folders: list[Path], same: Path | None, workers: int | None) -> Trial:
    """The pictures of all folders, each content once."""
    contents: dict[str, tuple[str, Path]] = {}
    for folder in folders:
        for photo in find_photos(folder):
            sha = hashlib.sha256(photo.path.read_bytes()).hexdigest()
            contents.setdefault(sha, (f"{folder.name}/{photo.name}", photo.path))
    if len(contents) > _MOST:
        raise SystemExit(f"{len(contents)} pictures: all pairs of at most {_MOST} are kept at once")
    names, paths = zip(*sorted(contents.values()), strict=True)
    limit = DedupeParams().max_pixels
    with Pool(workers) as pool:
        rows = pool.map(measure, [(str(path), limit) for path in paths], chunksize=16)
    good = [k for k, row in enumerate(rows) if row["fault"] is None]
    names, paths = [names[k] for k in good], [paths[k] for k in good]
    looks = unpack_greys(rows[k]["greys"] for k in good)
    return Trial(names, paths, looks, frozenset(read_same(same, names)))


def read_same(path: Path | None, names: list[str]) -> Iterator[tuple[int, int]]:
    place = {name: k for k, name in enumerate(names)}
    for row in csv.reader(path.open()) if path else []:
        i, j = sorted(place[name] for name in row)
        yield i, j


def codes_of(looks: Looks, mirrored: bool | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(codes, which of them count) of the ways to see the pictures: whole (False), all ways without
    a mirror (None), all ways (True). Flat parts do not count: their hash is made of noise."""
    lively = looks.whole.std(axis=(1, 2)) >= FLAT
    framed = lively & (looks.trim != looks.whole).any(axis=(1, 2))
    ways = [(hashing.coefficients(looks.whole), lively)]
    if mirrored is not False:
        ways.append((hashing.coefficients(looks.trim), framed))
        for window in hashing.WINDOWS:
            sure = hashing.part(looks.middle, window).std(axis=(1, 2)) >= FLAT
            ways.append((hashing.part_coefficients(looks.middle, window), lively & sure))
    for low, count in ways:
        yield hashing.codes(low), count
        if mirrored:
            yield hashing.codes(hashing.mirrored(low)), count


def distances(trial: Trial, mirrored: bool | None) -> np.ndarray:
    """Bits between every two pictures (N x N, uint8) in the closest of these ways: any way to see
    one against the whole (or what is in the frame) of the other. Far where i >= j or one photo."""
    looks, count = trial.looks, len(trial.names)
    least = np.full((count, count), _FAR, np.uint8)
    targets = list(codes_of(looks, False))
    if mirrored is not False:
        targets += list(codes_of(looks, None))[1:2]
    for codes, seen in codes_of(looks, mirrored):
        for whole, there in targets:
            for start in range(0, count, 256):
                some = slice(start, start + 256)
                bits = np.bitwise_count(codes[some, None] ^ whole[None]).astype(np.uint8)
                bits[~(seen[some, None] & there[None])] = _FAR
                np.minimum(least[some], bits, out=least[some])
    least = np.minimum(least, least.T)
    least[np.tril_indices(count)] = _FAR
    for i, j in trial.same:
        least[i, j] = _FAR
    return least


def interval(first: np.ndarray, second: np.ndarray, count: int) -> tuple[float, float]:
    """95 % for a number of pairs: the exact Poisson limits, or, where wider, the bootstrap over
    pictures (pairs that share a picture do not come independently). None found: at most 3.7."""
    found = len(first)
    low = chi2.ppf(0.025, 2 * found) / 2 if found else 0.0
    high = chi2.ppf(0.975, 2 * found + 2) / 2
    if found > 5:
        rng = np.random.default_rng(0)
        weights = rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
        drawn = [int(some[first] @ some[second]) for some in weights]
        below, above = np.quantile(drawn, (0.025, 0.975))
        low, high = min(low, below), max(high, above)
    return float(low), float(high)


def rate(first: np.ndarray, second: np.ndarray, trial: Trial) -> str:
    low, high = interval(first, second, len(trial.names))
    if not len(first):
        return f"0 (< {high / trial.pairs:.1e})"
    return f"{len(first):,} ({low / trial.pairs:.1e} … {high / trial.pairs:.1e})"


def proposed(trial: Trial, whole: np.ndarray, plain: np.ndarray, every: np.ndarray) -> list[str]:
    lines = [
        "## Proposed by the hashes",
        "",
        "Pairs within d bits, in brackets the 95 % interval of their share of all pairs (Poisson,",
        "or bootstrap over pictures where that is wider; none: the upper limit). Windows: the",
        f"whole, what is inside a frame, and {len(hashing.WINDOWS)} windows of either picture "
        "against the other;",
        "mirror: all of these seen in a mirror too. Times: how many pairs that is for one by the",
        "whole hash.",
        "",
        "| d | whole pictures | and windows | times | and mirror | times |",
        "|---|---|---|---|---|---|",
    ]
    for bits in DISTANCES:
        by = [np.nonzero(table <= bits) for table in (whole, plain, every)]
        base = len(by[0][0])
        cells = [rate(*by[0], trial)]
        for pairs in by[1:]:
            cells += [rate(*pairs, trial), f"{len(pairs[0]) / base:.1f}" if base else "–"]
        lines.append(f"| {bits} | {' | '.join(cells)} |")
    far = [f"| {d} | {rate(*np.nonzero(whole <= d), trial)} | | | | |" for d in FAR]
    return [*lines, *far, ""]


def unlike(trial: Trial, pairs: Pairs) -> np.ndarray:
    """Which of the pairs are not one photo."""
    both = zip(pairs.i.tolist(), pairs.j.tolist(), strict=True)
    return np.array([pair not in trial.same for pair in both], bool)


def survivors(trial: Trial) -> list[str]:
    """What is left of the proposals at each least correlation."""
    lines = ["## After the look at the pixels", ""]
    for title, wanted in (
        ("Whole pictures (`dedupe.correlation`)", lambda v: v == "whole"),
        ("Mirrored, trimmed, cropped, once fitted (`Rules.aligned`)", lambda v: v != "whole"),
    ):
        lines += [
            f"{title}: pairs that correlate at least",
            "",
            f"| d | {' | '.join(map(str, CORRELATIONS))} |",
            "|---|" + "---|" * len(CORRELATIONS),
        ]
        for bits in LOOKED_AT:
            cells = []
            for least in CORRELATIONS:
                pairs = find_pairs(trial.looks, Rules(-1, bits, least, True, least))
                cells.append(str(int((unlike(trial, pairs) & wanted(pairs.variant)).sum())))
            lines.append(f"| {bits} | {' | '.join(cells)} |")
        lines.append("")
    usual = DedupeParams()
    rules = Rules(usual.near_distance, usual.loose_distance, usual.correlation, usual.mirrored)
    pairs = find_pairs(trial.looks, rules)
    false = unlike(trial, pairs)
    lines += [
        f"**At the defaults: {int(false.sum())} false pairs** "
        f"[{rate(pairs.i[false], pairs.j[false], trial)} of all pairs] and {int((~false).sum())} "
        f"true ones of the {len(trial.same)} known.",
        "",
    ]
    return lines


def closest(trial: Trial, pairs: Pairs) -> list[str]:
    """The likest pairs of unlike pictures, by name."""
    lines = [
        "## The likest of unlike pictures",
        "",
        "Looser than the defaults (within 14 bits, 0.80 as wholes or 0.85 otherwise):",
        "",
        "| bits | correlation | seen | pictures |",
        "|---|---|---|---|",
    ]
    false = np.flatnonzero(unlike(trial, pairs))
    for k in false[np.argsort(-pairs.correlation[false], kind="stable")][:12]:
        names = f"{trial.names[pairs.i[k]]}, {trial.names[pairs.j[k]]}"
        seen = f"{pairs.correlation[k]:.3f} | {pairs.variant[k]}"
        lines.append(f"| {pairs.distance[k]} | {seen} | {names} |")
    return [*lines, ""]


def show(trial: Trial, pairs: Pairs, out: Path) -> None:
    """The surviving pairs for the eye: their names as ``--same`` takes them, and a picture."""
    out.mkdir(parents=True, exist_ok=True)
    order = np.argsort(-pairs.correlation, kind="stable")[:60]
    with (out / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            (trial.names[pairs.i[k]], trial.names[pairs.j[k]]) for k in order
        )
    strips = []
    for start in range(0, len(order), 5):
        pictures = []
        for k in order[start : start + 5]:
            words = f"{pairs.distance[k]} {pairs.correlation[k]:.2f} {pairs.variant[k]}"
            pictures += [(trial.paths[pairs.i[k]], words), (trial.paths[pairs.j[k]], "")]
        strips.append(Strip(f"{start + 1} to {start + len(pictures) // 2}", pictures))
    write_sheet(strips, out / "pairs.png")


def head(folders: list[Path], trial: Trial) -> list[str]:
    named = " ".join(folder.name for folder in folders) + (" --same same.csv" if trial.same else "")
    return [
        f"# False pairs, {date.today()}",
        "",
        f"`python bench/false_pairs.py {named}`: {len(trial.names):,} real pictures, "
        f"{trial.pairs:,} pairs of unlike ones; {len(trial.same)} pairs seen by eye to be one "
        "photo are left out.",
        "",
    ]


def predicted() -> list[str]:
    """What ``expected`` says at several sizes."""
    low, high = PLAIN_GROUNDS
    lines = [
        "## Expected at other sizes (`pipeline.cleaning.false_pairs.expected`, defaults)",
        "",
        "Proposed, then left after the look at the pixels. Of pictures with plain grounds "
        f"{low} to {high} times",
        "as many are proposed.",
        "",
        "| pictures | near_distance | loose_distance | correlation |",
        "|---|---|---|---|",
    ]
    for count in (1_000, 14_000, 100_000, 1_000_000):
        row = [f"{f.candidates:.2g}, {f.after:.2g}" for f in expected(DedupeParams(), count)]
        lines.append(f"| {count:,} | {' | '.join(row)} |")
    return lines


if __name__ == "__main__":
    main()
