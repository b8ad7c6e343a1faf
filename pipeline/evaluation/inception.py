"""Features of Inception, the net behind FID, from a local weights file.

Nothing is downloaded: the file's path and sha256 are given in params. The net is torch-fidelity's,
whose features agree with the original's, its resize included (TensorFlow 1's bilinear, to 299 x
299, from uint8). The file is read without running code from it: safetensors, or a plain state dict.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from pipeline.errors import ParamsError

LEAST = 2_048
"""Pictures below which FID's covariance (2,048 wide) is singular and its bias large."""

_BATCH = 32


def load_inception(
    path: str, sha256: str | None, device: torch.device
) -> Callable[[np.ndarray], np.ndarray]:
    """What turns uint8 N×S×S×3 pictures into float32 N×2048 features.

    Raises:
        ParamsError: the file is missing, is another one, or the extra ``eval`` is not installed.
    """
    content = _checked(path, sha256)
    try:
        from torch_fidelity import FeatureExtractorInceptionV3
    except ImportError:
        raise ParamsError(
            "evaluate.inception: needs torch-fidelity: pip install '.[eval]', or leave it empty"
        ) from None
    try:
        # torch-fidelity unpickles its file: it is given one written here, of tensors alone.
        net = FeatureExtractorInceptionV3("inception", ["2048"], _plain(content))
    except (RuntimeError, SafetensorError, pickle.UnpicklingError, TypeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0][:120]
        raise ParamsError(
            f"evaluate.inception: {path} holds no weights of torch-fidelity's Inception ({reason})"
        ) from None
    net = net.to(device)

    def features(images: np.ndarray) -> np.ndarray:
        parts = [np.zeros((0, 2048), np.float32)]
        with torch.inference_mode():
            for start in range(0, len(images), _BATCH):
                batch = np.ascontiguousarray(images[start : start + _BATCH].transpose(0, 3, 1, 2))
                (found,) = net(torch.from_numpy(batch).to(device))
                parts.append(found.float().cpu().numpy())
        return np.concatenate(parts)

    return features


def small_sample_note(*counts: int) -> str | None:
    """What to say of FID from so few pictures; None for enough."""
    if min(counts) >= LEAST:
        return None
    return (
        f"warning: FID from {' and '.join(f'{count:,}' for count in counts)} pictures is mostly "
        f"bias: below {LEAST:,} a side compare it with nothing, and look at KID and MIND instead"
    )


def _checked(path: str, sha256: str | None) -> bytes:
    try:
        content = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise ParamsError(f"evaluate.inception: {path}: {error.strerror}") from None
    digest = hashlib.sha256(content).hexdigest()
    if not sha256:
        raise ParamsError(
            f"evaluate.inception_sha256: is empty; {path} has {digest}: put that there if the file "
            "is the one you trust"
        )
    if digest != sha256.strip().lower():
        raise ParamsError(
            f"evaluate.inception: {path} has sha256 {digest}, "
            f"evaluate.inception_sha256 says {sha256}"
        )
    return content


def _plain(content: bytes) -> Any:
    """The weights in ``content`` as a file of nothing but tensors, in memory."""
    if content[8:9] == b"{":
        tensors = safetensors.torch.load(content)
    else:
        tensors = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    out = io.BytesIO()
    torch.save(dict(tensors), out)
    out.seek(0)
    return out
