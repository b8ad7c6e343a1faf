"""Changes of the pictures while training: those a breed has anyway, and those the net is told of.

Mirroring, turning upside down and quarter turns are silent: the net learns to draw such pictures
too. The geometric changes of ``AUGMENTATIONS`` numbers must not show in samples, so the net is told
these numbers, and samples are drawn at zero: non-leaking augmentation (Karras et al. 2022, appendix
F.2; the ranges are those of Karras et al. 2020, "Training generative adversarial networks with
limited data").
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.nets.unet import AUGMENTATIONS
from pipeline.training.data import to_device
from pipeline.training.order import mixed_seed

SCALE = 0.2  # standard deviation of log2 of the enlargement
STRETCH = 0.2  # the same, of the enlargement along an axis while the one across shrinks
SHIFT = 0.125  # standard deviation of the shift, in sides of the picture


def generator_of(seed: int, nimg: int) -> torch.Generator:
    """A CPU generator of its own for each step, so that no other draw depends on what is on."""
    return torch.Generator().manual_seed(mixed_seed("augment", seed, nimg))


def draw_turns(
    count: int, upside_down: bool, quarters: bool, generator: torch.Generator
) -> Tensor | None:
    """(count, 2) int64: 1 for upside down, else 0, and 0 to 3 quarter turns; None for neither."""
    if not (upside_down or quarters):
        return None
    turns = torch.zeros((count, 2), dtype=torch.int64)
    if upside_down:
        turns[:, 0] = torch.rand(count, generator=generator) < 0.5
    if quarters:
        turns[:, 1] = torch.randint(0, 4, (count,), generator=generator)
    return turns


def turned(x0: Tensor, turns: Tensor) -> Tensor:
    """The pictures upside down and turned as ``turns`` say.

    Args:
        x0: (B, C, S, S), any values; the result holds the same pixels.
        turns: (B, 2) of ``draw_turns``.
    """
    upside_down, quarters = (_column(values, x0) for values in turns.unbind(1))
    x0 = torch.where(upside_down == 1, x0.flip(-2), x0)
    # The right side is made of x0 as it came: a turned picture is not turned again.
    once, twice, thrice = (x0.rot90(turn, (-2, -1)) for turn in (1, 2, 3))
    x0 = torch.where(quarters == 1, once, x0)
    x0 = torch.where(quarters == 2, twice, x0)
    return torch.where(quarters == 3, thrice, x0)


def draw_augmentations(count: int, p: float, generator: torch.Generator) -> Tensor:
    """(B, 9) float32: what is done to each of ``count`` pictures; zero is nothing.

    With probability ``p`` each, independently: mirror or not by a coin, upside down or not by a
    coin, enlarge, turn by any angle, stretch along any axis, shift. The numbers are 1, 1, log2 of
    the enlargement, cos - 1 and sin of the angle, log2 of the stretch times cos and sin of twice
    its axis's angle (an axis has no direction), and the shift along x and y in sides.
    """
    chosen = torch.rand((count, 6), generator=generator) < p
    coins = torch.rand((count, 2), generator=generator) < 0.5
    angle, axis = (math.tau * torch.rand((2, count), generator=generator)).unbind()
    normal = torch.randn((count, 4), generator=generator)
    stretch = STRETCH * normal[:, 1]
    values = torch.stack(
        [
            coins[:, 0].float(),
            coins[:, 1].float(),
            SCALE * normal[:, 0],
            angle.cos() - 1,
            angle.sin(),
            stretch * axis.cos(),  # as uniform as twice the axis
            stretch * axis.sin(),
            SHIFT * normal[:, 2],
            SHIFT * normal[:, 3],
        ],
        dim=1,
    )
    assert values.shape[1] == AUGMENTATIONS
    # Turning, stretching and shifting take two numbers each.
    return torch.where(chosen[:, [0, 1, 2, 3, 3, 4, 4, 5, 5]], values, 0.0)


def augmented(x0: Tensor, numbers: Tensor) -> Tensor:
    """The pictures changed as ``numbers`` say, each resampled once (bicubic, borders reflected).

    Args:
        x0: (B, C, S, S) in [-1, 1].
        numbers: (B, 9) of ``draw_augmentations``; a picture whose numbers are all zero keeps its
            bits.
    """
    grid = F.affine_grid(_inverse(numbers), list(x0.shape), align_corners=False)
    warped = F.grid_sample(
        x0, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    ).clamp(-1, 1)  # cubic weights overshoot at edges
    return torch.where(_column((numbers == 0).all(dim=1), x0), x0, warped)


def _inverse(numbers: Tensor) -> Tensor:
    """(B, 2, 3): from a place in the result to that in the source, both sides being -1 .. 1.

    The source is mirrored, enlarged, turned, stretched and shifted in this order, hence undone in
    the opposite one.
    """
    mirror, upside_down, scale, cos, sin, along, across, right, down = numbers.unbind(1)
    flip = torch.diag_embed(torch.stack([1 - 2 * mirror, 1 - 2 * upside_down], dim=1))
    cos = cos + 1
    turn = torch.stack([cos, sin, -sin, cos], dim=1).view(-1, 2, 2)
    # exp of -ln 2 [[along, across], [across, -along]]: such a matrix squared is its norm squared.
    norm = math.log(2) * torch.hypot(along, across)
    sinh = math.log(2) * torch.where(norm > 0, norm.sinh() / norm.clamp(min=1e-12), 1.0)
    unstretch = torch.stack(
        [norm.cosh() - sinh * along, -sinh * across, -sinh * across, norm.cosh() + sinh * along],
        dim=1,
    ).view(-1, 2, 2)
    linear = (flip @ turn @ unstretch) * torch.exp2(-scale)[:, None, None]
    shift = 2 * torch.stack([right, down], dim=1)[:, :, None]  # a side is 2 long
    return torch.cat([linear, -linear @ shift], dim=2)


def _column(values: Tensor, like: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1) on the device of ``like``."""
    return to_device(values, like.device)[:, None, None, None]
