"""The models that weigh seam evidence, and their honest scores.

Few examples, many numbers: boosted trees alone learn the noise of one folder, and the same photo
scored 0.00 in one and 1.00 in another (measured). Two kinds of trees of unlike error are averaged,
and where more evidence can only mean more of a collage the boosted ones are held to that (monotone
constraints). Straight joins and loose prints are told from single pictures by models of their own,
and the likelier of the two counts: together they would have to know one from the other.

Every score is out of fold: of a model that saw neither the picture, nor a copy of it, nor a collage
made of it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from pipeline.cleaning.mixture import posterior
from pipeline.cleaning.seams import COUNT, MONOTONE, WHOLE

FOLDS = 4
LINE = 0.5  # scores are bent so that what may be called a collage starts here
_BINS = 64  # of a number; the boosted trees ask for no finer
_FAINT = 1e-3  # weight of what is no single picture: some are needed to learn from

# Shape and contrast of the whole picture are left out: the collages of a search engine need not
# have those of ours.
USED = [k for k in range(COUNT) if k not in WHOLE]
_MONOTONE = [MONOTONE[k] for k in USED]

Model = Callable[[np.ndarray], np.ndarray]


def cross_fit(
    features: np.ndarray,
    truth: np.ndarray,
    loose: np.ndarray,
    folds: np.ndarray,
    use: np.ndarray,
    doubtful: np.ndarray,
) -> np.ndarray:
    """P(collage) of each example by models of those of ``use`` in the other folds.

    What is not known to be a collage stands for a single picture, the less the likelier it is one:
    a first pass, out of fold within the other folds, says how likely.

    Args:
        features: float32 N x len(USED).
        truth: bool N, whether it is a composed collage; ``loose``: and one of the loose kind.
        folds: int N.
        use: bool N, what may be learnt from; ``doubtful``: but not in the first pass.
    """
    # Without two folds a model may judge either of them.
    first = {}
    for pair in combinations(range(FOLDS), 2):
        judged = np.isin(folds, pair)
        some = np.zeros(len(features))
        learnt = use & ~(judged | doubtful)
        some[judged] = _fit_kinds(features, truth, loose, learnt)(features[judged])
        first[pair] = some
    scores = np.zeros(len(features))
    for number in range(FOLDS):
        seen = np.zeros(len(features))
        for other in set(range(FOLDS)) - {number}:
            there = folds == other
            seen[there] = first[min(number, other), max(number, other)][there]
        learnt = use & (folds != number)
        unknown, weight = learnt & ~truth, np.ones(len(features))
        doubt = posterior(seen[unknown], seen[learnt & truth])
        weight[unknown] = _believed(doubt, doubtful[unknown])
        judged = folds == number
        scores[judged] = _fit_kinds(features, truth, loose, learnt, weight)(features[judged])
    return scores


def _believed(doubt: np.ndarray, doubtful: np.ndarray) -> np.ndarray:
    """How much pictures weigh as single ones: by the odds of being such, and where a plain join
    speaks against them, not at all once they are likelier collages."""
    return np.maximum(np.where(doubtful, 1 - 2 * doubt, 1 - doubt), _FAINT)


def _fit_kinds(
    features: np.ndarray,
    truth: np.ndarray,
    loose: np.ndarray,
    learnt: np.ndarray,
    weight: np.ndarray | None = None,
) -> Model:
    """The greater of P(straight joins) and P(loose) against single pictures, of the examples in
    ``learnt``; 0 where there is nothing to learn."""
    weight = np.ones(len(features)) if weight is None else weight
    models = []
    for kind in (truth & ~loose, truth & loose):
        some = learnt & (kind | ~truth)
        if len(set(truth[some].tolist())) == 2:
            models.append(_fit(features[some], truth[some], weight[some]))

    def judge(some: np.ndarray) -> np.ndarray:
        if not models or not len(some):
            return np.zeros(len(some))
        return np.asarray(np.max([model(some) for model in models], axis=0))

    return judge


def _fit(features: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> Model:
    """A model of P(collage), both kinds weighing the same."""
    from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

    # Binned here: the boosted trees' own binning of weighted examples takes longer than they do.
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
    ).fit(binned(features), truth, sample_weight=weight)
    forest = ExtraTreesClassifier(
        120, min_samples_leaf=2, max_features=0.2, class_weight="balanced", random_state=0
    ).fit(features, truth, sample_weight=weight)
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
