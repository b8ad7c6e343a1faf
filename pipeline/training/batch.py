"""What is random in a step: drawn for the whole batch, then cut into parts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.diffusion.draws import Draw
from pipeline.diffusion.samplers import from_uint8
from pipeline.params import TrainParams
from pipeline.training import augment
from pipeline.training.order import generator_at, mixed_seed


@dataclass(frozen=True)
class Batch:
    """One step's draws, or a part of them.

    Attributes:
        sigma: (B,) float32 noise levels.
        counts: (B,) float32, what each counts in the loss.
        flip: (B,) bool, which pictures are mirrored.
        hidden: (B,) bool, whose label is hidden.
        eps: (B, C, S, S) float32 unit Gaussian noise, on the device of the training.
        turns: (B, 2) int64, see ``augment.draw_turns``; None where nothing is turned.
        told: (B, 9) float32, see ``augment.draw_augmentations``; None where nothing is changed.
    """

    sigma: Tensor
    counts: Tensor
    flip: Tensor
    hidden: Tensor
    eps: Tensor
    turns: Tensor | None
    told: Tensor | None

    def part(self, which: slice) -> Batch:
        """The draws of some of its pictures."""
        return Batch(
            self.sigma[which],
            self.counts[which],
            self.flip[which],
            self.hidden[which],
            self.eps[which],
            None if self.turns is None else self.turns[which],
            None if self.told is None else self.told[which],
        )


def draw_batch(
    params: TrainParams,
    draw: Draw,
    seed: int,
    nimg: int,
    shape: tuple[int, int, int],
    device: torch.device,
) -> Batch:
    """The draws of the step that starts at ``nimg``: a function of (seed, nimg).

    Args:
        shape: (C, S, S) of a picture.
    """
    count = params.batch_size
    generator = generator_at(seed, nimg)
    sigma, counts = draw(count, generator)  # first, see ``draw_levels``
    flip = torch.rand(count, generator=generator) < (0.5 if params.flip else 0.0)
    hidden = torch.rand(count, generator=generator) < params.label_dropout
    eps = _noise((count, *shape), generator, seed, nimg, device)
    # A generator of its own, so that no other draw depends on what is on.
    changes = augment.generator_of(seed, nimg)
    turns = augment.draw_turns(count, params.vertical_flip, params.rotate, changes)
    told = augment.draw_augmentations(count, params.augment, changes) if params.augment else None
    return Batch(sigma.float(), counts, flip, hidden, eps, turns, told)


def draw_levels(params: TrainParams, draw: Draw, seed: int, nimg: int) -> Tensor:
    """(B,) the noise levels of the step that starts at ``nimg``."""
    return draw(params.batch_size, generator_at(seed, nimg))[0]


def _noise(
    shape: tuple[int, ...], generator: torch.Generator, seed: int, nimg: int, device: torch.device
) -> Tensor:
    """Made where it is used: a GPU would wait for a CPU's three million normals a step."""
    if device.type == "cuda":
        generator = torch.Generator(device)
        generator.manual_seed(mixed_seed("noise", seed, nimg))
        return torch.randn(shape, generator=generator, device=device)
    return torch.randn(shape, generator=generator).to(device)


def pictures(pixels: Tensor, flip: Tensor, turns: Tensor | None, told: Tensor | None) -> Tensor:
    """(B, C, S, S) in [-1, 1]: the pictures as the net is to see them.

    Args:
        pixels: (B, C, S, S) uint8; flip, turns, told: see ``Batch``, on the same device.
    """
    x0 = from_uint8(pixels)
    x0 = torch.where(flip[:, None, None, None], x0.flip(-1), x0)
    if turns is not None:
        x0 = augment.turned(x0, turns)
    return x0 if told is None else augment.augmented(x0, told)
