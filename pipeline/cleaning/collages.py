"""Is a picture a collage? Seam evidence, weighed by a small model of this very set.

No public set of labelled collages of dogs exists, and a model from elsewhere would know other
pictures. So the model learns on the spot: the set's pictures as they are stand for single ones (the
few collages among them are noise it can bear), collages composed from them for the rest. Each
picture is judged by a model that has seen neither it, nor a copy of it, nor a collage made of it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline import pool
from pipeline.cleaning.seams import COUNT
from pipeline.cleaning.synthesis import NOTHING, VERSION, Examples, Task, examples
from pipeline.workspace import atomic_write, fingerprint

FOLDS = 3
LEAST = 60  # single pictures below which nothing can be learnt
_SOURCES = 8  # pictures decoded together, from which as many collages are made
_SURE = 0.9  # evidence from which a picture no longer stands for a single one
_MOST = 240  # pictures to make collages of; more teach nothing new

# Shape and contrast of the whole picture are left out: the collages of a search engine need not
# have those of ours.
_USED = [k for k in range(COUNT) if k not in (COUNT - 2, COUNT - 1)]


@dataclass(frozen=True)
class Judged:
    """Evidence in [0, 1] for each picture, and how the model did on collages it had not seen.

    ``recall``: share of composed collages at or above the threshold. ``alarms``: the same share
    of single pictures that were merely edited. Both None for the plain rule.
    """

    scores: np.ndarray
    recall: float | None = None
    alarms: float | None = None


def evidence_matrix(features: list[bytes]) -> np.ndarray:
    """float32 N x 38 from the stored bytes; zeros where there are none."""
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
    threshold: float,
    max_pixels: int,
    workers: int,
    cache: Path | None,
) -> Judged:
    """Weigh the evidence of N pictures.

    Args:
        matrix: seam features, N x 38; a row of zeros has no evidence and is no collage.
        group: pictures with an equal number are copies of each other and share a fold.
        paths: where each picture lies, for making collages of it.
    """
    usable = np.flatnonzero(matrix.any(axis=1))
    if len(usable) < LEAST:
        return Judged(rule_scores(matrix))
    lowest = {int(g): shas[k] for k, g in sorted(enumerate(group), reverse=True)}
    fold = np.array([_draw(f"fold {lowest[int(g)]}") % FOLDS for g in group])
    sheets = _sheets(usable, fold, shas)
    rounds = -(-_MOST // sum(map(len, sheets)))  # a small set is shown in more ways
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
    features = np.concatenate([matrix[usable], *(part for part, _ in made)])[:, _USED]
    # Row of `matrix` that an example shows, -1 for a composed collage.
    shown = [
        np.where(of < 0, -1, np.array(sheet)[of])
        for sheet, (_, of) in zip(sheets, made, strict=True)
    ]
    of = np.concatenate([usable, *shown])
    folds = np.concatenate(
        [fold[usable], *(np.full(len(o), fold[s[0]]) for s, o in zip(sheets, shown, strict=True))]
    )
    # The limit holds for libraries that are already loaded, so this one has to come first.
    import sklearn.ensemble  # noqa: F401

    # The set is small: threads would only wait for each other, and one adds in one order.
    with threadpool_limits(1):
        # The set's own collages, and edited copies of them, stand among the single pictures: the
        # first models find most, and the second ones learn without these.
        scores = _cross_fit(features, of < 0, folds, np.ones(len(of), bool))
        sure = np.zeros(len(matrix), bool)
        sure[usable] = scores[: len(usable)] >= _SURE
        use = (of < 0) | ~sure[of]
        scores = _cross_fit(features, of < 0, folds, use)
    judged = np.zeros(len(matrix))
    judged[usable] = np.round(scores[: len(usable)], 4)
    made_of, made_scores = of[len(usable) :], scores[len(usable) :]
    single = (made_of >= 0) & ~sure[made_of]
    return Judged(
        judged,
        float((made_scores[made_of < 0] >= threshold).mean()),
        float((made_scores[single] >= threshold).mean()),
    )


def _cross_fit(
    features: np.ndarray, truth: np.ndarray, folds: np.ndarray, use: np.ndarray
) -> np.ndarray:
    """P(collage) of each example by a model of those of ``use`` in the other folds."""
    scores = np.zeros(len(features))
    for number in range(FOLDS):
        learnt = (folds != number) & use
        judged = folds == number
        if judged.any():
            model = _fit(features[learnt], truth[learnt])
            scores[judged] = model.predict_proba(features[judged])[:, 1]
    return scores


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
    key = fingerprint([VERSION, [(task.seed, task.rounds) for task in tasks]])[:16]
    path = None if cache is None else cache / f"collages-{key}.npz"
    if path is not None and path.exists():
        with np.load(path, allow_pickle=False) as known:
            cuts = known["cuts"]
            parts = np.split(known["features"], cuts), np.split(known["of"], cuts)
            return list(zip(*parts, strict=True))
    made = [NOTHING] * len(tasks)
    for index, result in pool.each(
        examples, tasks, workers=workers, what="compose collages", unit="sheets", chunk=1
    ):
        made[index] = result or NOTHING
    if path is not None:
        with atomic_write(path) as file:
            np.savez(
                file,
                features=np.concatenate([features for features, _ in made]),
                of=np.concatenate([of for _, of in made]),
                cuts=np.cumsum([len(of) for _, of in made])[:-1],
            )
    return made


def _fit(features: np.ndarray, truth: np.ndarray) -> Any:
    """A model of P(collage), both kinds weighing the same."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        learning_rate=0.08,
        max_iter=150,
        max_leaf_nodes=8,
        early_stopping=False,
        class_weight="balanced",
        random_state=0,
    )
    return model.fit(features, truth)
