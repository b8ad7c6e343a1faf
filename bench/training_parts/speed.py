"""Images a second: against seed 004's own loop, against the peers, and lever by lever."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from pipeline.nets.unet import UNet
from training_parts import peers
from training_parts.ours import Ours, Trained, theirs
from training_parts.peers import DIFFUSERS, LUCIDRAINS, Diffusers, Lucidrains
from training_parts.race import Contender, Turns, race
from training_parts.seed004 import Seed004
from training_parts.sizes import cost, match

OURS, SEED, SAME_NET = "ours", "seed 004's loop", "its net in ours"
NAMES = {LUCIDRAINS: "lucidrains", DIFFUSERS: "diffusers"}
# What the peers' nets and loops have not: without it, a step of ours does what theirs do.
PLAIN = (
    "train.net.dropout=0",
    "train.augment=0",
    "train.ema_lengths=[]",
    "train.ema_snapshots=0",
    "train.ema=0.995",
    "train.guide_at=0",
)
LEVERS = {
    "compile": "train.engine.compile=never",
    "channels_last": "train.engine.channels_last=never",
    "sdpa": "train.engine.sdpa=false",
    "fused": "train.engine.fused=false",
    "foreach": "train.engine.foreach=false",
    "sync": "train.engine.sync=true",
    "tf32": "train.engine.tf32=true",
    "precision": "train.precision=fp32",
    "resident": "train.engine.resident=never",
}


@dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
        seed_width, seed_batches: of seed 004's net, and batches raced: its own first.
        peer_widths: of the peers' nets, to whose cost ours are brought; batch: of those races.
        presets: candidates for the flagship; shrink: changes on them.
        steps: of one ``advance`` of ours; of theirs it is 1 where a turn has few steps.
        turns: of every race.
    """

    seed_width: int
    seed_batches: tuple[int, ...]
    peer_widths: dict[str, int]
    batch: int
    presets: tuple[str, ...]
    shrink: tuple[str, ...]
    steps: int
    turns: Turns


CANDIDATES = ("dogs", "dogs-full", "dogs-patch4")
WIDTHS = {LUCIDRAINS: 64, DIFFUSERS: 96}
LESS = {LUCIDRAINS: 16, DIFFUSERS: 32}
LEAST = {LUCIDRAINS: 8, DIFFUSERS: 16}
NARROW = ("train.net.width=32", "train.batch_size=16")
TINY = ("train.net.width=16", "train.batch_size=16")
GPU = Scale(64, (16, 128), WIDTHS, 128, CANDIDATES, (), 16, Turns(5, 8, 4))
CPU = Scale(24, (16,), LESS, 16, CANDIDATES, NARROW, 1, Turns(8, 4, 4))
QUICK = Scale(8, (16,), LEAST, 16, CANDIDATES[:1], TINY, 1, Turns(1, 0, 2))


def run(contenders: list[Contender], turns: Turns, device: torch.device) -> dict[str, Any]:
    """A race, after which nothing of it is left in memory."""
    try:
        return race(contenders, turns, device)
    finally:
        contenders.clear()
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def against_seed(scale: Scale, data: Trained) -> dict[str, Any]:
    """(1) The same net on the same pictures in the same batches."""
    contenders: list[Contender] = []
    for batch in scale.seed_batches:
        changes = [f"train.batch_size={batch}", f"train.net.width={scale.seed_width}"]
        contenders += [
            Ours(f"{OURS}, {batch}", "seed-004", changes, data, scale.steps),
            Seed004(f"{SEED}, {batch}", data, batch, scale.seed_width, scale.steps),
        ]
    return run(contenders, scale.turns, data.device)


# --------------------------------------------------------------------------- peers


