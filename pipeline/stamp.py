"""The note in a drawn picture that says what drew it: a text chunk of its PNG, read by nobody but
``pipeline lineage`` and whoever asks the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipeline import __version__

if TYPE_CHECKING:
    from pipeline.diffusion.sampling import Sampling

KEY = "breed-diffusion"
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
    try:
        note = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return str(note["run_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


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
    except ValueError:
        return None
    return note if isinstance(note, dict) else None
