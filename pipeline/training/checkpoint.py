"""Training state on disk: written aside and renamed, checked on load, the last few kept."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
from pathlib import Path
from typing import Any

import torch

from pipeline import workspace
from pipeline.errors import PipelineError
from pipeline.training.posthoc import FOLDER

_NAME = re.compile(r"state-(\d{12})-([0-9a-f]{16})\.pt")


class Checkpoints:
    """The checkpoints of one training, in a folder of its own.

    A file's name holds the images seen and the start of the sha256 of its bytes, so a damaged
    file is known without trusting anything inside it.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep

    def save(self, nimg: int, state: dict[str, Any]) -> Path:
        """Write ``state`` (tensors, numbers, text, dicts and lists of them).

        Raises:
            PipelineError: the disk refused; every earlier checkpoint is untouched.
        """
        buffer = io.BytesIO()
        torch.save(state, buffer)
        digest = hashlib.sha256(buffer.getbuffer()).hexdigest()[:16]
        path = self.folder / f"state-{nimg:012d}-{digest}.pt"
        try:
            with workspace.atomic_write(path) as file:
                file.write(buffer.getbuffer())
        except OSError as error:
            raise PipelineError(
                f"checkpoint {path} cannot be written ({error.strerror}): free some space and run "
                "the same command again; it continues from the checkpoint before"
            ) from None
        for old in self._newest_first()[self.keep :]:
            old.unlink()
        return path

    def load(self) -> tuple[dict[str, Any] | None, list[str]]:
        """The newest sound state, and a line about each damaged file that was passed over."""
        damaged: list[str] = []
        for path in self._newest_first():
            content = path.read_bytes()
            match = _NAME.fullmatch(path.name)
            if match and hashlib.sha256(content).hexdigest().startswith(match[2]):
                # weights_only: tensors and plain values; nothing in the file is executed.
                return torch.load(io.BytesIO(content), "cpu", weights_only=True), damaged
            damaged.append(f"{path.name} is damaged: falling back to the checkpoint before it")
        return None, damaged

    def clear(self) -> None:
        """Remove the checkpoints, the averages' snapshots, and what a killed writer left behind."""
        shutil.rmtree(self.folder / FOLDER, ignore_errors=True)
        for path in (*self.folder.glob("state-*.pt"), *self.folder.glob(".state-*.tmp")):
            path.unlink(missing_ok=True)

    def _newest_first(self) -> list[Path]:
        found = (path for path in self.folder.glob("state-*.pt") if _NAME.fullmatch(path.name))
        return sorted(found, key=lambda path: path.name, reverse=True)
