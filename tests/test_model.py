"""A saved model is enough to sample, and samples are a function of label and seed."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from pipeline.diffusion.samplers import GRIDS, Between
from pipeline.diffusion.sampling import Sampling
from pipeline.errors import ParamsError, PipelineError
from pipeline.model import Architecture, Model, initialise, load_model, save_model
from pipeline.nets import build_net
from pipeline.params import NetParams, ScheduleParams

ARCHITECTURE = Architecture(
    NetParams(width=16, patch=2, multipliers=[1, 2], blocks=1, attention=[4]),
    16, ["beagle", "poodle"], "cosine", 1000, "eps",
)  # fmt: skip


@pytest.fixture
def model():
    denoiser = initialise(ARCHITECTURE, seed=1)
    with torch.no_grad():
        for parameter in denoiser.net.parameters():  # wake the layers that start at zero
            if parameter.abs().max() == 0:
                parameter.normal_(0, 0.05, generator=torch.Generator().manual_seed(2))
    return Model(denoiser.eval(), ARCHITECTURE.classes, 16, {}, torch.device("cpu"))


@pytest.fixture
def saved(tmp_path, model):
    save_model(tmp_path, ARCHITECTURE, model.denoiser.net, {"images": 7})
    return tmp_path


LABELS = torch.tensor([0, 1, -1, 0, 1, -1, 0, 1])


@pytest.mark.parametrize("sampler", GRIDS)
def test_sampling_twice_is_bit_equal_and_batches_do_not_matter(model, sampler):
    def draw(batch_size):
        return model.sample(LABELS, range(8), Sampling(sampler, 6, 1.5), batch_size)

    together = draw(8)
    assert np.array_equal(together, draw(8))
    for batch_size in (1, 3):
        difference = np.abs(together.astype(int) - draw(batch_size).astype(int))
        assert difference.max() <= 1  # float sums differ in the last bit, then round to uint8


@pytest.mark.parametrize("sampler", GRIDS)
def test_a_batch_of_eight_is_eight_batches_of_one(model, sampler):
    """To 1e-5 in float, before rounding; with guidance, whose two halves share a batch. The net is
    taken to predict pictures, and such as lie within [-1, 1], as a trained one's do: of noise the
    last bit counts sigma = 150 times."""
    model.denoiser.objective = "x0"
    with torch.no_grad():
        model.denoiser.net.head.weight.mul_(0.1)

    def last(labels, seeds):
        *_, step = model.walk(labels, seeds, Sampling(sampler, 6, 1.5))
        return step.x_sigma

    together = last(LABELS, range(8))
    alone = torch.cat([last(LABELS[k : k + 1], [k]) for k in range(8)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_each_image_has_noise_of_its_own(model):
    """Seed 004 started each sample from the picture before it."""
    images = model.sample(torch.zeros(6, dtype=torch.int64), range(6), Sampling(steps=4))
    assert len({image.tobytes() for image in images}) == 6
    again = model.sample(torch.zeros(1, dtype=torch.int64), [4], Sampling(steps=4))
    assert np.abs(images[4].astype(int) - again[0].astype(int)).max() <= 1


@pytest.mark.parametrize("sampler", GRIDS)
def test_every_estimate_stays_where_pictures_live_and_noisy_pictures_do_not(model, sampler):
    """Seed 002 clipped nothing, and its DDIM reached 4.53; seeds 003 and 004 clipped x_t."""
    with torch.no_grad():
        model.denoiser.net.head.bias.fill_(3.0)  # a net that is far off
    steps = list(model.walk(LABELS, range(8), Sampling(sampler, 8, 1.5)))
    assert all(step.denoised.abs().max() <= 1 for step in steps)
    assert steps[-1].x_sigma.abs().max() <= 1
    assert steps[0].x_sigma.abs().max() > 2


def test_a_loaded_model_draws_what_the_saved_one_draws(model, saved):
    loaded = load_model(saved, "cpu")
    assert (loaded.classes, loaded.size) == (["beagle", "poodle"], 16)
    assert loaded.info["training"] == {"images": 7}
    assert np.array_equal(
        loaded.sample(LABELS, range(8), Sampling(steps=5)),
        model.sample(LABELS, range(8), Sampling(steps=5)),
    )


def test_saving_twice_gives_the_same_bytes(model, saved, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    save_model(other, ARCHITECTURE, model.denoiser.net, {"images": 7})
    for name in ("weights.safetensors", "model.json"):
        assert (other / name).read_bytes() == (saved / name).read_bytes()


def test_initial_weights_are_a_function_of_the_seed():
    one, same, other = (initialise(ARCHITECTURE, seed).net.state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not all(torch.equal(one[key], other[key]) for key in one)


def test_the_trajectory_ends_in_the_sample(model):
    noisy, clean, levels = model.trajectory(1, 3, Sampling(steps=9), frames=5)
    assert noisy.shape == clean.shape == (5, 16, 16, 3)
    assert levels[-1] == 0 and levels == sorted(levels, reverse=True)
    assert np.array_equal(noisy[-1], model.sample(torch.tensor([1]), [3], Sampling(steps=9))[0])


def test_no_model_is_one_line_that_says_how_to_get_one(tmp_path):
    with pytest.raises(PipelineError, match=r"no model in .*dvc repro train"):
        load_model(tmp_path)


@pytest.mark.parametrize("damage", ["weights", "architecture", "format", "text"])
def test_a_model_that_was_tampered_with_is_refused(saved, damage):
    info = json.loads((saved / "model.json").read_text())
    if damage == "weights":
        content = bytearray((saved / "weights.safetensors").read_bytes())
        content[-1] ^= 1
        (saved / "weights.safetensors").write_bytes(content)
    elif damage == "architecture":
        info["architecture"]["net"]["width"] = 24
    elif damage == "format":
        info["format"] = 99
    text = "{" if damage == "text" else json.dumps(info)
    (saved / "model.json").write_text(text)
    with pytest.raises(PipelineError):
        load_model(saved)


def test_a_model_that_asks_for_too_much_is_refused_by_the_schema(saved):
    info = json.loads((saved / "model.json").read_text())
    info["architecture"]["net"]["width"] = 10**9
    (saved / "model.json").write_text(json.dumps(info))
    with pytest.raises(ParamsError, match=r"model\.json: train\.net\.width"):
        load_model(saved)


def test_a_model_that_asks_for_more_than_its_weights_hold_allocates_nothing(saved, monkeypatch):
    """Within the schema's bounds a net could still ask for more memory than there is."""
    info = json.loads((saved / "model.json").read_text())
    info["architecture"]["net"] |= {"width": 1024, "multipliers": [16] * 2, "blocks": 8}
    (saved / "model.json").write_text(json.dumps(info))
    devices = set()

    def built(*arguments):
        net = build_net(*arguments)
        devices.update(parameter.device.type for parameter in net.parameters())
        return net

    monkeypatch.setattr("pipeline.model.build_net", built)
    with pytest.raises(PipelineError, match="do not fit the architecture"):
        load_model(saved, "cpu")
    assert devices == {"meta"}


