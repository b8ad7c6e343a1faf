"""Power-function averages, their snapshots, and what is made of them; the guide's snapshot."""

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from test_loop import trainer as small_trainer

from pipeline.errors import ParamsError, PipelineError
from pipeline.params import NetParams, TrainParams, from_document
from pipeline.training import posthoc
from pipeline.training.ema import PowerEma, gamma_of, length_of
from pipeline.training.loop import Stopped

NET = NetParams(width=16, patch=4, multipliers=[1], blocks=1, attention=[4], dropout=0.1)
PARAMS = TrainParams(
    net=NET,
    images=128,
    batch_size=8,
    log_every=24,
    checkpoint_every=32,
    sample_every=0,
    augment=0.5,
    rotate=True,
    ema_lengths=[0.05, 0.10],
    ema_snapshots=4,
    guide_at=0.3,
)


def trainer(folder, **changes):
    return small_trainer(folder, dataclasses.replace(PARAMS, **changes), "edm", "karras")


# --------------------------------------------------------------------------- lengths, profiles


@pytest.mark.parametrize("gamma", [0.5, 1.0, 6.94, 16.97, 98.0])
def test_length_and_gamma_are_inverse(gamma):
    assert gamma_of(length_of(gamma)) == pytest.approx(gamma, rel=1e-9)


def test_the_papers_figures():
    """gamma of 16.97 and 6.94 for 5 and 10 % (section 3.1)."""
    assert gamma_of(0.05) == pytest.approx(16.97, abs=0.005)
    assert gamma_of(0.10) == pytest.approx(6.94, abs=0.005)


@pytest.mark.parametrize("length", [0.02, 0.05, 0.10, 0.25])
def test_the_length_is_the_standard_deviation_of_the_profile(length):
    steps = 20_000
    weight, place = posthoc.profile(length, steps), np.arange(1, steps + 1) / steps
    assert weight.sum() == pytest.approx(1)
    mean = weight @ place
    assert np.sqrt(weight @ (place - mean) ** 2) == pytest.approx(length, rel=1e-3)


@pytest.mark.parametrize("length", [0.03, 0.10, 0.2])
def test_the_average_is_the_sum_by_its_profile_of_all_weights_there_were(length):
    g = torch.Generator().manual_seed(5)
    net = torch.nn.Linear(7, 5).double()
    average = PowerEma(net, length)
    seen = []
    for step in range(1, 301):
        with torch.no_grad():
            net.weight += torch.randn(5, 7, generator=g)
        seen.append(net.weight.detach().clone())
        average.update(net, step)
    expected = np.tensordot(posthoc.profile(length, 300), torch.stack(seen).numpy(), 1)
    assert np.abs(average.net.weight.numpy() - expected).max() < 1e-10 * np.abs(expected).max()


def test_the_overlaps_are_the_integrals():
    ends, lengths = [400, 1000, 250], [0.05, 0.1, 0.2]
    grid = (np.arange(400_000) + 0.5) / 400

    def continuous(end, length):
        gamma = gamma_of(length)
        return np.where(grid < end, (gamma + 1) / end * (grid / end) ** gamma, 0)

    profiles = np.stack([continuous(*both) for both in zip(ends, lengths, strict=True)])
    expected = profiles @ profiles.T / 400
    assert posthoc.overlaps(ends, lengths, ends, lengths) == pytest.approx(expected, rel=1e-4)


# --------------------------------------------------------------------------- reconstruction


def wander(steps=2000, size=64):
    """A trajectory like a training's: it settles towards a place while it jitters."""
    rng = np.random.default_rng(3)
    jitter = rng.normal(size=(steps, size)) * 0.05
    share = np.arange(1, steps + 1)[:, None] / steps
    return rng.normal(size=size) * (1 - np.exp(-5 * share)) + jitter.cumsum(0) * 0.05


def tracked(path, length, at):
    return posthoc.profile(length, at) @ path[:at]


def test_a_kept_length_is_given_back():
    steps = [250 * k for k in range(1, 9)] * 2
    lengths = [0.05] * 8 + [0.10] * 8
    for which, length in ((7, 0.05), (15, 0.10)):
        weights, missed = posthoc.combination(steps, lengths, 2000, length)
        assert missed < 1e-6
        assert weights == pytest.approx(np.eye(16)[which], abs=1e-4)


