"""Augmentation: what is done to a picture is what the net is told, and nothing else changes."""

import dataclasses
import math

import pytest
import torch
from test_loop import trainer as small_trainer

from pipeline.diffusion.losses import denoising_loss
from pipeline.errors import ParamsError
from pipeline.model import Architecture, initialise, load_model, save_model
from pipeline.nets.unet import AUGMENTATIONS
from pipeline.params import NetParams, TrainParams, from_document
from pipeline.training import augment
from pipeline.training import batch as draws

NET = NetParams(width=16, patch=4, multipliers=[1], blocks=1, attention=[4], dropout=0.1)
PARAMS = TrainParams(net=NET, images=64, batch_size=8, log_every=16)
S = 32


def pictures(count=3):
    """Smooth pictures, so that resampling is exact enough to compare."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, S)] * 2, indexing="ij")
    waves = [torch.sin(2.1 * x + k) * torch.cos(1.3 * y - k) for k in range(3 * count)]
    return 0.9 * torch.stack(waves).view(count, 3, S, S)


def numbers(**values):
    """One row of what is told, by name."""
    names = ["mirror", "upside_down", "scale", "cos", "sin", "along", "across", "right", "down"]
    return torch.tensor([[values.get(name, 0.0) for name in names]])


def angle(degrees):
    return {
        "cos": math.cos(math.radians(degrees)) - 1,
        "sin": math.sin(math.radians(degrees)),
    }


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (numbers(mirror=1), lambda x: x.flip(-1)),
        (numbers(upside_down=1), lambda x: x.flip(-2)),
        (numbers(**angle(90)), lambda x: x.rot90(-1, (-2, -1))),
        (numbers(**angle(180)), lambda x: x.flip(-1, -2)),
        (numbers(right=4 / S), lambda x: x.roll(4, -1)),
        (numbers(down=-8 / S), lambda x: x.roll(-8, -2)),
        # An axis along x and enlargement of 2 both ways: x by 4, y by 1.
        (numbers(scale=1, along=1), lambda x: enlarged(x, 4, 1)),
        (numbers(scale=1, along=-1), lambda x: enlarged(x, 1, 4)),
        (numbers(scale=1), lambda x: enlarged(x, 2, 2)),
    ],
)
def test_each_change_is_what_its_numbers_say(told, expected):
    x = pictures()
    got, wanted = augment.augmented(x, told.expand(3, -1)), expected(x)
    inner = (..., slice(9, -9), slice(9, -9))  # a shift rolls the border in
    assert (got - wanted)[inner].abs().max() < 0.01
    assert (got - x)[inner].abs().max() > 0.05


def enlarged(x, by_x, by_y):
    size = (S * by_y, S * by_x)
    large = torch.nn.functional.interpolate(x, size, mode="bicubic", align_corners=False)
    top, left = (size[0] - S) // 2, (size[1] - S) // 2
    return large[..., top : top + S, left : left + S]


def test_a_stretch_along_a_diagonal_is_a_turned_stretch():
    x = pictures()
    diagonal = numbers(across=0.5).expand(3, -1)  # twice 45 degrees
    turned = augment.augmented(x, numbers(**angle(-45)).expand(3, -1))
    turned = augment.augmented(turned, numbers(along=0.5).expand(3, -1))
    turned = augment.augmented(turned, numbers(**angle(45)).expand(3, -1))
    inner = (..., slice(12, -12), slice(12, -12))
    assert (augment.augmented(x, diagonal) - turned)[inner].abs().max() < 0.03  # resampled thrice
    assert (augment.augmented(x, -diagonal) - turned)[inner].abs().max() > 0.1


def test_a_picture_told_of_nothing_keeps_its_bits_beside_others():
    x = torch.rand(2, 3, S, S) * 2 - 1
    told = torch.cat([numbers(), numbers(scale=0.1, right=0.3)])
    out = augment.augmented(x, told)
    assert torch.equal(out[0], x[0])
    assert not torch.equal(out[1], x[1])
    assert out.abs().max() <= 1


def test_each_change_happens_with_its_probability_and_spread():
    p = 0.1
    told = augment.draw_augmentations(200_000, p, torch.Generator().manual_seed(1))
    assert told.shape == (200_000, AUGMENTATIONS)
    happened = (told != 0).float().mean(0)
    expected = torch.tensor([p / 2, p / 2, *[p] * 7])  # half the coins fall on "not"
    assert torch.allclose(happened, expected, atol=0.003)
    scale, right = (told[:, k][told[:, k] != 0] for k in (2, 7))
    assert scale.std().item() == pytest.approx(0.2, rel=0.02)
    assert right.std().item() == pytest.approx(0.125, rel=0.02)
    stretch = told[:, 5:7][told[:, 5] != 0].norm(dim=1).square().mean().sqrt()
    assert stretch.item() == pytest.approx(0.2, rel=0.02)
    turns = told[told[:, 4] != 0]
    assert torch.allclose((turns[:, 3] + 1) ** 2 + turns[:, 4] ** 2, torch.ones(1), atol=1e-5)
    assert turns[:, 4].mean().abs() < 0.02
    assert (augment.draw_augmentations(99, 0.0, torch.Generator().manual_seed(1)) == 0).all()


def test_turns_and_upside_down_are_exact_and_even():
    x = torch.rand(1, 3, 8, 8).expand(4000, -1, -1, -1)
    drawn = augment.draw_turns(4000, True, True, torch.Generator().manual_seed(2))
    assert drawn is not None
    out = augment.turned(x, drawn)
    bases = (x[0], x[0].flip(-2))
    kinds = [base.rot90(k, (-2, -1)) for base in bases for k in range(4)]
    which = torch.stack([(out == kind).flatten(1).all(1) for kind in kinds], 1)
    assert (which.sum(1) == 1).all()
    assert torch.allclose(which.float().mean(0), torch.full((8,), 1 / 8), atol=0.025)


def make(folder, **changes):
    return small_trainer(folder, dataclasses.replace(PARAMS, **changes))


def test_without_augmentation_nothing_changes(tmp_path):
    plain, told = make(tmp_path), make(tmp_path, augment=1.0)
    names = plain.denoiser.net.state_dict()
    assert set(told.denoiser.net.state_dict()) - set(names) == {"augmentation.weight"}
    for name, value in told.denoiser.net.state_dict().items():
        assert torch.equal(value, names[name]) if name in names else (value == 0).all()
    one, other = plain.batch(), told.batch()
    assert one.told is None and other.told is not None
    for name in ("sigma", "counts", "flip", "hidden", "eps"):
        assert torch.equal(getattr(one, name), getattr(other, name))


def test_the_batch_is_a_function_of_seed_and_place(tmp_path):
    settings = {"augment": 0.5, "rotate": True, "vertical_flip": True}
    one, other = make(tmp_path, **settings), make(tmp_path, **settings)
    torch.rand(3)
    mine, theirs = vars(one.batch()), vars(other.batch())
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    other.nimg += 8
    later = vars(other.batch())
    assert not any(torch.equal(mine[name], later[name]) for name in mine)


def test_what_was_done_is_told_to_the_net_and_zero_is_not_to_be_told(tmp_path):
    one = make(tmp_path, augment=1.0)
    batch, images, labels = one.batch(), one.data.images[:8], one.data.labels[:8]
    sigma, eps, told = batch.sigma, batch.eps, batch.told
    x0 = draws.pictures(images, batch.flip, batch.turns, told)
    net = one.denoiser.net.eval()
    for weight in net.parameters():
        if not weight.any():  # wake what starts at zero
            torch.nn.init.normal_(weight, std=0.1)
    given = (one.denoiser, x0, labels, sigma, eps)
    plain = denoising_loss(*given)
    assert torch.equal(plain, denoising_loss(*given, augment=torch.zeros_like(told)))
    assert not torch.equal(plain, denoising_loss(*given, augment=told))


def test_the_label_learns(tmp_path):
    one = make(tmp_path, augment=0.8)
    list(one.run())
    assert one.denoiser.net.augmentation.weight.abs().max() > 0


def test_a_model_that_was_told_is_loaded_as_one(tmp_path):
    architecture = Architecture(NET, 16, ["a", "b"], "linear", 1000, "x0", augment=True)
    save_model(tmp_path, architecture, initialise(architecture, 1).net, {})
    assert load_model(tmp_path, "cpu").denoiser.net.knows_augment


def test_nets_that_cannot_be_told_are_refused():
    with pytest.raises(ParamsError, match=r"train\.augment: got 0\.1, but net context cannot"):
        from_document({"train": {"augment": 0.1, "net": {"kind": "context"}}})
