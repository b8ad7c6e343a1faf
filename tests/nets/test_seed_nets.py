"""The five seeds' nets: their exact sizes, what each listed defect would do, that each learns."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.diffusion.denoiser import NO_LABEL, Denoiser
from pipeline.diffusion.losses import denoising_loss
from pipeline.diffusion.schedules import cosine
from pipeline.nets import annotated, build_net, dogs, smol
from pipeline.params import NetParams

SEEDS = ("simple", "annotated", "context", "smol", "dogs")
SIZE = 16


def small(kind: str, classes: int = 3, width: int = 16) -> nn.Module:
    """A narrow net of this kind, the same at each call."""
    torch.manual_seed(0)
    return build_net(NetParams(kind=kind, width=width), classes, SIZE)


def awake(net: nn.Module) -> nn.Module:
    """Give the layers that start at zero weights, so that everything is connected."""
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.abs().max() == 0:
                parameter.normal_(0, 0.05)
    return net


def original(kind: str, width: int = 64, classes: int = 5, size: int = 64) -> nn.Module:
    """The net at full width; on ``meta``, as only its shapes are asked."""
    with torch.device("meta"):
        return build_net(NetParams(kind=kind, width=width), classes, size)


def count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


# ------------------------------------------------------------------ sizes


@pytest.mark.parametrize(
    ("kind", "width", "classes", "size", "parameters"),
    [
        ("simple", 64, 5, 64, 62_438_883),
        ("annotated", 64, 5, 64, 35_705_347),
        ("context", 64, 5, 16, 1_480_963),
        ("context", 128, 5, 16, 5_902_851),
        ("context", 256, 5, 16, 23_569_411),
        ("context", 64, 10, 32, 2_268_355),  # the branch for CIFAR-10 that could not run
        ("smol", 64, 5, 64, 22_790_115),
        ("dogs", 64, 5, 64, 93_417_859),
    ],
)
def test_the_parameters_are_the_originals(
    kind: str, width: int, classes: int, size: int, parameters: int
) -> None:
    assert count(original(kind, width, classes, size)) == parameters


def test_the_parts_of_seed_000_are_the_originals() -> None:
    net = original("simple")
    assert [count(net.time), count(net.stem), count(net.head)] == [1_056, 1_792, 195]
    assert [count(body) for body in net.down] == [488_448, 1_943_552, 7_753_728, 30_973_952]
    assert [count(body) for body in net.up] == [16_011_264, 4_007_936, 1_004_544, 252_416]


def test_the_parts_of_seed_001_are_the_originals() -> None:
    net = original("annotated")
    assert [count(net.stem), count(net.time)] == [256, 82_432]
    assert [count(level) for level in net.down] == [263_552, 280_000, 920_448, 3_938_048]
    assert [count(part) for part in net.middle] == [4_984_832, 263_680, 4_984_832]
    assert [count(level) for level in net.up] == [14_561_024, 3_839_872, 1_059_776, 374_272]
    assert [count(net.final), count(net.head)] == [152_128, 195]


def test_the_parts_of_seed_002_are_the_originals() -> None:
    net = original("context", size=16)
    assert [count(net.stem.convs), count(net.stem.shortcut)] == [38_976, 192]
    assert [count(level) for level in net.down] == [148_224, 517_632]
    assert [count(part) for part in net.time] == [16_768, 4_288]
    assert [count(part) for part in net.context] == [17_280, 4_544]
    assert [count(net.vector), count(net.spread), count(net.head)] == [0, 262_528, 75_651]
    assert [count(level) for level in net.up] == [213_824, 181_056]


def levels(parts: nn.ModuleList) -> list[tuple[int, int]]:
    """(convolutions and time, attention) of each."""
    return [(count(p.first, p.second, p.time), count(p.attention)) for p in parts]


def test_the_parts_of_seed_003_are_the_originals() -> None:
    net = original("smol")
    assert [count(net.time), count(net.stem), count(net.head)] == [1_056, 38_976, 195]
    assert levels(net.down) == [(300_288, 65_920), (1_190_400, 262_912), (2_370_816, 262_912)]
    assert [count(part) for part in net.middle] == [3_542_016, 4_721_664, 1_771_008]
    assert levels(net.up) == [(6_201_600, 65_920), (1_552_512, 16_576), (408_768, 16_576)]


def test_the_parts_of_seed_004_are_the_originals() -> None:
    net = original("dogs")
    assert [count(net.stem), count(net.unused), count(net.head)] == [38_848, 25_216, 195]
    assert levels(net.down) == [
        (328_576, 99_584),
        (1_246_976, 395_776),
        (4_853_248, 1_577_984),
        (9_572_864, 1_577_984),
    ]
    assert [count(part) for part in net.middle] == [14_159_872, 18_878_464, 7_079_936]
    assert levels(net.up) == [
        (24_844_032, 395_776),
        (6_228_864, 99_584),
        (1_566_144, 25_216),
        (422_720, 0),
    ]


@pytest.mark.parametrize("kind", SEEDS)
@pytest.mark.parametrize("size", [16, 32, 64])
def test_output_has_the_shape_of_the_input(kind: str, size: int) -> None:
    """Seed 002's net returned 64x64 for 32x32, so neither CIFAR-10 nor CelebA could be trained."""
    net = original(kind, size=size)
    x = torch.empty(2, 3, size, size, device="meta")
    out = net(x, torch.empty(2, device="meta"), torch.empty(2, dtype=torch.int64, device="meta"))
    assert out.shape == x.shape


