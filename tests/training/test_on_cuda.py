"""What only a GPU can show. Skipped where there is none."""

import dataclasses

import numpy as np
import pytest
import torch
from test_loop import PARAMS, trainer

from pipeline.training.data import Resident, Streamed
from pipeline.training.events import Stopped

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
CUDA = torch.device("cuda")


def on_cuda(folder, streamed=False, **changes):
    """A trainer whose pictures lie on the GPU, or come from the host."""
    one = trainer(folder, dataclasses.replace(PARAMS, **changes))
    images, labels = one.data.images, one.data.labels
    if streamed:
        data = Streamed(images.permute(0, 2, 3, 1).numpy(), labels.numpy(), np.arange(20), CUDA)
    else:
        data = Resident(images.to(CUDA), labels.to(CUDA))
    return type(one)(one.denoiser, data, one.params, one.seed, one.checkpoints)


@pytest.mark.parametrize("streamed", [False, True])
def test_no_step_waits_for_the_device(tmp_path, streamed):
    one = on_cuda(tmp_path, streamed, augment=0.5, rotate=True)
    for _ in range(3):  # compiled, kernels chosen
        one.step()
        one.nimg += 8
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            one.step()
            one.nimg += 8
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert one.loss_of.failure == ""


def test_a_resumed_training_differs_no_more_than_two_that_ran_through(tmp_path):
    def losses(one):
        list(one.run())
        return torch.tensor([line[1] for line in one.history])

    whole, again = losses(on_cuda(tmp_path / "a")), losses(on_cuda(tmp_path / "b"))
    first = on_cuda(tmp_path / "c")
    assert list(first.run(lambda: first.nimg >= 48))[-1] == Stopped(48)
    second = on_cuda(tmp_path / "c")
    second.resume()
    spread = (whole - again).abs().max()
    assert (losses(second) - whole).abs().max() <= 4 * spread + 1e-4
