"""Training pictures come the same way from memory and from a file."""

import dataclasses

import numpy as np
import pytest
import torch
from test_loop import PARAMS, assert_same_bits
from test_loop import trainer as small_trainer

from pipeline.training import data as module
from pipeline.training.data import AHEAD, Resident, Streamed, make_pictures
from pipeline.training.order import batch_indices

CPU = torch.device("cpu")


@pytest.fixture
def mapped(tmp_path):
    """A data set's file, 40 pictures of which 20 are trained on."""
    rng = np.random.default_rng(1)
    np.save(tmp_path / "images.npy", rng.integers(0, 256, (40, 16, 16, 3), dtype=np.uint8))
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    return images, rng.integers(0, 2, 40), rng.permutation(40)[:20]


def order(nimg):
    return batch_indices(3, nimg, 8, 20)


def batches(pictures, places):
    for nimg in places:
        images, chosen, labels = pictures.batch(order, nimg, 8)
        yield images[chosen], labels


def test_a_stream_gives_what_memory_gives(mapped, monkeypatch):
    monkeypatch.setattr(module, "_TURNED", 7)
    resident = make_pictures(*mapped, CPU, "always")
    streamed = make_pictures(*mapped, CPU, "never")
    assert isinstance(resident, Resident) and isinstance(streamed, Streamed)
    assert len(resident) == len(streamed) == 20
    assert resident.shape == streamed.shape == (3, 16, 16)
    places = [0, 8, 16, 24, 400, 408, 8]  # also after a jump ahead, and back
    for one, other in zip(batches(resident, places), batches(streamed, places), strict=True):
        assert torch.equal(one[0], other[0]) and one[0].stride() == other[0].stride()
        assert torch.equal(one[1], other[1])


def test_what_is_read_ahead_is_the_next_steps_and_no_more(mapped, monkeypatch):
    streamed = make_pictures(*mapped, CPU, "never")
    asked = []
    real = streamed._read
    monkeypatch.setattr(streamed, "_read", lambda o, nimg: (asked.append(nimg), real(o, nimg))[1])
    list(batches(streamed, [0, 8, 16]))
    streamed._readers.shutdown()  # readers may not have begun what was asked of them last
    assert sorted(asked) == [8 * k for k in range(3 + AHEAD)]


def test_a_training_from_a_stream_has_the_bits_of_one_from_memory(tmp_path, mapped):
    one, other = (
        small_trainer(tmp_path / how, dataclasses.replace(PARAMS, images=64))
        for how in ("always", "never")
    )
    one.data, other.data = (make_pictures(*mapped, CPU, how) for how in ("always", "never"))
    list(one.run()), list(other.run())
    assert_same_bits(one, other)


def test_memory_is_taken_only_where_it_is_enough(mapped, monkeypatch):
    size = 20 * 16 * 16 * 3
    for free, kind in ((2 * size, Resident), (2 * size - 2, Streamed)):
        monkeypatch.setattr(module, "free_memory", lambda _device, free=free: free)
        assert isinstance(make_pictures(*mapped, CPU, "auto"), kind)
    monkeypatch.undo()
    assert 2**20 < module.free_memory(CPU) < 2**50
