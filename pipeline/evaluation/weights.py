"""Weights files of nets that others trained: checked, and read without running code from them."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from pipeline.errors import ParamsError
from pipeline.workspace import open_regular

UNFIT = (RuntimeError, SafetensorError, pickle.UnpicklingError, TypeError, ValueError, KeyError)
"""What reading a file, or loading its tensors into a net, ends in where they do not belong."""

_BATCH = 32


def checked(key: str, path: str, sha256: str | None) -> bytes:
    """The content of the weights file that the parameter ``key`` names.

    Raises:
        ParamsError: it is not there, or is not the one of ``<key>_sha256``.
    """
    try:
        with open_regular(Path(path).expanduser()) as file:
            # Read in pieces: what is not the file that was meant never lies in memory whole.
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            content = file.read() if sha256 and digest == sha256.strip().lower() else b""
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ParamsError(f"{key}: {path}: {getattr(error, 'strerror', error)}") from None
    if not sha256:
        raise ParamsError(
            f"{key}_sha256: is empty; {path} has {digest}: put that there if the file is the one "
            "you trust"
        )
    if digest != sha256.strip().lower():
        raise ParamsError(f"{key}: {path} has sha256 {digest}, {key}_sha256 says {sha256}")
    return content


def tensors_in(content: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a plain state dict. Raises one of ``UNFIT``."""
    if content[8:9] == b"{":
        return safetensors.torch.load(content)
    return dict(torch.load(io.BytesIO(content), weights_only=True, map_location="cpu"))


def not_these(key: str, path: str, net: str, error: BaseException) -> ParamsError:
    """The line to say where a file's weights do not fit ``net``."""
    reason = str(error).strip().split("\n")[0][:120]
    return ParamsError(f"{key}: {path} holds no weights of {net} ({reason})")


def in_batches(
    net: Callable[[Tensor], Tensor], width: int, device: torch.device
) -> Callable[[np.ndarray], np.ndarray]:
    """What turns uint8 N×S×S×3 pictures into float32 N×``width`` features.

    Args:
        net: is given uint8 (B, 3, S, S) on ``device``.
    """

    def features(images: np.ndarray) -> np.ndarray:
        parts = [np.zeros((0, width), np.float32)]
        with torch.inference_mode():
            for start in range(0, len(images), _BATCH):
                batch = np.ascontiguousarray(images[start : start + _BATCH].transpose(0, 3, 1, 2))
                parts.append(net(torch.from_numpy(batch).to(device)).float().cpu().numpy())
        return np.concatenate(parts)

    return features
