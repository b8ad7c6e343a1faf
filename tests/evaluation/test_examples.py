"""The forward process as it is shown: right in closed form, at every level."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.diffusion.schedules import cosine, linear
from pipeline.evaluation.examples import FRAMES, choose, forward_process, forward_strip
from pipeline.evaluation.montage import GAP, GROUND, MARGIN, captioned_strip, enlarge


@pytest.mark.parametrize("schedule", [linear(1000), linear(300), cosine(1000)], ids=repr)
def test_each_frame_is_straight_from_x0_with_the_schedules_noise(schedule) -> None:  # type: ignore[no-untyped-def]
    """Seed 004's strip noised a picture that was noised already, on a [0, 1] scale."""
    x0 = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(5)) * 2 - 1
    frames, timesteps = forward_process(x0, schedule)
    assert len(frames) == FRAMES and timesteps[0] == 0
    assert timesteps[-1] == schedule.timesteps - 1
    rests = []
    for frame, t in zip(frames, timesteps, strict=True):
        signal = schedule.alpha_bar[t].sqrt()
        rest = frame - signal * x0
        # 12,288 draws: the standard deviation is known to 0.64 %, the mean to 0.9 % of it.
        wanted = float((1 - schedule.alpha_bar[t]).sqrt())
        assert float(rest.std()) == pytest.approx(wanted, rel=0.03)
        assert abs(float(rest.mean())) < 0.04 * wanted
        rests.append(rest.flatten() / wanted)
    alike = torch.corrcoef(torch.stack(rests)) - torch.eye(FRAMES)
    assert float(alike.abs().max()) < 0.05  # noise of its own for each


def test_the_last_frame_has_unit_variance_and_is_not_clamped() -> None:
    x0 = torch.full((3, 64, 64), 0.9)
    frames, _ = forward_process(x0, linear(1000))
    assert float(frames[-1].std()) == pytest.approx(1, abs=0.03) and float(frames.abs().max()) > 3


def test_the_strip_begins_with_the_picture_and_ends_in_noise() -> None:
    grey = np.full((16, 16, 3), 128, np.uint8)
    strip = forward_strip(grey, linear(1000))
    pitch = (strip.shape[1] - 2 * MARGIN + GAP) // FRAMES
    middles = [MARGIN + (pitch - GAP) // 2 + k * pitch for k in range(FRAMES)]
    inner = [strip[MARGIN : MARGIN + 32, x - 12 : x + 12].astype(int) for x in middles]
    assert inner[0].std() < 3 and inner[3].std() > 20 and inner[-1].std() > 70


def test_captions_stand_below_their_pictures_and_leave_them_whole() -> None:
    frames = np.random.default_rng(1).integers(60, 256, (3, 16, 16, 3), np.uint8)
    sheet = captioned_strip(frames, ["t 0\nσ 0.01", "t 500\nσ 1", "t 999 and more\nσ 157"])
    tiles = [sheet[MARGIN : MARGIN + 32, x : x + 32] for x in range(sheet.shape[1] - 32)]
    for frame in frames:
        assert sum(np.array_equal(tile, enlarge(frame, 2)) for tile in tiles) == 1
    assert (sheet[MARGIN + 34 :] != GROUND).any()


def test_examples_are_training_pictures_of_every_breed() -> None:
    labels = np.array([0, 1, 1, 2, 2, 2, 0, 2])
    among = np.array([0, 1, 2, 3, 4, 5])
    chosen = choose(labels, among, 2, seed=3)
    assert list(labels[chosen]) == [0, 1, 1, 2, 2] and set(chosen) <= set(among)
    assert list(choose(labels, among, 2, seed=3)) == list(chosen)
