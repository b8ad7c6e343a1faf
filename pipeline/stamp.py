"""The note in a drawn picture that says what drew it: a text chunk of its PNG, read by nobody but
``pipeline lineage`` and whoever asks the file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipeline import __version__, workspace

if TYPE_CHECKING:
    from pipeline.diffusion.sampling import Sampling

KEY = "breed-diffusion"
_NAME = re.compile(r"[0-9a-zA-Z_-]{1,64}")
_LONGEST = 65_536  # characters of a note that is read


def note_of(
    info: Mapping[str, Any], run_id: str, breed: str, seed: int | str, how: Sampling
) -> dict[str, Any]:
    """What a picture says of itself.

    Args:
        info: model.json.
        run_id: of the training in MLflow; empty where it is not known.
        seed: of its noise; a text for one between two seeds.
    """
    training = info.get("training", {})
    return {
        "version": __version__,
        "run_id": run_id,
        "fingerprint": training.get("fingerprint", ""),
        "weights_sha256": info.get("weights_sha256", ""),
        "data_digest": training.get("data_digest", ""),
        "breed": breed,
        "seed": seed,
        "sampler": how.sampler,
        "steps": how.steps,
        "guidance": how.guidance,
        "guide": how.guide,
        "strength": how.strength,
    }


def trained_by(folder: Path) -> str:
    """MLflow's id of the run that trained the model in ``folder``, from run.json; else empty."""
    return name_in(read_run(folder), "run_id")


def read_run(folder: Path) -> dict[str, Any]:
    """What run.json in ``folder`` says; empty where there is none that can be read."""
    try:
        return workspace.read_json(folder / "run.json", _LONGEST)
    except (OSError, ValueError):
        return {}


def name_in(note: Mapping[str, Any], key: str) -> str:
    """The name of a run, experiment or spool under ``key``; empty if it is none.

    Notes come from anybody: a path or an address is no such name.
    """
    value = note.get(key)
    return value if isinstance(value, str) and _NAME.fullmatch(value) else ""


def chunk(note: Mapping[str, Any] | None) -> PngInfo | None:
    """``note`` as what Pillow writes into a PNG."""
    if note is None:
        return None
    chunks = PngInfo()
    chunks.add_itxt(KEY, json.dumps(note, ensure_ascii=False, sort_keys=True))
    return chunks


def read_note(path: Path) -> dict[str, Any] | None:
    """The note in the PNG ``path``; None if it has none that can be read.

    Raises:
        OSError: the file is no picture that can be opened.
    """
    with Image.open(path) as picture:
        text = picture.info.get(KEY)
    if not isinstance(text, str) or len(text) > _LONGEST:
        return None
    try:
        note = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return note if isinstance(note, dict) else None
