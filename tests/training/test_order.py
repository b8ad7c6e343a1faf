"""Data order and randomness are functions of (seed, images seen)."""

import torch

from pipeline.training.order import batch_indices, generator_at, mixed_seed


def stream(seed, batch, count, total):
    return torch.cat([batch_indices(seed, n, batch, count) for n in range(0, total, batch)])


def test_every_epoch_shows_each_image_once_also_across_batch_borders():
    order = stream(seed=1, batch=8, count=30, total=240)
    for epoch in range(8):
        seen = order[epoch * 30 : (epoch + 1) * 30]
        assert sorted(seen.tolist()) == list(range(30))


def test_epochs_and_seeds_differ():
    order = stream(seed=1, batch=10, count=30, total=60)
    assert not torch.equal(order[:30], order[30:])
    assert not torch.equal(order[:30], stream(2, 10, 30, 30))


def test_the_order_does_not_depend_on_the_batch_size():
    assert torch.equal(stream(5, 6, 25, 150), stream(5, 50, 25, 150))


def test_a_set_smaller_than_a_batch_is_repeated_whole():
    assert torch.bincount(batch_indices(0, 0, 12, 4)).tolist() == [3, 3, 3, 3]


def test_step_generators_repeat_and_differ():
    def draw(seed, nimg):
        return torch.randn(4, generator=generator_at(seed, nimg))

    assert torch.equal(draw(1, 64), draw(1, 64))
    assert not torch.equal(draw(1, 64), draw(1, 80))
    assert not torch.equal(draw(1, 64), draw(2, 64))
    assert mixed_seed("a", 1, 23) != mixed_seed("a", 12, 3)
