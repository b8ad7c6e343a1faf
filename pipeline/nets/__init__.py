"""The networks. Each is called as net(x, t, labels), t in 0..1000, and returns the shape of x."""

from __future__ import annotations

from typing import Protocol

from torch import nn

from pipeline.nets.unet import UNet


class Shape(Protocol):
    """What params say of a net (``params.NetParams``)."""

    @property
    def kind(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def patch(self) -> int: ...
    @property
    def multipliers(self) -> list[int]: ...
    @property
    def blocks(self) -> int: ...
    @property
    def attention(self) -> list[int]: ...
    @property
    def dropout(self) -> float: ...


def build_net(shape: Shape, classes: int, size: int, augment: bool = False) -> nn.Module:
    """The net that params describe, with fresh weights from torch's global generator.

    Args:
        classes: labels it may be told; a net of no condition ignores them.
        size: side of the pictures in pixels.
        augment: whether it is told of augmentations; such a net has ``knows_augment``.

    Raises:
        ValueError: the net does not fit the size, or its kind is unknown.
    """
    if shape.kind == "unet":
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
    raise ValueError(f"net: got {shape.kind!r}, expected unet")
