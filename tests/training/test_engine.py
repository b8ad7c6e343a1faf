"""The levers of speed change how fast a training is, never what it learns."""

import dataclasses

import pytest
import torch
from test_loop import NET, PARAMS, assert_same_bits
from test_loop import trainer as small_trainer

from pipeline.errors import ParamsError
from pipeline.params import EngineParams
from pipeline.training.compute import Compute
from pipeline.training.events import Stopped

STILL = dataclasses.replace(PARAMS, net=dataclasses.replace(NET, dropout=0.0))
MOVED = {"augment": 0.5, "rotate": True, "vertical_flip": True}


def trainer(folder, params=STILL, **changes):
    return small_trainer(folder, dataclasses.replace(params, **changes))


def losses(one):
    list(one.run())
    return [value for line in one.history for value in (line[1], line[3])]


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return losses(trainer(tmp_path_factory.mktemp("usual"), **MOVED))


@pytest.mark.parametrize(
    "lever",
    [
        {"sdpa": False}, {"fused": False}, {"foreach": False}, {"sync": True}, {"tf32": True},
        {"channels_last": "always"}, {"resident": "always"},
    ],
    ids=lambda lever: next(iter(lever)),
)  # fmt: skip
def test_a_lever_changes_no_loss(tmp_path, usual, lever):
    engine = EngineParams(**lever)
    assert losses(trainer(tmp_path, engine=engine, **MOVED)) == pytest.approx(usual, rel=1e-4)


def test_the_levers_are_what_params_say(tmp_path):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    plain = Compute.of(STILL, cpu)
    assert (plain.compiled, plain.channels_last, plain.autocast) == (False, False, None)
    fast = Compute.of(STILL, cuda)
    assert (fast.compiled, fast.channels_last, fast.dtype) == (True, True, torch.bfloat16)
    assert fast.describe() == "cuda, bf16, compiled, channels last"
    never = dataclasses.replace(
        STILL, precision="fp32", engine=EngineParams(compile="never", tf32=True)
    )
    slow = Compute.of(never, cuda)
    assert (slow.compiled, slow.channels_last, slow.dtype) == (False, False, torch.float32)
    assert torch.backends.cudnn.allow_tf32
    Compute.of(STILL, cuda)
    assert not torch.backends.cudnn.allow_tf32


def test_every_lever_reaches_what_it_moves(tmp_path, monkeypatch):
    """That no loss changes would also be so if a lever moved nothing."""

    def seen(**lever):
        one = trainer(tmp_path / str(lever), images=16, engine=EngineParams(**lever))
        waits, foreach = [], []
        real = torch._foreach_lerp_
        with monkeypatch.context() as watched:
            watched.setattr(Compute, "wait", lambda _: waits.append(one.nimg))
            watched.setattr(torch, "_foreach_lerp_", lambda *a: (foreach.append(1), real(*a))[1])
            list(one.run())
        with one.compute.kernels():
            attention = torch.backends.cuda.flash_sdp_enabled()
        return attention, bool(one.optimizer.defaults["fused"]), len(foreach), len(waits)

    usual = seen()
    assert usual == (True, True, 2, 1)  # two steps, one log line
    assert seen(sdpa=False) == (False, *usual[1:])
    assert seen(fused=False) == (True, False, 2, 1)
    assert seen(foreach=False) == (True, True, 0, 1)
    assert seen(sync=True) == (True, True, 2, 2)


def test_all_of_a_step_is_one_graph(tmp_path, monkeypatch, usual):
    """Indexing, flips, augmentation, noise, net and loss: the compiler is given them as one."""
    real, graphs = torch.compile, []

    def backend(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(
        torch, "compile", lambda f, **options: real(f, backend=backend, fullgraph=True, **options)
    )
    one = trainer(tmp_path, engine=EngineParams(compile="always"), **MOVED)
    assert losses(one) == pytest.approx(usual, rel=1e-5)
    assert one.loss_of.failure == ""
    assert len(graphs) == 1  # and never compiled again, however many steps


def test_a_compiler_that_fails_is_done_without_and_says_why(tmp_path, monkeypatch):
    def broken(function, **_options):
        def call(*_):
            raise RuntimeError("no C++ compiler here\nand many lines more")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    one = trainer(tmp_path / "a", engine=EngineParams(compile="always"))
    other = trainer(tmp_path / "b")
    list(one.run()), list(other.run())
    assert one.loss_of.failure == "no C++ compiler here"
    assert_same_bits(one, other)


# --------------------------------------------------------------------------- parts of a batch


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_accumulated_parts_are_the_whole_batch(tmp_path, usual, parts):
    assert losses(trainer(tmp_path, accumulate=parts, **MOVED)) == pytest.approx(usual, rel=1e-4)


def test_a_batch_that_cannot_be_cut_evenly_is_refused(tmp_path):
    with pytest.raises(ParamsError, match=r"train\.batch_size: got 8, expected a multiple of 3"):
        trainer(tmp_path, accumulate=3)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("kind", ["unet", "simple", "annotated", "context"])
def test_every_net_goes_on_with_the_same_bits(tmp_path, kind, accumulate):
    net = dataclasses.replace(NET, kind=kind)
    make = {"params": PARAMS, "net": net, "accumulate": accumulate, "images": 40}
    whole = trainer(tmp_path / "a", **make)
    list(whole.run())
    first = trainer(tmp_path / "b", **make)
    assert list(first.run(lambda: first.nimg >= 24))[-1] == Stopped(24)
    second = trainer(tmp_path / "b", **make)
    second.resume()
    list(second.run())
    assert_same_bits(whole, second)
