"""Our UNet: residual blocks with adaptive group norm on a patch stem.

A p x p space-to-depth stem trades resolution for channels at once: cost is what limits a short
training, and it falls by p^2 at equal width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.nets.blocks import Sinusoid, groups

AUGMENTATIONS = 9  # numbers that describe what was done to a training picture


class UNet(nn.Module):
    """A class-conditional UNet for square pictures.

    Args:
        classes: number of labels; one more embedding stands for "no label".
        channels: of the picture.
        width: channels at the finest level.
        patch: side of the patches that the stem folds into channels.
        multipliers: width of each level over ``width``, finest first; each level halves the side.
        blocks: residual blocks a level on the way down (one more on the way up).
        attention: sides, in cells of the patch grid, of the levels that attend.
        size: side of the pictures in pixels, a multiple of patch * 2^(levels - 1).
        dropout: inside the residual blocks.
        augment: also take ``AUGMENTATIONS`` numbers that say how a picture was changed.

    Attributes:
        knows_augment: whether it does.

    Raises:
        ValueError: ``size`` does not fit the levels.
    """

    conditional = True

    def __init__(
        self,
        classes: int,
        channels: int = 3,
        width: int = 32,
        patch: int = 4,
        multipliers: Sequence[int] = (1, 2),
        blocks: int = 2,
        attention: Sequence[int] = (8,),
        size: int = 64,
        dropout: float = 0.0,
        augment: bool = False,
    ) -> None:
        super().__init__()
        if size % (patch * 2 ** (len(multipliers) - 1)):
            raise ValueError(
                f"size {size} does not fit patch {patch} and {len(multipliers)} levels"
            )
        self.classes = classes
        self.patch = patch
        embedding = 4 * width
        self.time = nn.Sequential(
            Sinusoid(width), nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.label = nn.Embedding(classes + 1, embedding)
        self.stem = nn.Conv2d(channels * patch**2, width, 3, padding=1)

        def block(i: int, o: int, side: int) -> Block:
            return Block(i, o, embedding, dropout, attend=side in attention)

        side, now = size // patch, width
        skips = [now]
        self.down = nn.ModuleList()
        for level, multiplier in enumerate(multipliers):
            if level > 0:
                self.down.append(Down(now))
                side //= 2
                skips.append(now)
            for _ in range(blocks):
                self.down.append(block(now, width * multiplier, side))
                now = width * multiplier
                skips.append(now)
        self.middle = nn.ModuleList([block(now, now, side), block(now, now, -1)])
        self.up = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for _ in range(blocks + 1):
                self.up.append(block(now + skips.pop(), width * multiplier, side))
                now = width * multiplier
            if level > 0:
                self.up.append(Up(now))
                side *= 2
        self.norm = nn.GroupNorm(groups(now), now)
        self.head = nn.Conv2d(now, channels * patch**2, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        self.knows_augment = augment
        if augment:  # made last, so that all other weights are those of a net without it
            self.augmentation = nn.Linear(AUGMENTATIONS, embedding, bias=False)
            nn.init.zeros_(self.augmentation.weight)

    def forward(
        self, x_t: Tensor, t: Tensor, labels: Tensor, augment: Tensor | None = None
    ) -> Tensor:
        """(B, C, S, S) in, the same out.

        Args:
            t: (B,) in 0..1000.
            labels: (B,), -1 for none.
            augment: (B, ``AUGMENTATIONS``); None is zero: a picture as it is.
        """
        labels = torch.where(labels < 0, self.classes, labels)
        embedded = self.time(t) + self.label(labels)
        if augment is not None:
            embedded = embedded + self.augmentation(augment)
        condition = F.silu(embedded)
        h = self.stem(F.pixel_unshuffle(x_t, self.patch))
        skips = [h]
        for part in self.down:
            h = part(h, condition)
            skips.append(h)
        for part in self.middle:
            h = part(h, condition)
        for part in self.up:
            h = part(h if isinstance(part, Up) else torch.cat([h, skips.pop()], 1), condition)
        return F.pixel_shuffle(self.head(F.silu(self.norm(h))), self.patch)


class Block(nn.Module):
    """Residual block: norm, SiLU, conv twice, scaled and shifted in between by time and label.

    The scale and shift are Dhariwal & Nichol 2021's adaptive group normalisation (section 4.3).
    The second convolution starts at zero, so a new block starts as its shortcut.
    """

    def __init__(self, i: int, o: int, embedding: int, dropout: float, attend: bool) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups(i), i)
        self.conv1 = nn.Conv2d(i, o, 3, padding=1)
        self.condition = nn.Linear(embedding, 2 * o)
        self.norm2 = nn.GroupNorm(groups(o), o)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(o, o, 3, padding=1)
        self.shortcut = nn.Conv2d(i, o, 1) if i != o else nn.Identity()
        self.attention = Attention(o) if attend else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.condition(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = F.silu(self.norm2(h) * (1 + scale) + shift)
        h = self.conv2(self.dropout(h))
        return self.attention(self.shortcut(x) + h)


class Attention(nn.Module):
    """Self-attention over pixels, in heads of about 32 channels; the residual starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        at_most = max(1, channels // 32)
        self.heads = max(h for h in range(1, at_most + 1) if channels % h == 0)
        self.norm = nn.GroupNorm(groups(channels), channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        # (B, 3, heads, channels a head, pixels) -> three of (B, heads, pixels, channels a head)
        split = self.qkv(self.norm(x)).view(b, 3, self.heads, c // self.heads, height * width)
        # The fused kernels want a pixel's channels side by side; else plain products are taken.
        q, k, v = split.transpose(-1, -2).contiguous().unbind(1)
        h = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(h.transpose(-1, -2).reshape(b, c, height, width))


class Down(nn.Module):
    """Halves the side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, _condition: Tensor) -> Tensor:
        return self.conv(x)


class Up(nn.Module):
    """Doubles the side: nearest neighbour, then a convolution (no checkerboard)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, _condition: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))
