"""bench/training.py: sizes that match, turns that alternate, pieces that go on, the report."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from training_parts import report, speed, use
from training_parts.ours import Ours, Theirs, Trained, theirs
from training_parts.pieces import MoreToDo, Pieces
from training_parts.quality import Long, keep_seed, take_seed
from training_parts.race import Turns, race, ratio
from training_parts.seed004 import Seed004, follow
from training_parts.sizes import cost, match, nearest

CPU = torch.device("cpu")


class Toy:
    """Takes ``seconds`` of a clock for each picture and notes its turns."""

    def __init__(self, name, seconds, time):
        self.name, self.seconds, self.time = name, seconds, time
        self.facts = {"parameters": 1.0, "forward": 2.0, "training": 6.0, "batch": 4}
        self.facts["arithmetic"] = "fp32"
        self.images, self.tf32 = 0, (False, True)

    def advance(self):
        self.time.now += 4 * self.seconds
        self.time.turns.append(self.name)
        self.images += 4
        return 4


class Other(nn.Module):
    """A net of another project, which knows no labels."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x, _t):
        return self.conv(x)


class Time:
    def __init__(self):
        self.now, self.turns = 0.0, []

    def __call__(self):
        return self.now


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)
    labels = np.arange(12, dtype=np.int64) % 2
    for k, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = tmp_path / "files" / "ab"[label] / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return Trained(images, labels, ["a", "b"], tmp_path / "files", CPU, tmp_path / "work")


# --------------------------------------------------------------------------- sizes


def test_a_convolution_costs_what_it_must():
    """3x3, 3 to 3 channels on 16x16: 2 x 27 x 3 x 256, and twice that again to go back."""
    counted = cost(theirs(Other), 16)
    assert counted["parameters"] == 3 * 3 * 9 + 3
    assert counted["forward"] == 2 * 27 * 3 * 256
    assert counted["training"] == 3 * counted["forward"]


@pytest.mark.parametrize("target", [3.0, 50.0, 101.0, 120.0, 1e9])
def test_nearest_is_what_looking_at_all_finds(target):
    values = range(2, 200, 3)
    best = min(values, key=lambda value: abs(value**1.5 - target))
    assert nearest(target, values, lambda value: value**1.5) == (best, best**1.5)


def test_match_takes_the_first_shape_that_comes_within_five_percent():
    widths = [10, 20, 30]
    costs = {"coarse": 1.0, "fine": 1.1, "finer": 1.12}
    found = match(22.2, list(costs), widths, lambda shape, width: costs[shape] * width)
    assert found == ("fine", 20, pytest.approx(22 / 22.2))
    far = match(100.0, list(costs), widths, lambda shape, width: costs[shape] * width)
    assert far == ("finer", 30, pytest.approx(0.336))


def test_our_nets_are_brought_to_the_cost_of_another():
    shape, width, times = match(2e7, speed.SHAPES["ours"], range(8, 41, 8), speed.ours_cost(16))
    assert abs(times - 1) <= 0.05
    assert shape[0] == 2 and width % 8 == 0


# --------------------------------------------------------------------------- races


def test_contenders_take_turns_and_are_timed_by_their_own_pictures():
    time = Time()
    fast, slow = Toy("fast", 0.1, time), Toy("slow", 0.3, time)
    result = race([fast, slow], Turns(2.0, 0.0, 3, time), CPU)
    turns = [
        time.turns[0],
        *(b for a, b in zip(time.turns, time.turns[1:], strict=False) if a != b),
    ]
    assert turns == ["fast", "slow"] * 4  # a warm-up and three rounds
    assert result["fast"]["speeds"] == pytest.approx([10.0] * 3)
    assert result["slow"]["speeds"] == pytest.approx([10 / 3] * 3)
    assert ratio(result["fast"]["speeds"], result["slow"]["speeds"]) == pytest.approx(3.0)


def test_a_ratio_is_taken_within_a_round():
    """The machine is half as fast in the second round: that says nothing of the two."""
    assert ratio([20.0, 10.0, 20.0], [10.0, 5.0, 10.0]) == 2.0


def test_ours_trains_the_presets_net_and_anothers(data):
    changes = ["train.net.width=8", "train.batch_size=4", *speed.PLAIN]
    changes += ["train.net.multipliers=[1]", "train.net.blocks=1", "train.net.attention=[]"]
    own = Ours("own", "dogs", changes, data, 2)
    assert (own.advance(), own.advance()) == (8, 8)
    assert own.facts["parameters"] == sum(p.numel() for p in own.trainer.denoiser.parameters())

    other = Ours("other", "dogs", changes, data, 1, Other)
    assert other.advance() == 4
    assert isinstance(other.trainer.denoiser.net, Theirs)
    assert other.facts["parameters"] == 84


# --------------------------------------------------------------------------- seed 004


def test_seed_004s_average_follows_its_net():
    net, average = nn.Linear(2, 2), nn.Linear(2, 2)
    before = average.weight.detach().clone()
    follow(average, net)
    assert torch.allclose(average.weight, 0.995 * before + 0.005 * net.weight)


