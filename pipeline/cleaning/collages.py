"""Is a picture a collage? Seam evidence, weighed by a small model of this very set.

No public set of labelled collages of dogs exists, and a model from elsewhere would know other
pictures. So the model learns on the spot: the set's pictures without a plain join stand for single
ones, and so do edited copies of them; collages composed from them stand for the rest. The collages
among the former, which nobody has labelled, are noise that the model can bear; the line above which
a picture is called a collage allows for their number (``mixture``). Each picture is judged by a
model that has seen neither it, nor a copy of it, nor a collage made of it.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline import pool
from pipeline.cleaning import measure
from pipeline.cleaning.collage_model import FOLDS, LINE, USED, bend, cross_fit
from pipeline.cleaning.mixture import line_at
from pipeline.cleaning.seams import COUNT
from pipeline.cleaning.synthesis import NOTHING, VERSION, Examples, Task, examples
from pipeline.workspace import atomic_write, fingerprint

LEAST = 60  # single pictures below which nothing can be learnt
_SOURCES = 8  # pictures decoded together, from which collages are made
_ROUNDS = 3  # collages for each of them, at the least
_MOST = 240  # pictures to make collages of; more teach little new
_LEARNT = 4000  # pictures of the set that are learnt from; more would only take longer
_PLAIN = 0.7  # score of a line from which a picture does not stand for a single one


@dataclass(frozen=True)
class Judged:
    """Evidence in [0, 1] for each picture, and how the model did on collages it had not seen.

    From ``LINE`` on a picture is a collage. ``recall``: share of composed collages with straight
    joins that reach it; ``loose``: the same of scattered prints and insets. ``alarms``: the same of
    edited copies of the set's pictures, of which some may be collages. All None for the plain rule.
    """

    scores: np.ndarray
    recall: float | None = None
    loose: float | None = None
    alarms: float | None = None


def evidence_matrix(features: list[bytes]) -> np.ndarray:
    """float32 N x ``COUNT`` from the stored bytes; zeros where there are none."""
    matrix = np.zeros((len(features), COUNT), np.float32)
    for row, data in enumerate(features):
        if data:
            matrix[row] = np.frombuffer(data, np.float32)
    return matrix


def rule_scores(matrix: np.ndarray) -> np.ndarray:
    """The plain rule: the score of the best line. For sets too small to learn from.

    Bent so that 0.5, the usual threshold, is a line that 75 % of the rows show: few walls and
    horizons reach that.
    """
    return matrix[:, 0].astype(np.float64) ** 2.4


def judge(
    matrix: np.ndarray,
    group: np.ndarray,
    shas: list[str],
    paths: list[str],
    *,
    alarms: float,
    max_pixels: int,
    workers: int,
    cache: Path | None,
) -> Judged:
    """Weigh the evidence of N pictures.

    Args:
        matrix: seam features, N x ``COUNT``. A row of zeros has no evidence and is no collage; nor
            is one whose first number alone is none: a first look was enough.
        group: pictures with an equal number are copies of each other and share a fold.
        paths: where each picture lies, for making collages of it.
        alarms: the share of single pictures that may be called collages.
    """
    usable = np.flatnonzero(matrix.any(axis=1))
    if len(usable) < LEAST:
        return Judged(rule_scores(matrix))
    lowest = {int(g): shas[k] for k, g in sorted(enumerate(group), reverse=True)}
    fold = np.array([_draw(f"fold {lowest[int(g)]}") % FOLDS for g in group])
    sheets = _sheets(usable, fold, shas)
    rounds = max(_ROUNDS, -(-_MOST // sum(map(len, sheets))))  # a small set is shown in more ways
    tasks = [
        Task(
            tuple(paths[k] for k in sheet),
            fingerprint([shas[k] for k in sheet]),
            rounds,
            max_pixels,
        )
        for sheet in sheets
    ]
    made = _examples(tasks, workers, cache)
    # Row of `matrix` that an example shows, -1 for a composed collage.
    shown = [
        np.where(part.of < 0, -1, np.array(sheet)[part.of])
        for sheet, part in zip(sheets, made, strict=True)
    ]
    return _weigh(matrix, usable, fold, made, shown, _learnt(usable, shas), alarms)


def _weigh(
    matrix: np.ndarray,
    usable: np.ndarray,
    fold: np.ndarray,
    made: list[Examples],
    shown: list[np.ndarray],
    learnt: np.ndarray,
    alarms: float,
) -> Judged:
    """Learn from the set's own pictures and the examples made of them, and judge the former.

    What a first look clears is no collage, and of the set only what it does not clear is learnt
    from: the edited copies, all of which are measured wholly, stand for the others.
    """
    features = np.concatenate([matrix[usable], *(part.features for part in made)])[:, USED]
    of = np.concatenate([usable, *shown])
    # A sheet's pictures share a fold, and its edited copies, which come last, tell which.
    folds = [np.full(len(part), fold[part[-1]] if len(part) else 0) for part in shown]
    count, collage = len(usable), of < 0
    loose = np.concatenate([np.zeros(count, bool), *(part.loose for part in made)])
    # Plain joins, and edited copies of them, must not stand for single pictures: they would be
    # mistaken for alarms, being plainer than any collage composed here.
    single = ~collage & (matrix[of, 0] < _PLAIN)
    use = collage | single
    suspect = np.concatenate([matrix[usable, 1:].any(axis=1), *(part.suspect for part in made)])
    use[:count] &= learnt & suspect[:count]
    # The limit holds for libraries that are already loaded, so this one has to come first.
    import sklearn.ensemble  # noqa: F401

    # The set is small: threads would only wait for each other, and one adds in one order.
    with threadpool_limits(1):
        where = np.concatenate([fold[usable], *folds])
        raw = np.where(suspect, cross_fit(features, collage, where, use), 0)
    scores = bend(raw, line_at(raw[single], raw[collage], alarms, LINE))
    judged = np.zeros(len(matrix))
    judged[usable] = scores[:count]
    hit = scores >= LINE
    copies = single & (np.arange(len(of)) >= count)
    groups = (collage & ~loose, collage & loose, copies)
    return Judged(judged, *(float(hit[group].mean()) if group.any() else None for group in groups))


def _learnt(usable: np.ndarray, shas: list[str]) -> np.ndarray:
    """Which of the set's pictures are learnt from: all of a small set."""
    order = sorted(range(len(usable)), key=lambda k: _draw(f"learnt {shas[usable[k]]}"))
    learnt = np.zeros(len(usable), bool)
    learnt[order[:_LEARNT]] = True
    return learnt


