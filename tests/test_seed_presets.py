"""The five seeds' settings, as facts of their code and notebooks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.diffusion.schedules import make_schedule
from pipeline.params import Params, load

REPOSITORY = Path(__file__).parents[1]
# net, schedule, T, beta_1, loss, batch, rate, images seen, average, sampler, steps, variance
FACTS = {
    "000": ("simple", "linear", 300, 1e-4, "l1", 128, 1e-3, 8_557_800, 0.0),
    "001": ("annotated", "linear", 500, 1e-4, "l1", 64, 1e-4, 4_000_000, 0.0),
    "002": ("context", "linear", 500, 1e-3, "mse", 100, 3e-3, 8_940_000, 0.0),
    "003": ("smol", "cosine", 1000, 1e-4, "mse", 32, 1e-3, 6_150_300, 0.0),
    "004": ("dogs", "linear", 1000, 1e-4, "mse", 16, 3e-4, 7_000_000, 0.995),
}
SAMPLING = {
    "000": ("ddpm", 300, "posterior"),
    "001": ("ddpm", 500, "posterior"),
    "002": ("ddim", 25, "beta"),
    "003": ("ddpm", 1000, "beta"),
    "004": ("ddpm", 1000, "beta"),
}


def preset(seed: str) -> Params:
    return load(REPOSITORY / "presets" / f"seed-{seed}.yaml")


@pytest.mark.parametrize("seed", FACTS)
def test_net_schedule_loss_and_optimiser_are_the_seeds(seed: str) -> None:
    params = preset(seed)
    train = params.train
    assert (
        train.net.kind,
        params.scheduler,
        train.timesteps,
        train.schedule.beta_start,
        train.loss,
        train.batch_size,
        train.lr,
        train.images,
        train.ema,
    ) == FACTS[seed]
    assert (train.schedule.beta_end, train.objective, train.weighting) == (0.02, "eps", "none")
    assert (train.timestep_draw, train.beta2, train.warmup) == ("uniform", 0.999, 0)
    assert train.weight_decay == (0.01 if seed == "003" else 0)  # the others use Adam
    assert train.decay == (1.0 if seed == "002" else 0)  # the others keep their rate
    assert train.label_dropout == (0.1 if seed == "002" else 0)
    assert train.flip == (seed != "002") and train.vertical_flip == train.rotate == (seed == "001")
    assert params.resize.size == (16 if seed == "002" else 64)


@pytest.mark.parametrize("seed", SAMPLING)
def test_sampling_is_the_seeds_and_stays_within_what_was_trained(seed: str) -> None:
    params = preset(seed)
    how = params.evaluate
    assert (how.sampler, how.steps, how.variance) == SAMPLING[seed]
    assert (how.guidance, how.eta) == (1.0, 0.0)
    assert how.steps <= params.train.timesteps  # seed 003 took 15,000 on a net of 1,000


@pytest.mark.parametrize(
    ("seed", "left_there"), [("000", 0.219), ("001", 0.080), ("002", 0.071), ("004", 0.006)]
)
def test_what_is_left_of_the_picture_where_sampling_starts(seed: str, left_there: float) -> None:
    """The seeds' betas as they were leave as much as the notes on them say; ours leave under 1 %
    for any T."""
    train = preset(seed).train
    ends = train.schedule.beta_start, train.schedule.beta_end
    as_it_was = make_schedule("linear", train.timesteps, *ends, rescale=False)
    assert as_it_was.terminal_signal == pytest.approx(left_there, abs=5e-4)
    assert train.schedule.rescale
    for timesteps in (train.timesteps, 300, 3000):
        assert make_schedule("linear", timesteps, *ends).terminal_signal < 0.01


def test_the_sprites_of_seed_002_survive_dedupe_and_have_names() -> None:
    params = preset("002")
    assert not params.dedupe.near_duplicates and params.dedupe.drop == []
    assert params.dedupe.min_side <= 16 and params.dedupe.collage == "keep"
    names = ["hero", "non_hero", "food", "spell", "side_facing"]
    assert params.scrape.import_classes == names and params.seed == 42
    for width in (128, 256):
        wide = load(REPOSITORY / "presets" / "seed-002.yaml", [f"train.net.width={width}"])
        assert wide.train.net.width == width


def test_every_test_that_the_page_on_the_seeds_names_is_there() -> None:
    page = (REPOSITORY / "docs" / "seeds.md").read_text(encoding="utf-8")
    tests = "".join(
        path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("test_*.py")
    )
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 20
    assert not {name for name in named if f"def {name}(" not in tests}


def test_where_the_seeds_pictures_come_from() -> None:
    assert preset("000").scrape.import_path == [
        "data/import/70-dog-breeds",
        "data/import/stanford-dogs",
    ]
    assert preset("003").scrape.import_path == "torchvision:StanfordCars"
    scraped = preset("004").scrape
    assert (scraped.breeds, scraped.import_path, scraped.ignore_robots) == (26, None, [])
    assert 26 * sum(scraped.sources.values()) == pytest.approx(14_000, rel=0.01)
