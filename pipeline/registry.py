"""The final model in MLflow: a LoggedModel that serves itself, its version, and the champion.

What a name of a model means (a path, a run, ``models:/dogs@champion``) is in
``pipeline.model_names``.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.candidate import Candidate, Result
from pipeline.errors import PipelineError
from pipeline.model import GUIDE, WEIGHTS, read_info
from pipeline.stamp import trained_by
from pipeline.tracking_store import current_store, import_mlflow

CHAMPION = "champion"
TYPE = "generator"
CODE = "served.py"
# What served.py needs of this project; the model carries it along and serves without a clone.
NEEDED = (
    "__init__.py", "devices.py", "diffusion", "errors.py", "knobs.py", "model.py", "model_info.py",
    "nets", "params.py", "params_together.py", "stamp.py", "workspace.py",
)  # fmt: skip
PACKAGES = ("mlflow", "numpy", "pandas", "pillow", "ruamel.yaml", "safetensors", "torch")
FILES = ("model.json", WEIGHTS, GUIDE)


def register(
    client: Any,
    run_id: str,
    experiment_id: str,
    folder: Path,
    candidate: Candidate,
    at: int,
) -> str:
    """Keep the model in ``folder`` as a version of its name, and move the champion if it is better.

    Done again, nothing changes: equal weights are one LoggedModel and one version.

    Args:
        client: of MLflow.
        run_id: the run whose result it is.
        at: milliseconds since 1970, of the metrics.

    Returns:
        One line: where the champion is now, and why.
    """
    from mlflow.entities import LoggedModelOutput, Metric

    name = re.sub(r"[/:'\"`]+", "-", candidate.name)  # what MLflow allows
    info = _checked_info(folder)
    model = _logged(client, run_id, experiment_id, folder, name, info, candidate.how)
    step = int(info.get("training", {}).get("images", 0))
    known = {
        (metric.key, metric.value)
        for metric in client.get_logged_model(model.model_id).metrics or []
        if metric.run_id == run_id
    }
    linked = [
        Metric(key, float(value), at, 0, model_id=model.model_id)
        for key, value in candidate.metrics.items()
        if (key, float(value)) not in known
    ]
    client.log_batch(run_id, metrics=linked)
    outputs = client.get_run(run_id).outputs
    if model.model_id not in {item.model_id for item in getattr(outputs, "model_outputs", [])}:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step)])
    number = _version(client, name, model.model_id, run_id, info)
    for key, value in _tags(candidate.result, run_id).items():
        client.set_model_version_tag(name, number, key, value)
    return settle(client, name, number, candidate.result)


def _checked_info(folder: Path) -> dict[str, Any]:
    """model.json. Raises ValueError where that is none: a spool may come from anywhere."""
    try:
        info = read_info(folder)
    except PipelineError as error:
        raise ValueError(str(error)) from None
    if not str(info.get("weights_sha256", "")).isalnum():
        raise ValueError("model.json names no weights")
    links = [name for name in FILES if (folder / name).is_symlink()]
    if links:
        raise ValueError(f"{', '.join(links)}: a link, not a file")
    if not (folder / WEIGHTS).is_file():
        raise FileNotFoundError(WEIGHTS)
    return info


def _logged(
    client: Any,
    run_id: str,
    experiment_id: str,
    folder: Path,
    name: str,
    info: Mapping[str, Any],
    how: Mapping[str, Any],
) -> Any:
    """The LoggedModel of these weights, made if it is not there."""
    from mlflow.entities import LoggedModelStatus

    digest = str(info["weights_sha256"])
    wanted = f"name = '{name}' AND tags.weights_sha256 = '{digest}'"
    found = client.search_logged_models([experiment_id], filter_string=wanted)
    for model in found:
        if model.status == LoggedModelStatus.READY:
            return model
    training = info.get("training", {})
    model = found[0] if found else client.create_logged_model(
        experiment_id,
        name=name,
        source_run_id=run_id,
        tags={"weights_sha256": digest, "step": str(training.get("images", 0))},
        params={"fingerprint": str(training.get("fingerprint", ""))},
        model_type=TYPE,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "pyfunc"
        save_pyfunc(folder, place, how, model.model_id, run_id)
        client.log_model_artifacts(model.model_id, str(place))
    return client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)


def _version(client: Any, name: str, model_id: str, run_id: str, info: Mapping[str, Any]) -> str:
    """The number of the version that is this LoggedModel, made if it is not there."""
    from mlflow import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    for known in client.search_model_versions(f"name = '{name}'"):
        if logged_of(known) == model_id:
            return str(known.version)
    tags = {"weights_sha256": str(info["weights_sha256"])}
    source = f"models:/{model_id}"
    with current_store(client.tracking_uri):
        made = client.create_model_version(name, source, run_id, tags=tags, model_id=model_id)
    return str(made.version)


def logged_of(found: Any) -> str:
    """The id of the LoggedModel that a version is; empty if it is none."""
    # Not its ``model_id``: the store on SQLite leaves that empty.
    prefix, _, model_id = str(found.source).partition("models:/")
    return "" if prefix else model_id


def _tags(result: Result, run_id: str) -> dict[str, str]:
    values = {"metric": result.metric, "value": result.value, "noise": result.noise}
    tags = {f"primary.{key}": str(value) for key, value in values.items()}
    return tags | {"primary.data": result.data, "primary.run_id": run_id}


# --------------------------------------------------------------------------- the champion


def settle(client: Any, name: str, number: str, result: Result) -> str:
    """Move the alias ``champion`` to version ``number`` if that is better by more than noise."""
    said = f"{name} version {number}: {result}"
    champion = _champion(client, name)
    if math.isnan(result.value):
        return f"{said}; champion stays: {result.metric} could not be measured"
    if champion is None:
        client.set_registered_model_alias(name, CHAMPION, number)
        return f"{said}; it is the champion, as the first"
    if str(champion.version) == number:
        return f"{said}; champion stays: it is this version"
    before = _of_champion(client, champion, result)
    of = f"version {champion.version}"
    if before is None:
        return (
            f"{said}; champion stays {of}, which has no {result.metric} to compare with: "
            "evaluate that model with this evaluate.primary"
        )
    gain, noise = result.gain(before.value), math.hypot(result.noise, before.noise)
    other = "" if before.data == result.data else " (measured on other data)"
    if gain > noise:
        client.set_registered_model_alias(name, CHAMPION, number)
        return f"{said}; champion moves from {of} with {before}{other}: better by {gain:.3g}"
    why = f"better by {gain:.3g}, within the noise of {noise:.3g}" if gain > 0 else "no better"
    return f"{said}; champion stays {of} with {before}{other}: {why}"


def _champion(client: Any, name: str) -> Any:
    """The version the alias names, or None."""
    number = dict(client.get_registered_model(name).aliases).get(CHAMPION)
    return None if number is None else client.get_model_version(name, str(number))


def _of_champion(client: Any, champion: Any, result: Result) -> Result | None:
    """The champion's figure: from its tags, or from the metrics of its LoggedModel."""
    tags = champion.tags
    data = tags.get("primary.data", "")
    if tags.get("primary.metric") == result.metric:
        last = float(tags["primary.value"]), float(tags.get("primary.noise", 0))
        return None if math.isnan(last[0]) else Result(result.metric, *last, "", data)
    if not logged_of(champion):
        return None
    known = {m.key: m.value for m in client.get_logged_model(logged_of(champion)).metrics or []}
    value = known.get(f"eval/{result.metric}", math.nan)
    if math.isnan(value):
        return None
    noise = known.get(f"eval/{result.metric}_noise", 0.0)
    return Result(result.metric, value, noise, "", data)