def _draw(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _sheets(usable: np.ndarray, fold: np.ndarray, shas: list[str]) -> list[list[int]]:
    """Which pictures are glued together: only such of one fold, in an order drawn from content."""
    order = sorted(usable.tolist(), key=lambda k: _draw(f"source {shas[k]}"))[:_MOST]
    members = [[k for k in order if fold[k] == number] for number in range(FOLDS)]
    return [
        part[start : start + _SOURCES]
        for part in members
        for start in range(0, len(part), _SOURCES)
    ]


def _examples(tasks: list[Task], workers: int, cache: Path | None) -> list[Examples]:
    """The examples of each task, remembered as long as the same pictures are glued."""
    key = fingerprint([VERSION, measure.VERSION, [(task.seed, task.rounds) for task in tasks]])[:16]
    path = None if cache is None else cache / f"collages-{key}.npz"
    known = _read_examples(path) if path is not None else None
    if known is not None:
        return known
    made = [NOTHING] * len(tasks)
    for index, result in pool.each(
        examples, tasks, workers=workers, what="compose collages", unit="sheets", chunk=1
    ):
        made[index] = result or NOTHING
    if path is not None:
        with atomic_write(path) as file:
            np.savez(
                file,
                features=np.concatenate([part.features for part in made]),
                of=np.concatenate([part.of for part in made]),
                loose=np.concatenate([part.loose for part in made]),
                suspect=np.concatenate([part.suspect for part in made]),
                cuts=np.cumsum([len(part.of) for part in made])[:-1],
            )
    return made


def _read_examples(path: Path) -> list[Examples] | None:
    """What an earlier run made of the same pictures; a damaged file is as good as none."""
    try:
        with np.load(path, allow_pickle=False) as known:
            names = ("features", "of", "loose", "suspect")
            parts = [np.split(known[name], known["cuts"]) for name in names]
            return [Examples(*part) for part in zip(*parts, strict=True)]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        path.unlink(missing_ok=True)
        return None
