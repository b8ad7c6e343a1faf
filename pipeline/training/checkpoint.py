"""Training state on disk: written aside and renamed, checked on load, the last few kept."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from pipeline import workspace
from pipeline.errors import PipelineError, refused
from pipeline.training.posthoc import FOLDER

_NAME = re.compile(r"state-(\d{12})-([0-9a-f]{16})\.safetensors")
_KEY = "state"  # of the plain values, in the file's own metadata


@dataclass(frozen=True)
class State:
    """What a training is: its tensors by name, and its plain values (numbers, texts, lists)."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names start with ``prefix``, without it."""
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }

    def counts(self) -> tuple[int, list[list[float]], int]:
        """Images seen, the lines of the log, and steps left out, of ``values``.

        Raises:
            KeyError, TypeError: they are not there, or something else.
        """
        nimg, history, skipped = (self.values[key] for key in ("nimg", "history", "skipped"))
        lines = isinstance(history, list) and all(
            isinstance(line, list) and [type(one) for one in line] == [float] * 4
            for line in history
        )
        if type(nimg) is not int or type(skipped) is not int or not lines or nimg < 0:
            raise TypeError("its counts are no numbers")
        return nimg, history, skipped


class Checkpoints:
    """The checkpoints of one training, in a folder of its own.

    A file is a safetensors file: loading it can execute nothing. Its name holds the images seen and
    the start of the sha256 of its bytes, so a damaged one is known without trusting its content.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep

    def save(self, nimg: int, state: State) -> Path:
        """Write ``state``, and remove all but the last ``keep``.

        Raises:
            PipelineError: the disk refused; every earlier checkpoint is untouched.
        """
        tensors = {name: tensor.contiguous() for name, tensor in state.tensors.items()}
        content = safetensors.torch.save(tensors, {_KEY: json.dumps(state.values)})
        digest = hashlib.sha256(content).hexdigest()[:16]
        path = self.folder / f"state-{nimg:012d}-{digest}.safetensors"
        try:
            with workspace.atomic_write(path) as file:
                file.write(content)
        except OSError as error:
            raise PipelineError(
                f"checkpoint {refused(error)}; it continues from the checkpoint before"
            ) from None
        for old in self._newest_first()[self.keep :]:
            old.unlink()
        return path

    def load(self) -> tuple[State | None, list[str]]:
        """The newest sound state, and a line about each damaged file that was passed over."""
        damaged: list[str] = []
        for path in self._newest_first():
            state = _state_in(path)
            if state is not None:
                return state, damaged
            damaged.append(f"{path.name} is damaged: falling back to the checkpoint before it")
        return None, damaged

    def clear(self) -> None:
        """Remove the checkpoints, the averages' snapshots, and what a killed writer left behind."""
        shutil.rmtree(self.folder / FOLDER, ignore_errors=True)
        for pattern in ("state-*.safetensors", ".state-*.tmp"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)

    def _newest_first(self) -> list[Path]:
        found = (path for path in self.folder.glob("state-*") if _NAME.fullmatch(path.name))
        return sorted(found, key=lambda path: path.name, reverse=True)


def _state_in(path: Path) -> State | None:
    """The state in a file that is what its name says; None if it is not, whatever it holds."""
    match = _NAME.fullmatch(path.name)
    try:
        with workspace.open_regular(path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if not match or not digest.startswith(match[2]):
                return None
            file.seek(0)
            content = file.read()
        state = State(safetensors.torch.load(content), _plain_values(content))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError):
        return None
    return state if isinstance(state.values, dict) else None


def _plain_values(content: bytes) -> dict[str, Any]:
    """Those in the header of a safetensors file: its length in 8 bytes, then JSON."""
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]
    return json.loads(json.loads(header)["__metadata__"][_KEY])