@pytest.mark.parametrize("value", [float("nan"), 0, -1, float("inf")])
def test_a_spread_of_the_data_that_is_none_is_refused(saved, value):
    info = json.loads((saved / "model.json").read_text())
    info["architecture"]["sigma_data"] = value
    (saved / "model.json").write_text(json.dumps(info))
    with pytest.raises(PipelineError, match="sigma_data: got"):
        load_model(saved, "cpu")


@pytest.mark.parametrize(
    ("timesteps", "changes"), [(300, {"beta_start": 0.4}), (100_000, {"rescale": False})]
)
def test_constants_that_make_no_process_are_one_line(timesteps, changes):
    """Of the picture they leave less than float64 can hold: levels would be infinite."""
    much = dataclasses.replace(
        ARCHITECTURE, schedule="linear", timesteps=timesteps, constants=ScheduleParams(**changes)
    )
    with pytest.raises(ParamsError, match=r"train\.schedule .* make no process"):
        much.noise()


def test_a_device_that_is_not_there_is_named(saved):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ParamsError, match="got cuda"):
        load_model(saved, "cuda")


def test_the_way_between_two_seeds_begins_and_ends_with_them(model):
    labels = torch.zeros(5, dtype=torch.int64)
    way = model.sample(labels, [Between(3, 9, share / 4) for share in range(5)], Sampling(steps=5))
    ends = model.sample(labels[:2], [3, 9], Sampling(steps=5))
    assert np.abs(way[[0, 4]].astype(int) - ends).max() <= 1
    assert len({image.tobytes() for image in way}) == 5


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "unipc"])
def test_a_picture_is_left_nearly_alone_at_little_strength_and_forgotten_at_full(model, sampler):
    g = np.random.default_rng(0)
    pictures = g.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)

    def redrawn(picture, strength):
        how = Sampling(sampler, steps=50, strength=strength)
        return model.sample(torch.tensor([1]), [4], how, picture=picture)[0].astype(int)

    few, many = (np.abs(redrawn(pictures[0], s) - pictures[0]).mean() for s in (0.02, 0.9))
    assert few < many
    # Under the noise of the first level (a hundred times a picture) two pictures are one.
    apart = np.abs(pictures[0].astype(int) - pictures[1]).mean()
    assert np.abs(redrawn(pictures[0], 1.0) - redrawn(pictures[1], 1.0)).mean() < apart / 20


def test_strength_counts_the_steps_taken():
    schedule = ARCHITECTURE.noise()
    for strength, steps in ((1.0, 40), (0.5, 20), (0.01, 1)):
        levels = Sampling("ddim", 40, strength=strength).levels(schedule)
        assert len(levels) - 1 == steps and levels[-1] == 0
    assert torch.equal(
        Sampling("ddim", 40, strength=0.5).levels(schedule),
        Sampling("ddim", 40).levels(schedule)[20:],
    )


def test_an_early_snapshot_guides_and_its_absence_is_said(tmp_path, model):
    early = initialise(ARCHITECTURE, seed=8).net.state_dict()
    save_model(tmp_path, ARCHITECTURE, model.denoiser.net, {"images": 7}, early)
    guided_by = load_model(tmp_path, "cpu")
    how = Sampling(steps=4, guidance=2.0, guide="early")
    one, plain = (guided_by.sample(LABELS, range(8), h) for h in (how, Sampling(steps=4)))
    assert not np.array_equal(one, plain)
    neutral = Sampling(steps=4, guidance=1.0, guide="early")
    assert np.array_equal(guided_by.sample(LABELS, range(8), neutral), plain)
    with pytest.raises(PipelineError, match=r"train\.guide_at"):
        model.sample(LABELS, range(8), how)


def test_a_snapshot_that_was_exchanged_is_refused(tmp_path, model):
    early = initialise(ARCHITECTURE, seed=8).net.state_dict()
    save_model(tmp_path, ARCHITECTURE, model.denoiser.net, {}, early)
    (tmp_path / "guide.safetensors").write_bytes((tmp_path / "weights.safetensors").read_bytes())
    with pytest.raises(PipelineError, match="checksum"):
        load_model(tmp_path)
    save_model(tmp_path, ARCHITECTURE, model.denoiser.net, {})
    assert load_model(tmp_path, "cpu").guide is None
