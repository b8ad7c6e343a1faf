"""Rates, shares of the peak, and when it will be done."""

import dataclasses

import pytest
import torch
from test_loop import PARAMS, trainer

from pipeline.net_summary import summarise
from pipeline.training import meter
from pipeline.training.events import Logged, Predicted, duration, log_line, prediction_line
from pipeline.training.meter import Meter, matmul_peak


def test_the_meter_counts_steps_and_not_what_lies_between():
    now = [100.0]
    one = Meter(flops=1_000_000, peak=6e9, budget=1000, clock=lambda: now[0])
    assert one.rate() == 0 and one.seconds_left(0, 0.0) == float("inf")
    for _ in range(4):
        one.start()
        now[0] += 0.5
        one.stop(100)
        now[0] += 7  # a sample grid, a checkpoint
    assert one.rate() == 200
    assert one.tflops(200) == pytest.approx(6e-4)
    assert one.mfu(200) == pytest.approx(0.1)
    assert one.seconds_left(400, 200) == 3
    one.reset()
    assert one.rate() == 0


def test_a_net_is_looked_at_without_being_moved_or_computed(tmp_path):
    one = trainer(tmp_path)
    assert one.summary == summarise(one.net, 16) and one.summary.flops > 0
    assert next(one.net.parameters()).device.type == "cpu"


def test_no_net_is_faster_than_the_peak(tmp_path):
    """The peak is what a matrix product reaches: of the right order, and above any training."""
    peak = matmul_peak(torch.device("cpu"), torch.float32)
    assert 1e9 < peak < 1e13
    logged = [event for event in trainer(tmp_path).run() if isinstance(event, Logged)]
    assert all(0 < event.mfu < 1 for event in logged)
    assert logged[-1].seconds_left == 0 < logged[0].seconds_left
    assert logged[0].memory > 2**20


def test_the_peak_is_the_best_that_was_ever_seen(monkeypatch):
    """Measured beside other work it is too low; later looks mend that, and never lower it."""
    cpu, dtype = torch.device("cpu"), torch.float32
    monkeypatch.setitem(meter._PEAKS, (cpu, dtype), 1e6)
    mended = matmul_peak(cpu, dtype)
    assert mended > 1e9
    monkeypatch.setitem(meter._PEAKS, (cpu, dtype), 1e18)
    assert matmul_peak(cpu, dtype) == 1e18


def test_the_end_is_predicted_once_after_fifty_steps(tmp_path):
    params = dataclasses.replace(PARAMS, images=480, checkpoint_every=10**6, sample_every=0)
    events = list(trainer(tmp_path / "a", params).run())
    (one,) = [event for event in events if isinstance(event, Predicted)]
    assert (one.nimg, one.seconds_left > 0) == (400, True)
    assert prediction_line(one).startswith("50 steps: about ")
    assert not any(isinstance(event, Predicted) for event in trainer(tmp_path / "b").run())


def test_a_log_line_says_all_there_is_to_know():
    event = Logged(2400, 0.14229, 0.5, 1e-3, 412.3, 0.2117, 0.3811, 1_234_000_000, 3723.4)
    assert log_line(event, 16, 48_000) == (
        "step 150  2,400 of 48,000 images  loss 0.1423  412 images/s  0.212 TFLOP/s  MFU 38.1%  "
        "1.23 GB  1:02:03 left"
    )
    assert [duration(s) for s in (0.4, 61, 3600, float("inf"))] == ["0:00", "1:01", "1:00:00", "?"]
