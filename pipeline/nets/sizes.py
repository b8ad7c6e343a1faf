"""Which pictures a net fits, known without building it: no torch here, params.yaml is checked by
it."""

from __future__ import annotations

from typing import Protocol


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


_MOST_LEVELS = 10  # the largest picture halved to one pixel
# kind -> the side of pictures, and the width, are multiples of these: (side, width, why)
SEEDS = {
    "simple": (16, 1, "it halves four times"),
    "annotated": (8, 4, "it halves three times, its norms have 4 groups"),
    "context": (4, 8, "it halves twice, its norms have 8 groups"),
    "smol": (8, 8, "it halves three times, its attention has up to 32 heads"),
    "dogs": (16, 4, "it halves four times, its attention has 4 heads"),
}


def misfit(shape: Shape, size: int) -> str | None:
    """What keeps a net from pictures of side ``size``, as a line that names the knob; or None."""
    if shape.kind == "unet":
        return _misfit_unet(shape, size)
    if shape.kind not in SEEDS:
        return f"train.net.kind: got {shape.kind!r}, expected one of unet, {', '.join(SEEDS)}"
    side, width, why = SEEDS[shape.kind]
    if size % side:
        return (
            f"resize.size: got {size}, expected a multiple of {side} "
            f"(train.net.kind {shape.kind}: {why})"
        )
    if shape.width % width:
        return (
            f"train.net.width: got {shape.width}, expected a multiple of {width} "
            f"(train.net.kind {shape.kind}: {why})"
        )
    return None


def _misfit_unet(shape: Shape, size: int) -> str | None:
    levels = len(shape.multipliers)
    if not 0 < levels <= _MOST_LEVELS:
        return f"train.net.multipliers: got {levels} levels, expected 1 to {_MOST_LEVELS}"
    coarsest = shape.patch * 2 ** (levels - 1)
    if size % coarsest:
        return (
            f"resize.size: got {size}, expected a multiple of {coarsest} "
            f"(train.net.patch {shape.patch} and {levels} levels)"
        )
    reached = [size // (shape.patch * 2**level) for level in range(levels)]
    for resolution in shape.attention:
        if resolution not in reached:
            return (
                f"train.net.attention: got {resolution}, but the net works at "
                f"{', '.join(map(str, reached))} pixels: choose among these or give []"
            )
    return None
