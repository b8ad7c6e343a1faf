"""Which pictures fit which net: said by params.yaml's check and by ``build_net`` alike."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from pipeline.errors import ParamsError
from pipeline.nets import build_net
from pipeline.nets.sizes import SEEDS, misfit
from pipeline.params import NETS, NetParams, from_document


def document(kind: str, size: int, width: int = 64) -> dict:
    return {"resize": {"size": size}, "train": {"net": {"kind": kind, "width": width}}}


@pytest.mark.parametrize(
    ("kind", "size", "width", "says"),
    [
        ("simple", 24, 64, "resize.size: got 24, expected a multiple of 16"),
        ("annotated", 20, 64, "resize.size: got 20, expected a multiple of 8"),
        ("context", 18, 64, "resize.size: got 18, expected a multiple of 4"),
        ("smol", 36, 64, "resize.size: got 36, expected a multiple of 8"),
        ("dogs", 40, 64, "resize.size: got 40, expected a multiple of 16"),
        ("annotated", 64, 30, "train.net.width: got 30, expected a multiple of 4"),
        ("context", 16, 20, "train.net.width: got 20, expected a multiple of 8"),
        ("smol", 64, 12, "train.net.width: got 12, expected a multiple of 8"),
        ("dogs", 64, 10, "train.net.width: got 10, expected a multiple of 4"),
        ("unet", 65, 32, "resize.size: got 65, expected a multiple of 8"),
    ],
)
def test_what_does_not_fit_is_one_line(kind: str, size: int, width: int, says: str) -> None:
    with pytest.raises(ParamsError) as caught:
        from_document(document(kind, size, width))
    assert str(caught.value).startswith(f"params.yaml: {says} (train.net.")
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=says):
        build_net(NetParams(kind=kind, width=width), 3, size)


def test_what_a_seeds_net_does_not_know_is_not_checked() -> None:
    """Patch, levels and attention are our net's: 28 is no multiple of 8, 9 not a resolution."""
    net = {"kind": "context", "width": 64, "patch": 3, "multipliers": [], "attention": [9]}
    assert from_document({"resize": {"size": 28}, "train": {"net": net}}).train.net.patch == 3


@pytest.mark.parametrize("kind", SEEDS)
def test_the_rule_is_as_wide_as_the_net(kind: str) -> None:
    """The least size and width that the rule allows work, and so does an odd multiple of each."""
    side, width, _ = SEEDS[kind]
    for times in (1, 3):
        size, channels = side * max(times, -(-8 // side)), width * max(times, -(-8 // width))
        shape = NetParams(kind=kind, width=channels)
        assert misfit(shape, size) is None
        x = torch.randn(1, 3, size, size)
        net = build_net(shape, 2, size)
        assert net(x, torch.tensor([500.0]), torch.tensor([1])).shape == x.shape


def test_every_kind_that_params_allow_has_a_rule_and_an_unknown_one_is_named() -> None:
    assert set(NETS) == {"unet", *SEEDS}
    with pytest.raises(ValueError, match="got 'vit', expected one of unet, simple"):
        build_net(NetParams(kind="vit"), 3, 64)


def test_the_check_imports_no_torch() -> None:
    code = "import sys, pipeline.params; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
