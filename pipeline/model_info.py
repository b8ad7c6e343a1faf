"""model.json: what a saved model says of itself, read as if a stranger had written it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pipeline import workspace
from pipeline.errors import PipelineError
from pipeline.knobs import shown

FORMAT = 2
_MOST_INFO = 16 << 20  # bytes of model.json
_MOST_CLASSES, _LONGEST_NAME = 100_000, 200  # names, and characters of one
_SHA256 = re.compile("[0-9a-f]{64}")


def read_info(folder: Path) -> dict[str, Any]:
    """What model.json says; what its readers rely on has the right type.

    Raises:
        PipelineError: there is none, or one that is damaged or of another format.
    """
    path = folder / "model.json"
    try:
        info = workspace.read_json(path, _MOST_INFO)
    except FileNotFoundError:
        raise no_model(folder, "model.json") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PipelineError(f"{path} cannot be read: {reason}") from None
    if type(info.get("format")) is not int or info["format"] != FORMAT:
        raise PipelineError(f"{path} is not a model of format {FORMAT}")
    try:
        check_info(info)
    except ValueError as error:
        raise PipelineError(f"{path}: {error}") from None
    return info


def check_info(info: dict[str, Any]) -> None:
    """Raises ValueError, naming the key, where what is said beside the architecture is of another
    type than ``save_model`` writes. What is not said is not missed."""
    training = info.get("training", {})
    if not isinstance(training, dict):
        raise ValueError(f"training: got {shown(training)}, expected a section with keys")
    numbers = (info, "parameters"), (training, "images"), (training, "seed")
    texts = (training, "fingerprint"), (training, "data_digest"), (info, "version")
    digests = (info, "weights_sha256"), (info, "guide_sha256")
    for section, key in numbers:
        value = section.get(key, 0)
        if type(value) is not int or not 0 <= value < 2**63:
            raise ValueError(f"{key}: got {shown(value)}, expected an integer of 0 or more")
    for section, key in texts:
        if not _is_name(section.get(key, "none")):
            raise ValueError(f"{key}: got {shown(section[key])}, expected a line of text")
    for section, key in digests:
        value = section.get(key)
        if value is not None and not (isinstance(value, str) and _SHA256.fullmatch(value)):
            raise ValueError(f"{key}: got {shown(value)}, expected 64 hexadecimal digits")


def _is_name(value: Any) -> bool:
    """Whether it is text that can stand in a line: not empty, not long, nothing but letters."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()


def no_model(folder: Path, missing: str) -> PipelineError:
    return PipelineError(
        f"no model in {folder} ({missing} is missing): train one with `dvc repro train` or name "
        "another folder"
    )


def class_names(names: Any) -> list[str]:
    """Raises ValueError for what is no list of names that differ: they are printed and drawn."""
    if not isinstance(names, list) or not 0 < len(names) <= _MOST_CLASSES:
        raise ValueError(f"classes: got {shown(names)}, expected a list of names")
    for name in names:
        if not _is_name(name):
            raise ValueError(
                f"classes: got {shown(name)}, expected a name of 1 to {_LONGEST_NAME} characters "
                "that can be printed"
            )
    if len(set(names)) < len(names):
        raise ValueError("classes: a name is given twice")
    return names
