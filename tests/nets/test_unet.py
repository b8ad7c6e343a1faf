"""The UNet: shapes, conditioning, and that it can learn."""

import pytest
import torch

from pipeline.nets.unet import Attention, UNet

TINY = {"width": 16, "patch": 2, "multipliers": (1, 2), "blocks": 1, "attention": (4,), "size": 16}


def net(**changes):
    torch.manual_seed(0)
    return UNet(classes=3, **(TINY | changes))


def awake(model):
    """Give the zero-initialised layers weights, so that everything is connected."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.abs().max() == 0:
                parameter.normal_(0, 0.05)
    return model.eval()


@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize("multipliers", [(1,), (1, 2), (2, 1, 3)])
@pytest.mark.parametrize("blocks", [1, 2])
def test_output_has_the_shape_of_the_input(patch, multipliers, blocks):
    model = net(patch=patch, multipliers=multipliers, blocks=blocks)
    x = torch.randn(2, 3, 16, 16)
    assert model(x, torch.tensor([1.0, 900.0]), torch.tensor([0, -1])).shape == x.shape


def test_a_new_net_predicts_zero():
    x = torch.randn(2, 3, 16, 16)
    assert net()(x, torch.zeros(2), torch.zeros(2, dtype=torch.int64)).abs().max() == 0


def test_time_and_label_both_matter_and_no_label_is_a_class_of_its_own():
    model, x = awake(net()), torch.randn(1, 3, 16, 16)

    def out(t, label):
        with torch.no_grad():
            return model(x, torch.tensor([t]), torch.tensor([label]))

    base = out(100.0, 0)
    others = [out(101.0, 0), out(100.0, 1), out(100.0, 2), out(100.0, -1)]
    for i, one in enumerate([base, *others]):
        for other in [base, *others][i + 1 :]:
            assert not torch.allclose(one, other, atol=1e-5)


def test_an_image_does_not_depend_on_its_batch_companions():
    """Two seeds sampled with BatchNorm in training mode: one image moved by up to 0.83."""
    model = awake(net()).train()
    g = torch.Generator().manual_seed(2)
    x, t = torch.randn(8, 3, 16, 16, generator=g), torch.rand(8, generator=g) * 1000
    labels = torch.tensor([0, 1, 2, -1, 0, 1, 2, -1])
    with torch.no_grad():
        together = model(x, t, labels)
        alone = torch.cat([model(x[k : k + 1], t[k : k + 1], labels[k : k + 1]) for k in range(8)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_attention_treats_pixels_as_a_set():
    """Seed 003 mixed tokens and channels: its attention was not permutation-equivariant."""
    attention = Attention(64)
    torch.nn.init.normal_(attention.out.weight, 0, 0.1)
    x = torch.randn(2, 64, 4, 4)
    order = torch.randperm(16)
    shuffled = x.flatten(2)[:, :, order].view_as(x)
    expected = attention(x).flatten(2)[:, :, order].view_as(x)
    torch.testing.assert_close(attention(shuffled), expected, atol=1e-5, rtol=0)


def test_the_demo_net_stays_as_small_as_it_is():
    assert sum(p.numel() for p in UNet(classes=6).parameters()) == 1_108_176


def test_a_size_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        net(size=18)