# --------------------------------------------------------------------------- as a pyfunc


def save_pyfunc(
    folder: Path, place: Path, how: Mapping[str, Any], model_id: str = "", run_id: str = ""
) -> None:
    """Write the model in ``folder`` to ``place`` as MLflow loads and serves it, without pickles.

    Args:
        how: defaults of ``sampler``, ``steps`` and ``guidance``.
        model_id: of the LoggedModel whose artifacts these become.
    """
    mlflow = import_mlflow()
    from mlflow.models import Model

    about = Model(model_id=model_id or None, run_id=run_id or None)
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "model"
        model.mkdir()
        for name in FILES:
            if (folder / name).is_file():
                shutil.copy2(folder / name, model / name)
        trained = {"run_id": trained_by(folder) or run_id}
        (model / "run.json").write_text(json.dumps(trained), encoding="utf-8")
        code = Path(scratch) / "pipeline"
        copy_code(code)
        with warnings.catch_warnings():
            # That there is no input example: the signature is written here, not guessed from one.
            warnings.simplefilter("ignore", UserWarning)
            mlflow.pyfunc.save_model(
                str(place),
                mlflow_model=about,
                python_model=str(Path(__file__).parent / CODE),
                artifacts={"model": str(model)},
                code_paths=[str(code)],
                signature=signature(how),
                pip_requirements=[f"{name}=={version(name)}" for name in PACKAGES],
            )
    # MLflow notes the version of a pickler that it has not used, and where the files were before.
    flavor = about.flavors["python_function"]
    flavor.pop("cloudpickle_version", None)
    flavor["model_code_path"] = CODE
    flavor["artifacts"]["model"]["uri"] = flavor["artifacts"]["model"]["path"]
    about.save(str(place / "MLmodel"))


def copy_code(target: Path) -> None:
    source = Path(__file__).parent
    target.mkdir()
    for name in NEEDED:
        if (source / name).is_dir():
            only = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source / name, target / name, ignore=only)
        else:
            shutil.copy2(source / name, target / name)


def signature(how: Mapping[str, Any]) -> Any:
    """Rows of ``breed`` and ``seed`` in, ``png`` out, with the params of sampling."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    return ModelSignature(
        inputs=Schema([ColSpec("string", "breed"), ColSpec("long", "seed")]),
        outputs=Schema([ColSpec("string", "png")]),
        params=ParamSchema(
            [
                ParamSpec("sampler", "string", str(how["sampler"])),
                ParamSpec("steps", "long", int(how["steps"])),
                ParamSpec("guidance", "double", float(how["guidance"])),
            ]
        ),
    )