# ------------------------------------------------------------------ what pictures depend on


@pytest.mark.parametrize("kind", SEEDS)
def test_a_new_net_predicts_zero(kind: str) -> None:
    x = torch.randn(2, 3, SIZE, SIZE)
    assert small(kind)(x, torch.zeros(2), torch.tensor([0, NO_LABEL])).abs().max() == 0


@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("kind", SEEDS)
def test_a_picture_does_not_depend_on_its_batch_companions(kind: str, mode: bool) -> None:
    """The batch norms of seeds 000 and 003 moved a picture by up to 0.83, as sampling never called
    eval()."""
    net = awake(small(kind)).train(mode)
    g = torch.Generator().manual_seed(1)
    x, t = torch.randn(4, 3, SIZE, SIZE, generator=g), torch.rand(4, generator=g) * 1000
    x[3] *= 30  # a companion that would spoil any statistics
    labels = torch.tensor([0, 2, NO_LABEL, 1])
    with torch.no_grad():
        together = net(x, t, labels)
        alone = torch.cat([net(x[k : k + 1], t[k : k + 1], labels[k : k + 1]) for k in range(4)])
    assert together.std() > 0.01
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", SEEDS)
def test_time_matters_everywhere_between_0_and_1000(kind: str) -> None:
    net, x = awake(small(kind)).eval(), torch.randn(1, 3, SIZE, SIZE)
    with torch.no_grad():
        outs = [net(x, torch.tensor([t]), torch.tensor([0])) for t in (0.0, 1.0, 500.0, 1000.0)]
    for one, next_one in pairwise(outs):
        assert not torch.allclose(one, next_one, atol=1e-6)


@pytest.mark.parametrize("kind", SEEDS)
def test_labels_matter_to_a_conditional_net_alone(kind: str) -> None:
    net, x = awake(small(kind)).eval(), torch.randn(1, 3, SIZE, SIZE)
    with torch.no_grad():
        outs = [net(x, torch.tensor([9.0]), torch.tensor([k])) for k in (NO_LABEL, 0, 1, 2)]
    differ = [not torch.allclose(outs[i], outs[j], atol=1e-6) for i in range(4) for j in range(i)]
    assert net.conditional == (kind == "context")
    assert all(differ) if net.conditional else not any(differ)


@pytest.mark.parametrize("kind", SEEDS)
def test_a_gradient_reaches_every_parameter_that_is_called(kind: str) -> None:
    net = awake(small(kind))
    # Deep in a 16x16 picture there is one pixel: attention to it is 1, whatever the query.
    side = SIZE if kind == "context" else 2 * SIZE
    x = torch.randn(2, 3, side, side)
    net(x, torch.tensor([3.0, 700.0]), torch.tensor([0, 2])).square().mean().backward()
    without = {
        name: p.numel()
        for name, p in net.named_parameters()
        if p.grad is None or p.grad.abs().max() == 0
    }
    expected = {n: p.numel() for n, p in net.named_parameters() if n.startswith("unused.")}
    assert without == expected
    assert bool(expected) == (kind == "dogs")


def test_the_25_216_parameters_that_seed_004_never_calls_are_not_trained() -> None:
    net = original("dogs")
    assert sum(p.numel() for p in net.parameters() if not p.requires_grad) == 25_216
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == 93_392_643


# ------------------------------------------------------------------ layers


