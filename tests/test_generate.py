"""``pipeline generate``: its files are what the model draws, whatever is asked for beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Pipeline
from PIL import Image

from pipeline.commands.generate import FILM, STRIP, draw
from pipeline.diffusion.samplers import Between
from pipeline.diffusion.sampling import Sampling
from pipeline.evaluation.montage import GAP, GROUND, MARGIN, enlarge
from pipeline.model import Architecture, Model, initialise, load_model, save_model
from pipeline.params import NetParams, load
from pipeline.stamp import read_note
from pipeline.workspace import Workspace

CLASSES = ["beagle", "boxer", "poodle"]
ARCHITECTURE = Architecture(
    NetParams(width=16, patch=4, multipliers=[1], blocks=1, attention=[]),
    16, CLASSES, "cosine", 1000, "x0",
)  # fmt: skip
QUICK = ["--sampler", "ddim", "--steps", "6", "--guidance", "1.5"]
HOW = Sampling("ddim", 6, 1.5)


@pytest.fixture
def model(workspace: Workspace) -> Model:
    net, early = (initialise(ARCHITECTURE, seed).net for seed in (1, 2))
    for one in (net, early):
        with torch.no_grad():
            for parameter in one.parameters():  # wake the layers that start at zero
                if parameter.abs().max() == 0:
                    parameter.normal_(0, 0.05, generator=torch.Generator().manual_seed(2))
    save_model(workspace.models, ARCHITECTURE, net, {}, early.state_dict())
    return load_model(workspace.models, "cpu")


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def assert_drawn(path: Path, expected: np.ndarray) -> None:
    assert np.abs(picture(path) - expected).max() <= 1


def test_pictures_are_numbered_of_true_size_and_the_breeds_take_turns(
    pipeline: Pipeline, model: Model
) -> None:
    result = pipeline("generate", "-n", "4", "--fname", "plots/sample", "--seed", "10", *QUICK)
    assert result.code == 0
    names = sorted(path.name for path in Path("plots").iterdir())
    assert names == sorted(
        [f"sample{i}{end}" for i in range(4) for end in (".png", "_timesteps.png")]
    )
    expected = model.sample(torch.tensor([0, 1, 2, 0]), range(10, 14), HOW)
    for i in range(4):
        assert_drawn(Path(f"plots/sample{i}.png"), expected[i])
    assert "plots/sample1.png  boxer" in result.out
    note = read_note(Path("plots/sample1.png"))
    assert note and (note["breed"], note["seed"], note["steps"]) == ("boxer", 11, 6)
    assert note["weights_sha256"] == model.info["weights_sha256"]


def test_without_options_params_yaml_decides(
    pipeline: Pipeline, model: Model, workspace: Workspace
) -> None:
    pipeline("generate", "-n", "1", "--breed", "poodle", "--fname", "p", "--no-strip")
    chosen = load(workspace.params).evaluate
    how = Sampling(chosen.sampler, chosen.steps, chosen.guidance)
    assert_drawn(Path("p0.png"), model.sample(torch.tensor([2]), [0], how)[0])
    assert not Path("p0_timesteps.png").exists()


def test_the_strip_begins_in_noise_and_ends_in_the_picture(
    pipeline: Pipeline, model: Model
) -> None:
    pipeline("generate", "-n", "1", "--fname", "p", *QUICK)
    strip = picture(Path("p0_timesteps.png"))
    assert strip.shape == (16, 6 * 20 - 4, 3)
    assert np.array_equal(strip[:, -16:], picture(Path("p0.png")))
    assert strip[:, :16].std() > 60  # unit noise over the whole range


def test_of_a_long_way_only_the_frames_that_are_shown_are_held(model: Model) -> None:
    """Seed 001 held every step of every picture: 2.5 GB for a hundred."""
    labels, how = torch.tensor([0, 1]), Sampling("ddim", 100, 1.0)
    for film, most in ((False, STRIP), (True, FILM)):
        frames = draw(model, labels, [0, 1], how, None, True, film, lambda n: None)
        assert [len(taken) for taken in frames] == [most, most]
        assert np.array_equal(frames[1][-1], model.sample(labels, [0, 1], how)[1])


def test_a_sheet_and_a_film_show_all_pictures(pipeline: Pipeline, model: Model) -> None:
    result = pipeline("generate", "-n", "6", "--fname", "p", "--sheet", "--film", *QUICK)
    assert result.code == 0
    sheet = picture(Path("p_sheet.png"))
    with Image.open("p.webp") as film:
        assert film.n_frames == 6 and film.size == sheet.shape[1::-1]
        film.seek(5)
        assert np.array_equal(np.asarray(film.convert("RGB")), sheet)  # lossless, the last frame


def test_a_picture_does_not_depend_on_the_batch_it_is_drawn_in(
    pipeline: Pipeline, model: Model
) -> None:
    pipeline("generate", "-n", "5", "--fname", "a", "--no-strip", *QUICK)
    pipeline("generate", "-n", "5", "--fname", "b", "--batch-size", "2", "--no-strip", *QUICK)
    for i in range(5):
        assert np.abs(picture(Path(f"a{i}.png")) - picture(Path(f"b{i}.png"))).max() <= 1


def test_the_way_between_two_seeds_is_one_breeds(pipeline: Pipeline, model: Model) -> None:
    pipeline("generate", "-n", "3", "--between", "4", "9", "--fname", "w", "--no-strip", *QUICK)
    seeds = [Between(4, 9, share) for share in (0.0, 0.5, 1.0)]
    expected = model.sample(torch.tensor([0, 0, 0]), seeds, HOW)
    for i in range(3):
        assert_drawn(Path(f"w{i}.png"), expected[i])


def test_a_picture_can_be_the_start(pipeline: Pipeline, model: Model) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("dog.png")
    arguments = ["--from", "dog.png", "--strength", "0.5", "--breed", "boxer", "--no-strip"]
    pipeline("generate", "-n", "1", "--fname", "f", *arguments, *QUICK)
    how = Sampling("ddim", 6, 1.5, strength=0.5)
    assert_drawn(Path("f0.png"), model.sample(torch.tensor([1]), [0], how, picture=pixels)[0])


def test_the_early_snapshot_can_guide(pipeline: Pipeline, model: Model) -> None:
    pipeline("generate", "-n", "1", "--guide", "early", "--fname", "g", "--no-strip", *QUICK)
    how = Sampling("ddim", 6, 1.5, "early")
    assert_drawn(Path("g0.png"), model.sample(torch.tensor([0]), [0], how)[0])


@pytest.mark.usefixtures("model")
def test_mistakes_are_one_line_and_write_nothing(pipeline: Pipeline) -> None:
    Path("note.txt").write_text("hello")
    for arguments, code, said in (
        (["--breed", "cat"], 2, "it knows beagle, boxer, poodle"),
        (["--from", "note.txt"], 1, "--from note.txt: not a picture"),
        (["--strength", "0"], 2, "0.0 is not in the range 0<x<=1"),
        (["--strength", "0.5"], 2, "--strength: says how much of --from is kept"),
        (["--steps", "1000000000"], 2, "evaluate.steps: got 1000000000, expected an integer"),
        (["--guidance", "nan"], 2, "evaluate.guidance: got 'NaN', expected a number"),
        (["--eta", "1.5"], 2, "evaluate.eta: got 1.5, expected a number from 0 to 1"),
        (["--batch-size", "0"], 2, "evaluate.batch_size: got 0"),
        (["--between", "1", "2", "-n", "1000000000"], 2, "is not in the range 1<=x<=100000"),
        (["--seed", str(2**64)], 2, "is not in the range"),
    ):
        result = pipeline("generate", "--fname", "out/x", *arguments)
        assert result.code == code and said in result.err
        assert result.err.count("\n") == 1 and not Path("out").exists()


@pytest.mark.usefixtures("model")
def test_a_place_that_cannot_be_written_to_is_one_line(pipeline: Pipeline) -> None:
    Path("file").write_text("a file, no folder")
    result = pipeline("generate", "-n", "1", "--fname", "file/x", *QUICK)
    assert result.code == 1 and "error: --fname file/x: cannot be written" in result.err
    assert "Traceback" not in result.err


def test_many_pictures_of_one_breed_are_a_sheet_and_not_a_line(
    pipeline: Pipeline, model: Model
) -> None:
    """Seed 001 drew 100 at once; side by side they are wider than a film can be."""
    arguments = ["-n", "40", "--breed", "boxer", "--fname", "p", "--sheet", "--no-strip"]
    pipeline("generate", *arguments, "--sampler", "ddim", "--steps", "2", "--guidance", "1")
    sheet = picture(Path("p_sheet.png"))
    height = 2 * MARGIN + 3 * 32 + 2 * GAP  # 16 + 16 + 8
    assert sheet.shape[0] == height
    corner = sheet[-MARGIN - 32 : -MARGIN, -MARGIN - 8 * (32 + GAP) + GAP :][:, :32]
    assert (corner == GROUND).all()  # nothing after the eighth of the last row
    left = sheet.shape[1] - MARGIN - 16 * 32 - 15 * GAP
    last = left + 7 * (32 + GAP)
    expected = enlarge(picture(Path("p39.png")), 2)
    assert np.array_equal(sheet[-MARGIN - 32 : -MARGIN, last : last + 32], expected)


def test_without_a_model_it_says_what_makes_one(pipeline: Pipeline) -> None:
    result = pipeline("generate")
    assert result.code == 1 and "`dvc repro` makes one" in result.err
