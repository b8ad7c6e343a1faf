"""The models that weigh seam evidence, and their honest scores.

Few examples, many numbers: boosted trees alone learn the noise of one folder, and the same photo
scored 0.00 in one and 1.00 in another (measured). Two kinds of trees of unlike error are averaged,
and where more evidence can only mean more of a collage the boosted ones are held to that (monotone
constraints). One model for all kinds: models of their own for straight joins and for loose prints
shared the false alarms worse (measured).

Every score is out of fold: of a model that saw neither the picture, nor a copy of it, nor a collage
made of it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.cleaning.seams import COUNT, MONOTONE, WHOLE

FOLDS = 4
LINE = 0.5  # scores are bent so that what may be called a collage starts here
_BINS = 64  # of a number; the boosted trees ask for no finer

# Shape and contrast of the whole picture are left out: the collages of a search engine need not
# have those of ours.
USED = [k for k in range(COUNT) if k not in WHOLE]
_MONOTONE = [MONOTONE[k] for k in USED]

Model = Callable[[np.ndarray], np.ndarray]


def cross_fit(
    features: np.ndarray, truth: np.ndarray, folds: np.ndarray, use: np.ndarray
) -> np.ndarray:
    """P(collage) of each example by a model of those of ``use`` in the other folds.

    Args:
        features: float32 N x len(USED).
        truth: bool N, whether it is a composed collage.
        folds: int N.
        use: bool N, what may be learnt from.
    """
    scores = np.zeros(len(features))
    for number in range(FOLDS):
        learnt = (folds != number) & use
        judged = folds == number
        if judged.any() and len(set(truth[learnt].tolist())) == 2:
            scores[judged] = _fit(features[learnt], truth[learnt])(features[judged])
    return scores


def _fit(features: np.ndarray, truth: np.ndarray) -> Model:
    """A model of P(collage), both kinds weighing the same."""
    from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

    # Binned here: the boosted trees' own binning takes longer than they do.
    places = np.linspace(0, 1, _BINS + 1)[1:-1]
    edges = [np.unique(edge) for edge in np.quantile(features, places, axis=0, method="nearest").T]

    def binned(some: np.ndarray) -> np.ndarray:
        columns = zip(edges, some.T, strict=True)
        return np.stack([np.searchsorted(edge, column, "right") for edge, column in columns], 1)

    boosted = HistGradientBoostingClassifier(
        learning_rate=0.1,
        max_iter=60,
        max_bins=_BINS,
        max_leaf_nodes=8,
        min_samples_leaf=8,
        l2_regularization=1,
        early_stopping=False,
        monotonic_cst=_MONOTONE,
        class_weight="balanced",
        random_state=0,
    ).fit(binned(features), truth)
    forest = ExtraTreesClassifier(
        120, min_samples_leaf=2, max_features=0.2, class_weight="balanced", random_state=0
    ).fit(features, truth)
    return lambda some: np.asarray(
        (boosted.predict_proba(binned(some))[:, 1] + forest.predict_proba(some)[:, 1]) / 2
    )


def bend(scores: np.ndarray, line: float) -> np.ndarray:
    """Scores in [0, 1] with ``line`` moved to ``LINE``: the same order, comparable between sets."""
    low = LINE * scores / line
    high = LINE + (1 - LINE) * (scores - line) / max(1 - line, 1e-9)
    # Rounded for the tables; what lies below the line must stay there.
    below = np.minimum(np.round(low, 4), LINE - 1e-4)
    return np.where(scores >= line, np.round(np.minimum(high, 1.0), 4), below)
