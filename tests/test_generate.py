"""``pipeline generate``: its files are what the model draws, whatever is asked for beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Pipeline, command_line, project_folder
from PIL import Image

from pipeline.diffusion.samplers import Between
from pipeline.diffusion.sampling import Sampling
from pipeline.model import Architecture, Model, initialise, load_model, save_model
from pipeline.params import NetParams, load
from pipeline.workspace import Workspace

CLASSES = ["beagle", "boxer", "poodle"]
ARCHITECTURE = Architecture(
    NetParams(width=16, patch=4, multipliers=[1], blocks=1, attention=[]),
    16, CLASSES, "cosine", 1000, "x0",
)  # fmt: skip
QUICK = ["--sampler", "ddim", "--steps", "6", "--guidance", "1.5"]
HOW = Sampling("ddim", 6, 1.5)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    return project_folder(tmp_path, monkeypatch)


@pytest.fixture
def pipeline(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Pipeline:
    return command_line(monkeypatch, capsys)


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
    ):
        result = pipeline("generate", "--fname", "out/x", *arguments)
        assert result.code == code and said in result.err
        assert result.err.count("\n") == 1 and not Path("out").exists()


def test_without_a_model_it_says_what_makes_one(pipeline: Pipeline) -> None:
    result = pipeline("generate")
    assert result.code == 1 and "`dvc repro` makes one" in result.err
