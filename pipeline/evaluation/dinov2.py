"""Features of DINOv2 (Oquab et al. 2023) from a local weights file, through timm's architecture.

They follow people's judgement of pictures closer than Inception's (Stein et al. 2023). Nothing is
downloaded. The file is that of DINOv2's own releases, or timm's; its width says which of the four
nets it holds. The feature is the class token after the last norm.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.errors import ParamsError
from pipeline.evaluation.weights import UNFIT, checked, in_batches, not_these, tensors_in

KEY = "evaluate.dinov2"
SIDE = 224
_NETS = {384: "small", 768: "base", 1024: "large", 1536: "giant"}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what it was trained with


def load_dinov2(
    path: str, sha256: str | None, device: torch.device
) -> Callable[[np.ndarray], np.ndarray]:
    """What turns uint8 N×S×S×3 pictures into float32 N×D features, D being the net's width.

    Pictures are resized to 224×224 (bicubic, antialiased where they shrink).

    Raises:
        ParamsError: the file is missing, is another one, or the extra ``eval`` is not installed.
    """
    content = checked(KEY, path, sha256)
    try:
        import timm
        from timm.models.vision_transformer import checkpoint_filter_fn
    except ImportError:
        raise ParamsError(f"{KEY}: needs timm: pip install '.[eval]', or leave it empty") from None
    try:
        tensors = tensors_in(content)
        width = tensors["cls_token"].shape[-1]
        name = f"vit_{_NETS[width]}_patch14_dinov2"
        net = timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True)
        net.load_state_dict(checkpoint_filter_fn(tensors, net))  # type: ignore[arg-type]
    except UNFIT as error:
        raise not_these(KEY, path, "a DINOv2 without registers", error) from None
    net = net.eval().to(device)
    mean, std = (torch.tensor(x, device=device).view(3, 1, 1) for x in (_MEAN, _STD))

    def token(batch: Tensor) -> Tensor:
        large = F.interpolate(
            batch.float() / 255, (SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False
        )
        return net((large.clamp(0, 1) - mean) / std)

    return in_batches(token, width, device)
