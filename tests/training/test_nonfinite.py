"""A loss or gradient that is no number never reaches the weights, and is found again."""

import dataclasses

import pytest
import torch
from test_loop import PARAMS
from test_loop import trainer as small_trainer

from pipeline.errors import PipelineError
from pipeline.params import EngineParams
from pipeline.training.events import Stopped
from pipeline.training.nonfinite import bucket
from pipeline.training.order import batch_indices


def trainer(folder, bad=(), picture=3, **changes):
    """One whose loss of ``picture`` is no number in the steps that start at ``bad`` images."""
    one = small_trainer(folder, dataclasses.replace(PARAMS, **changes))
    usual = one.loss_of

    class Poisoned:
        failure = ""
        proven = usual.proven

        def __call__(self, *arguments):
            each = usual(*arguments)
            if one.nimg not in bad:
                return each
            poison = torch.ones_like(each)
            poison[picture] = float("nan")
            return each * poison

    one.loss_of = Poisoned()
    return one


def weights(one):
    return [value.clone() for value in one.net.state_dict().values()]


@pytest.mark.parametrize("fused", [True, False])
def test_it_stops_with_the_step_the_picture_and_its_noise_level(tmp_path, fused):
    engine = EngineParams(fused=fused)
    before = trainer(tmp_path / "a", engine=engine)
    before.step()
    one = trainer(tmp_path / "b", bad=[8], log_every=16, engine=engine)
    with pytest.raises(PipelineError) as caught:
        list(one.run())
    one.nimg = 8
    sigma = float(one.batch().sigma[3])
    row = int(batch_indices(3, 8, 8, 20)[3])
    text = str(caught.value)
    assert text.startswith(
        f"training diverged at step 2 (image 8): the loss of picture 3 of its batch (row {row} of "
        f"the training split) at noise level {sigma:.4g} (bucket {bucket(sigma)}) is not finite"
    )
    low, high = map(float, bucket(sigma).split(" to "))
    assert low * 0.999 <= sigma < high * 1.001 and high == pytest.approx(2 * low, rel=1e-3)
    for mine, theirs in zip(weights(one), weights(before), strict=True):
        assert torch.equal(mine, theirs)  # the step before it is the last that changed them
    assert not list((tmp_path / "b").glob("state-*"))


def test_an_infinite_gradient_of_finite_losses_names_the_whole_batch(tmp_path):
    one = trainer(tmp_path)
    next(one.net.parameters()).register_hook(lambda grad: grad * float("inf"))
    with pytest.raises(PipelineError, match=r"step 1 \(image 0\): the losses are finite") as caught:
        list(one.run())
    for row in batch_indices(3, 0, 8, 20).tolist():
        assert f" {row}" in str(caught.value)


def test_so_many_may_be_left_out_and_not_one_more(tmp_path):
    bad = [8, 40]
    one = trainer(tmp_path / "a", bad, skip_nonfinite=2)
    list(one.run())
    assert (one.nimg, one.skipped) == (96, 2)
    assert all(value.isfinite().all() for value in weights(one))
    assert all(loss == loss for _, loss, _, _ in one.history)  # means of the others
    with pytest.raises(PipelineError, match="2 such steps were left out already"):
        list(trainer(tmp_path / "b", [*bad, 64], skip_nonfinite=2).run())


def test_what_was_left_out_is_counted_over_interruptions(tmp_path):
    make = {"bad": [8, 40, 64], "skip_nonfinite": 2}
    first = trainer(tmp_path, **make)
    assert list(first.run(lambda: first.nimg >= 16))[-1] == Stopped(16)
    second = trainer(tmp_path, **make)
    second.resume()
    with pytest.raises(PipelineError, match="step 9"):
        list(second.run())


def test_a_step_left_out_changes_nothing_at_all(tmp_path):
    """Not the weights, not the moments, not the count of steps that Adam corrects its bias by."""
    one = trainer(tmp_path, [8], skip_nonfinite=1)
    one.step()
    one.nimg = 8
    before = [value.clone() for state in one.optimizer.state.values() for value in state.values()]
    kept = weights(one)
    one.step()
    after = [value for state in one.optimizer.state.values() for value in state.values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(kept, weights(one), strict=True))
