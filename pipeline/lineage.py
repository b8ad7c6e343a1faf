"""Back from a drawn picture, a model or a run: to the commit, the params, the data, the sources.

Each step is looked up where it is recorded: the note in the PNG, model.json, the MLflow run, the
packed data set, the manifest of the raw pictures. What is not there any more is said, not guessed.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.dataset.dataset import Dataset
from pipeline.errors import PipelineError
from pipeline.evaluation.copies import nearest_few
from pipeline.knobs import flatten
from pipeline.model import read_info
from pipeline.model_names import find_model
from pipeline.raw import MANIFEST
from pipeline.stamp import name_in, read_note, trained_by
from pipeline.tracking_store import client_of
from pipeline.workspace import Workspace

SOURCE = ("source", "licence", "author", "image_url", "page_url")
_COUNTED = ("source", "licence")
UNKNOWN = "not known"


def trace(workspace: Workspace, name: str, count: int = 5) -> dict[str, Any]:
    """Where ``name`` comes from, as plain values.

    Args:
        name: a PNG that ``pipeline generate`` or a served model drew, or what ``find_model`` takes.
        count: nearest training pictures of a PNG.

    Returns:
        ``picture`` (the PNG's note, for a PNG), ``model``, ``run`` (empty if MLflow does not have
        it), ``params``, ``data``; ``nearest`` for a PNG, else ``sources``: how many training
        pictures came from where, under which licence. ``missing``: a line for what is not there.

    Raises:
        PipelineError: ``name`` is nothing of this project.
    """
    path = Path(name)
    missing: list[str] = []
    if path.is_file():
        note, image = _read_picture(path)
        info, run_id = _model_of(workspace, note), name_in(note, "run_id")
        found: dict[str, Any] = {"picture": {"path": name} | note}
        if info is None:
            missing.append("the model's folder: models/ holds other weights, and MLflow none")
            info = {"weights_sha256": note.get("weights_sha256"), "training": {
                "data_digest": note.get("data_digest"), "fingerprint": note.get("fingerprint"),
            }}  # fmt: skip
    else:
        folder, image = find_model(workspace, name), None
        info, run_id, found = read_info(folder), trained_by(folder), {}
    training = info.get("training", {})
    run = _run(workspace, run_id, str(training.get("fingerprint") or ""))
    if not run:
        missing.append("the run: MLflow's store here does not have it")
    found["model"] = {
        "weights_sha256": info.get("weights_sha256"),
        "fingerprint": training.get("fingerprint"),
        "images": training.get("images"),
        "parameters": info.get("parameters"),
    }
    found["run"] = run
    own = flatten({k: training[k] for k in ("seed", "train") if k in training})
    found["params"] = run.pop("params", None) or {key: str(value) for key, value in own.items()}
    digest = str(training.get("data_digest") or run.get("data_digest") or "")
    found["data"] = {"digest": digest}
    found |= _sources(workspace, digest, image, count, missing)
    return found | {"missing": missing}


def _read_picture(path: Path) -> tuple[dict[str, Any], np.ndarray]:
    """The note and the pixels, uint8 H×W×3."""
    try:
        note = read_note(path)
        with Image.open(path) as picture:
            image = np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise PipelineError(f"{path}: not a picture: {error}") from None
    if note is None:
        raise PipelineError(
            f"{path}: says nothing of where it comes from; the PNGs of `pipeline generate` do, as "
            "long as no other program has saved them"
        )
    return note, image


def _model_of(workspace: Workspace, note: dict[str, Any]) -> dict[str, Any] | None:
    """model.json of the weights that drew a picture: of ``models/``, or of the run's model."""
    wanted = note.get("weights_sha256")
    for name in (None, name_in(note, "run_id")):
        if name == "":
            continue
        try:
            info = read_info(find_model(workspace, name))
        except PipelineError:
            continue
        if info.get("weights_sha256") == wanted:
            return info
    return None