def test_a_long_training_goes_on_where_it_stopped(data, tmp_path):
    """Its seconds add up over the pieces, and its state is that of the last one."""
    made = []

    def make():
        made.append(Seed004("seed", data, 4, 4, 1))
        return made[-1]

    first = Long(tmp_path, make, keep_seed, take_seed)
    assert not first.train(1e9, 0.05)
    again = Long(tmp_path, make, keep_seed, take_seed)
    assert again.done["images"] == made[0].batch * (first.done["images"] // made[0].batch) > 0
    one = again.contender()
    for mine, old in zip(one.net.parameters(), made[0].net.parameters(), strict=True):
        assert torch.equal(mine, old)
    assert again.train(again.done["seconds"] + 1e-9, 60.0)
    assert again.done["images"] > first.done["images"]
    assert len(list(tmp_path.glob("state-*"))) == 1
    assert again.train(again.done["seconds"], 60.0) and len(made) == 3  # nothing more is made


# --------------------------------------------------------------------------- pieces


def test_pieces_are_remembered_and_no_work_begins_after_the_time(tmp_path):
    time, calls = Time(), []

    def work(name, result):
        def run():
            calls.append(name)
            time.now += 40
            return result

        return run

    pieces = Pieces(tmp_path, 100, 150, time)
    assert pieces.do("a b", work("a", {"x": 1})) == {"x": 1}
    with pytest.raises(MoreToDo):
        pieces.do("long", work("long", None))  # not finished: asked again
    pieces.do("c", work("c", {}))
    with pytest.raises(MoreToDo):
        pieces.do("d", work("d", {}))
    assert (pieces.left, pieces.within(tmp_path / "x").rest) == (-20, 30)
    again = Pieces(tmp_path, 100, 150, time)
    assert again.do("a b", work("a", {"x": 2})) == {"x": 1}
    assert again.do("long", work("long", {"y": 1})) == {"y": 1}
    assert calls == ["a", "long", "c", "long"]
    assert json.loads((tmp_path / "a-b.json").read_text()) == {"x": 1}


# --------------------------------------------------------------------------- report


def racing(**speeds):
    time = Time()
    toys = [Toy(name.replace("_", " "), 1 / rate, time) for name, rate in speeds.items()]
    return race(toys, Turns(1.0, 0.0, 2, time), CPU)


def peers_race():
    names = {
        "ours": 30.0,
        "ours, 4x4 patches": 40.0,
        "ours, full resolution": 20.0,
        "lucidrains": 10.0,
    }
    names |= {speed.SAME_NET: 15.0}
    time = Time()
    toys = [Toy(name, 1 / rate, time) for name, rate in names.items()]
    return race(toys, Turns(1.0, 0.0, 2, time), CPU)


def test_the_report_says_what_is_met_and_what_is_not_asked_here():
    sizes = {"target": 5e8, "ours": {"times": 1.2}}
    result = {"denoising_diffusion_pytorch": {"sizes": sizes, "race": peers_race()}}
    part = report.peers_part(result, ["diffusers takes no part: gone"], gpu=False)
    text = "\n".join(part.lines)
    assert part.demands == [("1.1 times lucidrains", "3.00 times", True)]
    assert "| lucidrains | 3.00 | 4.00 | 2.00 | 1.50 |" in text
    assert "ours costs 1.200 times that" in text and "diffusers takes no part" in text
    assert report.peers_part(result, [], gpu=True).demands[0][0] == "1.5 times lucidrains"
    assert report.peers_part({}, ["both gone"], gpu=True).demands == []

    result = {f"{speed.OURS}, 16": {}, f"{speed.SEED}, 16": {}}
    time = Time()
    toys = [Toy(name, 1 / rate, time) for name, rate in zip(result, (30.0, 10.0), strict=True)]
    raced = race(toys, Turns(1.0, 0.0, 2, time), CPU)
    assert report.seed_part(raced, gpu=True).demands[0][1:] == ("3.00 times", False)
    assert report.seed_part(raced, gpu=False).demands[0][2] is None
    lines = "\n".join(report.wanted(report.seed_part(raced, gpu=False).demands))
    assert "asked on a GPU only" in lines


def test_streamed_data_may_cost_a_tenth():
    part = report.levers_part({"resident": racing(as_it_is=10.0, changed=9.5)}, gpu=False)
    assert part.demands == [("streamed within 10 % of resident", "0.950 of its speed", True)]


def test_quality_is_met_only_where_every_distance_is_less():
    figures = {
        "flagship": {"swd": 0.1, "colour": 1.0},
        "lucidrains": {"swd": 0.2, "colour": 2.0},
        "seed 004": {"swd": 0.3, "colour": 0.9},
        "training pictures": {"swd": 0.0, "colour": 0.0},
    }
    trained = {name: {"images": 10, "seconds": 60.0} for name in list(figures)[:3]}
    result = {"figures": figures, "trained": trained, "samples": 8, "held_out": 4}
    met = {
        what.split()[3]: met for what, _much, met in report.quality_part(result, "g.png").demands
    }
    assert met == {"lucidrains": True, "seed": False}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::mkldnn_convolution", "convolution"),
        ("triton_poi_fused_convolution_silu_3", "norm and elementwise"),
        ("triton_for_fused_0", "optimiser and averages"),
        ("sm90_xmma_fprop_implicit_gemm_bf16", "convolution"),
        ("nvjet_hsh_128x256", "matrix product"),
        ("flash_fwd_kernel", "attention"),
        ("Memcpy DtoD", "copies"),
        ("aten::native_group_norm", "norm and elementwise"),
        ("void multi_tensor_apply_kernel<FusedAdam>", "optimiser and averages"),
    ],
)
def test_kernels_are_told_apart(name, kind):
    assert use.kind_of(name) == kind


def test_time_that_no_kernel_took_is_idle():
    shares = use.by_kind({"aten::mkldnn_convolution": 0.5, "aten::silu": 0.3}, 1.0)
    assert shares["convolution"] == 0.5
    assert shares["idle"] == pytest.approx(0.2)
    assert list(shares) == list(use.KINDS)