@pytest.mark.parametrize(
    "attention",
    [
        lambda: smol.Attention(64, heads=8),
        lambda: dogs.Attention(64),
        lambda: annotated.FullAttention(64),
        lambda: annotated.LinearAttention(64),
    ],
    ids=["smol", "dogs", "full", "linear"],
)
def test_attention_treats_pixels_as_a_set(attention) -> None:
    """Seed 003 split its heads by a bare view, which mixed tokens and channels."""
    torch.manual_seed(0)
    layer, x = attention(), torch.randn(2, 64, 4, 4)
    order = torch.randperm(16)
    shuffled = x.flatten(2)[:, :, order].view_as(x)
    expected = layer(x).flatten(2)[:, :, order].view_as(x)
    torch.testing.assert_close(layer(shuffled), expected, atol=1e-5, rtol=0)


def test_attention_of_smol_is_added_to_its_input() -> None:
    """The original's had no residual: what it did not attend to was lost."""
    layer, x = smol.Attention(64, heads=4), torch.randn(2, 64, 4, 4)
    nn.init.zeros_(layer.out.weight)
    nn.init.zeros_(layer.out.bias)
    torch.testing.assert_close(layer(x), x)


def test_attention_of_dogs_is_torchs_multihead_attention() -> None:
    """The same weights in the layer that the original was made of."""
    torch.manual_seed(0)
    ours, theirs = dogs.Attention(32), nn.MultiheadAttention(32, 4, batch_first=True)
    nn.init.zeros_(ours.layers[2].weight)
    nn.init.zeros_(ours.layers[2].bias)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    x = torch.randn(2, 32, 4, 4)
    token = x.flatten(2).transpose(1, 2)
    normed = ours.norm1(token)
    expected = token + theirs(normed, normed, normed, need_weights=True)[0]
    torch.testing.assert_close(ours(x).flatten(2).transpose(1, 2), expected, atol=1e-5, rtol=1e-5)


def test_linear_attention_is_its_formula_pixel_by_pixel() -> None:
    torch.manual_seed(0)
    layer, x = annotated.LinearAttention(8), torch.randn(1, 8, 3, 3)
    q, k, v = layer.qkv(layer.norm(x)).view(3, 4, 32, 9)
    q, k = q.softmax(1) / math.sqrt(32), k.softmax(2)
    h = torch.zeros(4, 32, 9)
    for pixel in range(9):
        for other in range(9):
            h[:, :, pixel] += (q[:, :, pixel] * k[:, :, other]).sum(1, keepdim=True) * v[..., other]
    expected = x + layer.after(layer.out(h.reshape(1, 128, 3, 3)))
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def test_standardised_filters_have_mean_0_and_variance_1() -> None:
    layer = annotated.StandardisedConv(4, 2, 3, bias=False)
    eye = torch.eye(36).view(36, 4, 3, 3)  # each picture reads one weight
    read = layer(eye).flatten(1).T
    torch.testing.assert_close(read.mean(1), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(read.var(1, correction=0), torch.ones(2), atol=1e-2, rtol=0)


def test_no_label_is_told_as_no_class() -> None:
    """One-hot of nothing: the embedding of zeros, whatever the classes' weights."""
    net = awake(small("context")).eval()
    x, t, none = torch.randn(1, 3, SIZE, SIZE), torch.tensor([5.0]), torch.tensor([NO_LABEL])
    with torch.no_grad():
        before = net(x, t, none)
        for embedding in net.context:
            embedding[0].weight.mul_(7)
        torch.testing.assert_close(net(x, t, none), before)


# ------------------------------------------------------------------ learning


def pictures(number: int) -> torch.Tensor:
    """(N, 3, S, S) smooth patterns in [-1, 1]."""
    coarse = torch.randn(number, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    return F.interpolate(coarse, size=SIZE, mode="bicubic").clamp(-1, 1)


@pytest.mark.parametrize("kind", SEEDS)
def test_a_net_learns_eight_pictures_by_heart(kind: str) -> None:
    schedule = cosine(1000)
    denoiser = Denoiser(small(kind, classes=8, width=8), schedule, "x0")
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=4e-3)
    x0, labels = pictures(8), torch.arange(8)
    g = torch.Generator().manual_seed(4)

    def drawn() -> tuple[torch.Tensor, torch.Tensor]:
        index = torch.randint(50, 800, (8,), generator=g)
        return schedule.sigmas[index].float(), torch.randn(x0.shape, generator=g)

    def loss(sigma: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        return denoising_loss(denoiser, x0, labels, sigma, eps).mean()

    fixed = drawn()
    with torch.no_grad():
        start = float(loss(*fixed))
    for _ in range(80):
        optimizer.zero_grad()
        loss(*drawn()).backward()
        nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        end = float(loss(*fixed))
    assert end < 0.5 * start
