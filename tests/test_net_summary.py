"""What is said of a net: shapes, exact totals, operations against known figures."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.net_summary import summarise
from pipeline.nets import build_net
from pipeline.params import NETS, NetParams


def summary(kind: str, width: int = 64, classes: int = 5, size: int = 64):
    with torch.device("meta"):
        return summarise(build_net(NetParams(kind=kind, width=width), classes, size), size)


@pytest.mark.parametrize(
    ("kind", "width", "size", "gflop"),
    [
        ("simple", 64, 64, 11.46),
        ("annotated", 64, 64, 14.52),
        ("context", 64, 16, 0.30),
        ("context", 128, 16, 1.20),
        ("context", 256, 16, 4.80),
        ("smol", 64, 64, 18.48),
        ("dogs", 64, 64, 18.28),
    ],
)
def test_the_seeds_nets_cost_what_they_did(kind: str, width: int, size: int, gflop: float) -> None:
    assert summary(kind, width, 5, size).flops / 1e9 == pytest.approx(gflop, abs=0.006)


@pytest.mark.parametrize("kind", NETS)
def test_parts_sum_to_the_whole(kind: str) -> None:
    found = summary(kind)
    assert sum(part.parameters for part in found.top) == found.parameters
    assert sum(part.flops for part in found.top) == found.flops > 0
    assert found.bytes == 4 * found.parameters
    assert found.uncalled == (25_216 if kind == "dogs" else 0)
    assert found.conditional == (kind in ("unet", "context"))
    uncalled = {part.name for part in found.parts if part.output is None}
    assert all(name.split(".")[0] == "unused" for name in uncalled)


def test_parts_in_the_order_of_the_net_with_what_they_return() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), Fork())
    found = summarise(Wrapped(net).train(), 8)
    assert [(p.name, p.kind, p.output, p.parameters, p.flops) for p in found.parts] == [
        ("net", "Sequential", (4, 4, 4), 108, 2 * 3 * 4 * 9 * 64),
        ("net.0", "Conv2d", (4, 8, 8), 108, 2 * 3 * 4 * 9 * 64),
        ("net.1", "Fork", (4, 4, 4), 0, 0),
        ("idle", "Linear", None, 6, 0),
    ]
    assert (found.parameters, found.uncalled, found.flops) == (114, 6, 13_824)


def test_a_net_with_weights_is_left_as_it_was() -> None:
    net = build_net(NetParams(kind="smol", width=8), 2, 16).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    on_cpu = summarise(net, 16)
    assert net.training and not net._forward_hooks and not net.stem._forward_hooks
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert on_cpu == summary("smol", 8, 2, 16)


class Fork(nn.Module):
    """Returns two: the first is shown."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x[:, :, ::2, ::2], x


class Wrapped(nn.Module):
    conditional = False

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.idle = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor, _t: torch.Tensor, _labels: torch.Tensor) -> torch.Tensor:
        return self.net(x)[1]
