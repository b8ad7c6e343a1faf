"""The networks. Each is called as net(x, t, labels), t in 0..1000, and returns the shape of x."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.nets.sizes import Shape, misfit

if TYPE_CHECKING:
    from torch import nn


def build_net(shape: Shape, classes: int, size: int, augment: bool = False) -> nn.Module:
    """The net that params describe, with fresh weights from torch's global generator.

    ``unet`` is ours and knows all of ``shape``; the others are the seeds', which of it know but
    the width. A net that knows no labels says so by ``conditional = False``.

    Args:
        classes: labels it may be told; a net of no condition ignores them.
        size: side of the pictures in pixels.
        augment: whether it is told of augmentations; such a net has ``knows_augment``.

    Raises:
        ValueError: the net does not fit the size, or its kind is unknown.
    """
    # Torch comes with the nets, not with this room: params.yaml is checked by ``sizes`` alone.
    from pipeline.nets.annotated import AnnotatedUNet
    from pipeline.nets.context import ContextUNet
    from pipeline.nets.dogs import DogsUNet
    from pipeline.nets.simple import SimpleUNet
    from pipeline.nets.smol import SmolUNet
    from pipeline.nets.unet import UNet

    problem = misfit(shape, size)
    if problem is not None:
        raise ValueError(problem)
    if shape.kind == "simple":
        return SimpleUNet(shape.width)
    if shape.kind == "annotated":
        return AnnotatedUNet(shape.width)
    if shape.kind == "context":
        return ContextUNet(classes, shape.width, size)
    if shape.kind == "smol":
        return SmolUNet(shape.width)
    if shape.kind == "dogs":
        return DogsUNet(shape.width)
    return UNet(
        classes=classes,
        width=shape.width,
        patch=shape.patch,
        multipliers=shape.multipliers,
        blocks=shape.blocks,
        attention=shape.attention,
        size=size,
        dropout=shape.dropout,
        augment=augment,
    )