def _run(workspace: Workspace, run_id: str, fingerprint: str) -> dict[str, Any]:
    """The MLflow run of a training, by id or else by what was trained; empty if it is not there."""
    try:
        client = client_of(workspace)
    except (ImportError, PipelineError):
        return {}
    from pipeline.tracking import existing

    run = existing(client, run_id) if run_id else None
    if run is None and fingerprint.isalnum():
        ids = [item.experiment_id for item in client.search_experiments()]
        wanted = f"tags.`train.fingerprint` = '{fingerprint}'"
        run = next(iter(client.search_runs(ids, wanted, max_results=1)), None)
    if run is None:
        return {}
    tags = run.data.tags
    return {
        "run_id": run.info.run_id,
        "name": run.info.run_name,
        "status": run.info.status,
        "commit": tags.get("git.commit", ""),
        "dirty": tags.get("git.dirty") == "true",
        "experiment": tags.get("dvc.exp", ""),
        "data_digest": tags.get("data.digest", ""),
        "params": dict(run.data.params),
    }


# --------------------------------------------------------------------------- training pictures


def _sources(
    workspace: Workspace,
    digest: str,
    image: np.ndarray | None,
    count: int,
    missing: list[str],
) -> dict[str, Any]:
    """``nearest`` of ``image``, or ``sources`` of all training pictures."""
    try:
        data = Dataset.load(workspace.dataset)
    except PipelineError:
        missing.append("the training pictures: there is no data/dataset; `dvc checkout` brings it")
        return {}
    if data.digest != digest:
        missing.append(
            "the training pictures: data/dataset is another set; `git checkout` the commit, then "
            "`dvc checkout`"
        )
        return {}
    rows = data.index.iloc[data.train_indices].reset_index(drop=True)
    manifest = _manifest(workspace, missing)
    if image is None:
        return {"sources": _counted(rows, manifest)}
    train = np.ascontiguousarray(data.images[data.train_indices])
    if image.shape != train.shape[1:]:
        missing.append(f"the nearest pictures: the PNG is {image.shape[1]}x{image.shape[0]} pixels")
        return {}
    index, distance, mirrored = nearest_few(image, train, count)
    return {
        "nearest": [
            {
                "path": str(rows.path[i]),
                "breed": str(rows.breed[i]),
                "distance": round(float(gap), 2),
                "mirrored": bool(turned),
                "sources": manifest.get(str(rows.sha256[i]), []),
            }
            for i, gap, turned in zip(index, distance, mirrored, strict=True)
        ]
    }


def _manifest(workspace: Workspace, missing: list[str]) -> dict[str, list[dict[str, str]]]:
    """Where each raw picture was found, by sha256; one may have been found more than once."""
    try:
        table = pd.read_parquet(workspace.raw / MANIFEST, columns=["sha256", *SOURCE])
    except Exception as error:  # missing, damaged, of another form: each with errors of its own
        missing.append(f"the sources: data/raw/{MANIFEST} cannot be read ({type(error).__name__})")
        return {}
    found: dict[str, list[dict[str, str]]] = {}
    for row in table.to_dict("records"):
        plain = {key: "" if pd.isna(row[key]) else str(row[key]) for key in SOURCE}
        found.setdefault(str(row["sha256"]), []).append(plain)
    return found


def _counted(rows: pd.DataFrame, manifest: dict[str, list[dict[str, str]]]) -> list[dict[str, Any]]:
    """How many training pictures came from which source under which licence, most first."""
    counts: Counter[tuple[str, ...]] = Counter()
    for digest in rows.sha256:
        first = next(iter(manifest.get(str(digest), [])), {})
        counts[tuple(first.get(key) or UNKNOWN for key in _COUNTED)] += 1
    return [
        dict(zip(_COUNTED, key, strict=True)) | {"pictures": number}
        for key, number in counts.most_common()
    ]
