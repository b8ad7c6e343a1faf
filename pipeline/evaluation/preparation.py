"""What an evaluation needs before it measures: model and data that fit, nets of its metrics."""

from __future__ import annotations

import numpy as np

from pipeline.dataset.dataset import Dataset
from pipeline.devices import resolve_device
from pipeline.diffusion.sampling import Sampling
from pipeline.errors import ParamsError, PipelineError
from pipeline.evaluation.catalogue import DINOV2
from pipeline.evaluation.dinov2 import load_dinov2
from pipeline.evaluation.features import LocalFeatures, cached_features
from pipeline.evaluation.inception import load_inception
from pipeline.evaluation.metrics import Extract, Pictures, rounded
from pipeline.evaluation.noise import MEASURED, NOISE, measure_of, standard_error
from pipeline.model import Model
from pipeline.params import EvaluateParams
from pipeline.workspace import Workspace


def check_primary(name: str) -> None:
    if name not in MEASURED:
        known = ", ".join(MEASURED)
        raise ParamsError(f"evaluate.primary: got {name!r}, expected one of {known}")


def check_fit(model: Model, dataset: Dataset) -> None:
    """Raises PipelineError where the model was not trained on data of this kind."""
    if model.classes != dataset.classes:
        odd = sorted(set(model.classes) ^ set(dataset.classes)) or ["the order"]
        raise PipelineError(
            f"models/ and data/dataset do not belong together: the breeds differ "
            f"({', '.join(odd[:4])}{', …' if len(odd) > 4 else ''}); run `dvc repro` or train anew"
        )
    if model.size != dataset.images.shape[1]:
        raise PipelineError(
            f"models/ and data/dataset do not belong together: pictures of {model.size} and "
            f"{dataset.images.shape[1]} pixels; run `dvc repro` or train anew"
        )
    if len(dataset.train_indices) < 4:
        raise PipelineError(
            f"data/dataset: {len(dataset.train_indices)} training pictures are too few to measure "
            "against: scrape more, or lower resize.held_out"
        )


def split(dataset: Dataset) -> tuple[Pictures, Pictures]:
    train, held_out = (
        Pictures(np.ascontiguousarray(dataset.images[rows]), np.asarray(dataset.labels)[rows])
        for rows in (dataset.train_indices, dataset.held_out_indices)
    )
    return train, held_out


def nets_at_hand(chosen: EvaluateParams) -> dict[str, Extract]:
    """Features of the nets whose weights params name, by what ends their metrics' names.

    Raises:
        ParamsError: they cannot be had.
    """
    device = resolve_device(chosen.device, "evaluate.device")
    found = {}
    if chosen.inception:
        found[""] = load_inception(chosen.inception, chosen.inception_sha256, device)
    if chosen.dinov2:
        found[DINOV2] = load_dinov2(chosen.dinov2, chosen.dinov2_sha256, device)
    return found


def feature_net(space: Workspace, dataset: Dataset, train: Pictures) -> LocalFeatures:
    """The net behind the ``…_local`` metrics; trained once for a data set."""
    folder = space.cache / "features"
    return cached_features(folder, dataset.digest, train.images, train.labels, len(dataset.classes))


def how_of(chosen: EvaluateParams) -> Sampling:
    """How params want pictures to be drawn."""
    return Sampling(
        chosen.sampler,
        chosen.steps,
        chosen.guidance,
        chosen.guide,
        chosen.eta,
        chosen.variance,
    )


def primary_noise(
    chosen: EvaluateParams, samples: Pictures, train: Pictures, classes: int, local: Extract
) -> dict[str, float]:
    """``<primary>_noise``: the standard error of the figure that ranks models."""
    measure = measure_of(chosen.primary, train, classes, chosen.seed, local)
    name = f"{chosen.primary}{NOISE}"
    return rounded({name: standard_error(measure, samples, chosen.seed)})