@pytest.mark.parametrize(
    ("length", "snapshots", "allowed"),
    [(0.07, 4, 0.08), (0.07, 8, 0.02), (0.07, 16, 0.003), (0.04, 8, 0.04), (0.15, 8, 0.02)],
)
def test_another_length_is_made_of_two(length, snapshots, allowed):
    path, last = wander(), 2000
    steps = [last * k // snapshots for k in range(1, snapshots + 1)] * 2
    lengths = [0.05] * snapshots + [0.10] * snapshots
    weights, missed = posthoc.combination(steps, lengths, last, length)
    kept = np.stack([tracked(path, n, t) for n, t in zip(lengths, steps, strict=True)])
    wanted = tracked(path, length, last)
    # In units of how far two kept averages are apart: what a wrong length would cost.
    apart = np.linalg.norm(tracked(path, 0.05, last) - tracked(path, 0.10, last))
    assert np.linalg.norm(weights @ kept - wanted) < allowed * apart
    assert weights.sum() == pytest.approx(1)
    assert np.abs(weights).sum() < 3  # times fp16's rounding
    assert missed < 0.05


def test_snapshots_of_a_training_make_the_average_it_kept(tmp_path):
    one = trainer(tmp_path)
    list(one.run())
    snapshots = posthoc.read_snapshots(tmp_path / "ema")
    assert [(s.length, s.step) for s in snapshots] == [
        (length, step) for length in (0.05, 0.1) for step in (4, 8, 12, 16)
    ]
    for average in one.averages:
        weights, _missed = posthoc.reconstruct(snapshots, average.length)
        for name, value in average.net.state_dict().items():
            assert weights[name].dtype == torch.float32
            assert (weights[name] - value).abs().max() <= 2e-3 * max(value.abs().max(), 1e-3), name


def test_what_is_no_snapshot_is_refused_in_a_line(tmp_path):
    with pytest.raises(PipelineError, match="no snapshots of averages"):
        posthoc.read_snapshots(tmp_path)
    (tmp_path / "0.0500-000000004.safetensors").write_bytes(b"torn")
    with pytest.raises(PipelineError, match="is no snapshot of an average"):
        posthoc.read_snapshots(tmp_path)


# --------------------------------------------------------------------------- resuming


def state(one):
    nets = [one.denoiser.net, *(average.net for average in one.averages)]
    return [value for net in nets for value in net.state_dict().values()] + [
        one.guide[name] for name in sorted(one.guide)
    ]


def assert_same_bits(one, other):
    assert (one.nimg, one.history) == (other.nimg, other.history)
    assert all(torch.equal(a, b) for a, b in zip(state(one), state(other), strict=True))
    mine, theirs = (sorted((t.checkpoints.folder / "ema").iterdir()) for t in (one, other))
    assert [path.name for path in mine] == [path.name for path in theirs]
    assert [path.read_bytes() for path in mine] == [path.read_bytes() for path in theirs]


@pytest.mark.parametrize("stop_after", [8, 32, 40, 72, 120])  # the guide is due at 40
def test_stopping_and_resuming_keeps_averages_snapshots_and_guide(tmp_path, stop_after):
    whole = trainer(tmp_path / "a")
    list(whole.run())
    first = trainer(tmp_path / "b")
    assert list(first.run(lambda: first.nimg >= stop_after))[-1] == Stopped(stop_after)
    second = trainer(tmp_path / "b")
    second.resume()
    assert (second.guide is None) == (stop_after < 40)
    list(second.run())
    assert_same_bits(whole, second)


def test_kill_minus_nine_between_a_snapshot_and_a_checkpoint_changes_nothing(tmp_path):
    program = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[2])
        from test_averages import trainer
        one = trainer(Path(sys.argv[1]), checkpoint_every=40)
        keep = one._keep
        def kept(before):
            keep(before)
            if one.nimg >= 96:  # its snapshots are written, the checkpoint is that of 80
                os.kill(os.getpid(), signal.SIGKILL)
        one._keep = kept
        list(one.run())
        """
    )
    command = [sys.executable, "-c", program, str(tmp_path / "b"), str(Path(__file__).parent)]
    died = subprocess.run(command, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert died.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "b" / "ema").glob("*.safetensors"))) == 6
    second = trainer(tmp_path / "b", checkpoint_every=40)
    second.resume()
    assert second.nimg == 80
    list(second.run())
    whole = trainer(tmp_path / "a", checkpoint_every=40)
    list(whole.run())
    assert_same_bits(whole, second)


def test_the_guide_is_the_average_as_it_was(tmp_path):
    one = trainer(tmp_path / "a")
    while one.guide is None:
        list(one.run(lambda: True))
    assert one.nimg == 40
    early = {name: value.clone() for name, value in one.ema.net.state_dict().items()}
    list(one.run())
    for name, value in one.guide.items():
        assert torch.equal(value, early[name])
        assert value.device.type == "cpu"
    assert any(not torch.equal(one.ema.net.state_dict()[name], early[name]) for name in early)
    none = trainer(tmp_path / "b", guide_at=0.0)
    list(none.run())
    assert none.guide is None


def test_starting_over_forgets_the_snapshots(tmp_path):
    one = trainer(tmp_path)
    list(one.run())
    one.checkpoints.clear()
    assert list(tmp_path.iterdir()) == []


def test_snapshots_of_no_average_are_refused():
    with pytest.raises(ParamsError, match=r"train\.ema_snapshots: got 4, but train\.ema_lengths"):
        from_document({"train": {"ema_snapshots": 4}})