def equal_sizes(scale: Scale, data: Trained, peer: str, found: dict[str, Any]) -> dict[str, Any]:
    """Our nets that cost what the peer's costs, in widths that kernels like: multiples of 8."""
    build = peer_net(scale, data, peer, found)
    sizes: dict[str, Any] = {"target": cost(theirs(build), data.size)["forward"]}
    for name, shapes in SHAPES.items():
        counted = ours_cost(data.size)
        shape, width, times = match(sizes["target"], shapes, range(8, 257, 8), counted)
        patch, multipliers, blocks = shape
        net = {"width": width, "patch": patch, "multipliers": list(multipliers), "blocks": blocks}
        sizes[name] = {"net": net, "times": times}
    return sizes


def peer_net(
    scale: Scale, data: Trained, peer: str, found: dict[str, Any]
) -> Callable[[], nn.Module]:
    """Builds the peer's net at the width of this scale."""
    module, width = found[peer], scale.peer_widths[peer]
    if peer == LUCIDRAINS:
        return lambda: peers.lucidrains_unet(module, width)
    return lambda: peers.diffusers_unet(module, width, data.size)


# patch, multipliers, blocks: the flagship's shape first, and others to come near
THREE = ((1, 2, 2), (1, 2, 3), (1, 1, 2), (1, 2, 4))
SHAPES = {
    "ours": [(2, levels, blocks) for levels in THREE for blocks in (3, 2, 4)],
    "ours, 4x4 patches": [(4, (1, k), blocks) for k in (2, 3, 1) for blocks in (3, 2, 4)],
    "ours, full resolution": [(1, (*k, k[-1]), blocks) for k in THREE for blocks in (3, 2, 4)],
}


def ours_cost(size: int) -> Any:
    """(shape, width) -> operations of one picture forward; each counted once."""

    @cache
    def counted(shape: Any, width: int) -> float:
        patch, multipliers, blocks = shape
        sides = attended(size, patch, len(multipliers))

        def build() -> UNet:
            return UNet(5, 3, width, patch, multipliers, blocks, sides, size)

        return cost(build, size)["forward"]

    return counted


def attended(size: int, patch: int, levels: int) -> list[int]:
    """The two coarsest sides, as the flagship attends."""
    return [size // patch // 2**level for level in range(levels)][-2:]


def against_peer(
    scale: Scale, data: Trained, peer: str, found: dict[str, Any], sizes: dict[str, Any]
) -> dict[str, Any]:
    """(2) Nets of equal cost, and the peer's own net in our Trainer.

    With the same net on both sides what differs is the loop alone.
    """
    module, steps, batch = found[peer], scale.steps, scale.batch
    plain = [*PLAIN, f"train.batch_size={batch}"]
    contenders: list[Contender] = []
    for name in SHAPES:
        changes = [*plain, *net_changes(sizes[name]["net"], data.size)]
        contenders.append(Ours(name, "dogs", changes, data, steps))
    width = scale.peer_widths[peer]
    if peer == LUCIDRAINS:
        contenders.append(Lucidrains(NAMES[peer], module, data, batch, width, steps))
    else:
        contenders.append(Diffusers(NAMES[peer], module, data, batch, width, steps))
        if data.device.type == "cuda":
            name = f"{NAMES[peer]}, bf16"
            contenders.append(Diffusers(name, module, data, batch, width, steps, True))
    build = peer_net(scale, data, peer, found)
    contenders.append(Ours(SAME_NET, "dogs", plain, data, steps, build))
    return run(contenders, scale.turns, data.device)


def net_changes(net: dict[str, Any], size: int) -> list[str]:
    sides = attended(size, net["patch"], len(net["multipliers"]))
    return [f"train.net.{name}={value}" for name, value in {**net, "attention": sides}.items()]


# --------------------------------------------------------------------------- levers


def lever(scale: Scale, data: Trained, name: str) -> dict[str, Any]:
    """(4) The flagship as it is, and with one lever the other way."""
    preset = scale.presets[0]
    contenders: list[Contender] = [
        Ours("as it is", preset, scale.shrink, data, scale.steps),
        Ours("changed", preset, [*scale.shrink, LEVERS[name]], data, scale.steps),
    ]
    return run(contenders, scale.turns, data.device)
