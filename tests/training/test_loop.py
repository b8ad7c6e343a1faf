"""The loop: it learns, and an interruption changes nothing."""

import dataclasses
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from pipeline.diffusion.sampling import Sampling
from pipeline.errors import PipelineError
from pipeline.model import Architecture, Model, initialise
from pipeline.params import NetParams, TrainParams
from pipeline.training.batch import pictures
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.data import Resident
from pipeline.training.ema import Ema
from pipeline.training.events import Logged, Saved, Stopped, TimeToSample
from pipeline.training.loop import Trainer, learning_rate

NET = NetParams(width=16, patch=4, multipliers=[1], blocks=1, attention=[4], dropout=0.1)
PARAMS = TrainParams(
    net=NET, images=96, batch_size=8, log_every=24, checkpoint_every=32, sample_every=48, warmup=0.1
)


def trainer(folder, params=PARAMS, objective="x0", schedule="linear", seed=3):
    g = torch.Generator().manual_seed(11)
    data = Resident(
        torch.randint(0, 256, (20, 3, 16, 16), dtype=torch.uint8, generator=g),
        torch.randint(0, 2, (20,), generator=g),
    )
    architecture = Architecture(
        params.net, 16, ["a", "b"], schedule, 1000, objective, augment=params.augment > 0
    )
    return Trainer(initialise(architecture, seed), data, params, seed, Checkpoints(folder))


def weights(one):
    return [*one.denoiser.net.state_dict().values(), *one.ema.net.state_dict().values()]


def assert_same_bits(one, other):
    assert one.nimg == other.nimg
    assert one.history == other.history
    for a, b in zip(weights(one), weights(other), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("objective", "schedule"), [("x0", "linear"), ("eps", "cosine")])
@pytest.mark.parametrize("stop_after", [8, 32, 56, 88])
def test_stopping_and_resuming_gives_the_bits_of_an_undisturbed_run(
    tmp_path, objective, schedule, stop_after
):
    whole = trainer(tmp_path / "a", objective=objective, schedule=schedule)
    list(whole.run())
    first = trainer(tmp_path / "b", objective=objective, schedule=schedule)
    events = list(first.run(lambda: first.nimg >= stop_after))
    assert events[-1] == Stopped(stop_after)
    second = trainer(tmp_path / "b", objective=objective, schedule=schedule)
    torch.rand(1)  # whatever else drew from the global generator
    assert second.resume() == []
    assert second.nimg == stop_after
    list(second.run())
    assert_same_bits(whole, second)


def test_kill_minus_nine_and_resuming_gives_the_same_bits(tmp_path):
    program = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[2])
        from test_loop import trainer
        one = trainer(Path(sys.argv[1]))
        one.resume()
        for event in one.run():
            if one.nimg >= 72:
                os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    here = str(Path(__file__).parent)
    died = subprocess.run([sys.executable, "-c", program, str(tmp_path / "b"), here], check=False)
    assert died.returncode == -signal.SIGKILL
    second = trainer(tmp_path / "b")
    second.resume()
    assert 0 < second.nimg < 96
    list(second.run())
    whole = trainer(tmp_path / "a")
    list(whole.run())
    assert_same_bits(whole, second)


def test_events_come_when_the_params_say(tmp_path):
    events = list(trainer(tmp_path).run())
    assert [e.nimg for e in events if isinstance(e, Logged)] == [24, 48, 72, 96]
    assert [e.nimg for e in events if isinstance(e, Saved)] == [32, 64, 96]
    assert [e.nimg for e in events if isinstance(e, TimeToSample)] == [48, 96]
    assert all(e.images_per_second > 0 for e in events if isinstance(e, Logged))


def test_different_seeds_train_differently(tmp_path):
    one, other = trainer(tmp_path / "a"), trainer(tmp_path / "b", seed=4)
    list(one.run()), list(other.run())
    assert one.history != other.history


def test_eight_images_can_be_learned(tmp_path):
    """Samples of a net that saw eight images alone lie on these images."""
    params = dataclasses.replace(
        PARAMS,
        images=9_600,
        batch_size=16,
        lr=3e-3,
        flip=False,
        label_dropout=0.0,
        log_every=1200,
        checkpoint_every=10**9,
        sample_every=0,
        net=dataclasses.replace(NET, width=32, dropout=0.0),
    )
    one = trainer(tmp_path, params)
    one.data = Resident(one.data.images[:8], torch.zeros(8, dtype=torch.int64))
    list(one.run())
    model = Model(one.averaged.eval(), ["a", "b"], 16, {}, torch.device("cpu"))
    drawn = model.sample(torch.zeros(32, dtype=torch.int64), range(32), Sampling(steps=12))
    samples = torch.from_numpy(drawn).permute(0, 3, 1, 2).flatten(1).float()
    known = one.data.images.flatten(1).float()
    apart = torch.pdist(known).mean()
    distance, which = torch.cdist(samples, known).min(dim=1)
    assert distance.mean() < 0.25 * apart
    assert len(set(which.tolist())) >= 6


def test_a_diverged_training_stops_and_saves_nothing(tmp_path):
    one = trainer(tmp_path)
    with torch.no_grad():
        next(one.denoiser.net.parameters()).fill_(float("nan"))
    with pytest.raises(PipelineError, match="diverged at step 1 "):
        list(one.run())
    assert list(tmp_path.iterdir()) == []


def test_the_average_follows_its_closed_form():
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(net.weight, 0.0)
    ema = Ema(net, 0.9)
    expected = 0.0
    for step in range(1, 200):
        torch.nn.init.constant_(net.weight, float(step))
        ema.update(net, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert ema.net.weight.item() == pytest.approx(expected, rel=1e-5)


def test_the_learning_rate_rises_stays_and_falls_to_zero():
    params = dataclasses.replace(PARAMS, images=1000, batch_size=10, lr=1.0, warmup=0.1, decay=0.4)
    rates = [learning_rate(params, n) for n in range(0, 1001, 10)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:60] == pytest.approx([1.0] * 51)
    assert rates[80] == pytest.approx(0.5)
    assert rates[100] == 0.0


def test_mirroring_mirrors_half_and_dropout_hides_its_share(tmp_path):
    params = dataclasses.replace(PARAMS, batch_size=2000, label_dropout=0.25)
    one = trainer(tmp_path, params)
    batch = one.batch()
    places = one._order(0)
    x0 = pictures(one.data.images[places], batch.flip, None, None)
    assert batch.hidden.float().mean().item() == pytest.approx(0.25, abs=0.03)
    plain = one.data.images.float() / 127.5 - 1
    straight = (x0[:, None] == plain[None]).flatten(2).all(-1).any(1)
    turned = (x0[:, None] == plain.flip(-1)[None]).flatten(2).all(-1).any(1)
    assert (straight ^ turned).all()
    assert turned.float().mean().item() == pytest.approx(0.5, abs=0.04)
