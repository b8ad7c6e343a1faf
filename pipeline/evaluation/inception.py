"""Features of Inception, the net behind FID, from a local weights file.

Nothing is downloaded: the file's path and sha256 are given in params. The net is torch-fidelity's,
whose features agree with the original's, its resize included (TensorFlow 1's bilinear, to 299 x
299, from uint8). The file is read without running code from it: safetensors, or a plain state dict.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pipeline.errors import ParamsError
from pipeline.evaluation.weights import UNFIT, checked, in_batches, not_these, tensors_in

LEAST = 2_048
"""Pictures below which FID's covariance (2,048 wide) is singular and its bias large."""


def load_inception(
    path: str, sha256: str | None, device: torch.device
) -> Callable[[np.ndarray], np.ndarray]:
    """What turns uint8 N×S×S×3 pictures into float32 N×2048 features.

    Raises:
        ParamsError: the file is missing, is another one, or the extra ``eval`` is not installed.
    """
    content = checked("evaluate.inception", path, sha256)
    try:
        from torch_fidelity import FeatureExtractorInceptionV3
    except ImportError:
        raise ParamsError(
            "evaluate.inception: needs torch-fidelity: pip install '.[eval]', or leave it empty"
        ) from None
    try:
        # torch-fidelity unpickles its file: it is given one written here, of tensors alone.
        net = FeatureExtractorInceptionV3("inception", ["2048"], _plain(tensors_in(content)))
    except UNFIT as error:
        raise not_these("evaluate.inception", path, "torch-fidelity's Inception", error) from None
    net = net.to(device)

    return in_batches(lambda batch: net(batch)[0], 2048, device)


def small_sample_note(*counts: int) -> str | None:
    """What to say of FID from so few pictures; None for enough."""
    if min(counts) >= LEAST:
        return None
    return (
        f"warning: FID from {' and '.join(f'{count:,}' for count in counts)} pictures is mostly "
        f"bias: below {LEAST:,} a side compare it with nothing, and look at KID and MIND instead"
    )


def _plain(tensors: dict[str, torch.Tensor]) -> Any:
    """The weights as a file of nothing but tensors, in memory."""
    out = io.BytesIO()
    torch.save(tensors, out)
    out.seek(0)
    return out
