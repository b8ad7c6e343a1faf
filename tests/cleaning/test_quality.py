"""Faults put into a picture are found, rise with their size, and nothing else is found."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from pipeline.cleaning import quality
from pipeline.cleaning.measure import faulty, measure
from pipeline.params import QUALITIES, DedupeParams, QualityParams
from pipeline.scraping.gallery.picture import describe, on_white, original

LINES = 12 * ["the dog was found near the old mill and likes children and long walks"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The row of a picture, saved as asked."""
    number = itertools.count()

    def row(image: Image.Image, kind: str = "PNG", **options) -> dict:
        path = tmp_path_factory.mktemp("one") / f"{next(number)}.bin"
        image.convert("RGB").save(path, kind, **options)
        return measure((str(path), 50_000_000))

    return row


@pytest.fixture(scope="module")
def dogs() -> list[Image.Image]:
    """Drawn dogs, sharp and well lit, on all kinds of grounds, some cut out on white."""
    drawn = [original(describe(7, breed, k)) for breed in ("beagle", "poodle") for k in range(6)]
    return [image if image.mode == "RGB" else on_white(image) for image in drawn]


def faults(row: dict) -> set[str]:
    return {name for name in quality.SCORES if row[name] >= 0.5}


def darker(image: Image.Image, gain: float) -> Image.Image:
    return image.point(lambda value: int(value * gain))


def blurred(image: Image.Image, share: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(share * max(image.size)))


def page(size: int, ground="white", ink="black") -> Image.Image:
    image = Image.new("RGB", (640, 480), ground)
    draw = ImageDraw.Draw(image)
    for k, line in enumerate(LINES):
        draw.text((30, 25 + 1.4 * size * k), line, ink, font=ImageFont.load_default(size))
    return image


def logo(ground, *colours) -> Image.Image:
    image = Image.new("RGB", (1200, 1200), ground)
    draw = ImageDraw.Draw(image)
    for k, colour in enumerate(colours):
        draw.ellipse((250 + 200 * k, 150, 650 + 200 * k, 650), fill=colour)
    draw.text((200, 800), "PAWS&CO", colours[0], font=ImageFont.load_default(180))
    return image.resize((400, 400), Image.Resampling.LANCZOS)


def test_drawn_dogs_have_no_fault(measured, dogs):
    assert [faults(measured(dog, "JPEG", quality=85)) for dog in dogs] == [set()] * len(dogs)


@pytest.mark.parametrize(
    ("name", "edit", "sizes"),
    [
        ("dark", darker, (1.0, 0.7, 0.5, 0.3, 0.15, 0.05)),
        ("blurred", blurred, (0.0, 0.004, 0.008, 0.012, 0.016, 0.024)),
    ],
)
def test_a_score_rises_with_the_fault(measured, dogs, name, edit, sizes):
    for dog in dogs[:4]:
        rows = [measured(edit(dog, size), "JPEG", quality=90) for size in sizes]
        scores = [row[name] for row in rows]
        assert scores == sorted(scores)
        assert scores[0] < 0.25 and scores[-1] > 0.6
        # The one fault does not pass for the other.
        assert {name} >= faults(rows[3])


def test_a_sharp_subject_before_a_soft_ground_is_not_blurred(measured, pictures):
    photo = pictures.photo(1, (600, 450))
    soft = photo.filter(ImageFilter.GaussianBlur(14))
    assert faults(measured(soft)) == {"blurred"}
    soft.paste(photo.resize((200, 150), Image.Resampling.LANCZOS), (200, 150))
    assert faults(measured(soft)) == set()


def test_low_contrast_is_not_taken_for_blur(measured, dogs):
    for gain in (0.5, 0.25):
        pale = dogs[0].point(lambda value, gain=gain: int(100 + gain * value))
        assert measured(pale)["blurred"] < 0.3


@pytest.mark.parametrize("colour", ["white", "black", (90, 140, 60)])
def test_one_colour_is_blank(measured, colour):
    row = measured(Image.new("RGB", (300, 200), colour), "JPEG")
    assert row["blank"] > 0.95
    assert (row["dark"] > 0.5) == (colour == "black")
    assert row["blurred"] < 0.5 and row["text"] < 0.5


def test_noise_and_a_soft_gradient_are_blank_and_a_small_dog_on_white_is_not(measured, dogs):
    rng = np.random.default_rng(0)
    noise = np.clip(128 + rng.normal(0, 6, (375, 500, 3)), 0, 255).astype(np.uint8)
    assert "blank" in faults(measured(Image.fromarray(noise), "JPEG"))
    ramp = np.repeat(np.linspace(60, 200, 500)[None, :, None], 375, axis=0).repeat(3, axis=2)
    assert "blank" in faults(measured(Image.fromarray(ramp.astype(np.uint8)), "JPEG"))
    for dog in dogs[:4]:
        white = Image.new("RGB", (600, 600), "white")
        white.paste(dog.resize((180, 180), Image.Resampling.LANCZOS), (330, 350))
        assert faults(measured(white, "JPEG")) == set()


def test_pages_and_logos_are_text(measured):
    found = [page(size) for size in (12, 16, 24)]
    found += [page(18, (30, 30, 40), (230, 230, 230))]
    found += [logo("white", "navy"), logo("black", "gold", "red"), logo((20, 90, 160), "white")]
    assert [faults(measured(image, "JPEG")) for image in found] == [{"text"}] * len(found)


def test_a_caption_on_a_photo_is_not_text(measured, pictures):
    photo = pictures.photo(3, (600, 450))
    draw = ImageDraw.Draw(photo)
    for y in (10, 380):
        draw.text((60, y), "MUCH WOW TODAY", "white", ImageFont.load_default(50))
    assert faults(measured(photo, "JPEG")) == set()


def test_scores_hardly_depend_on_format_and_size(measured, dogs):
    for dog in dogs[:3]:
        base = dog.resize((800, 600), Image.Resampling.LANCZOS)
        rows = [measured(base), measured(base, "WEBP", quality=80)]
        rows += [measured(base, "JPEG", quality=q) for q in (95, 60)]
        rows += [measured(base.resize(size), "JPEG") for size in ((400, 300), (1600, 1200))]
        for name in quality.SCORES:
            assert np.ptp([row[name] for row in rows]) < 0.1, name


def test_scores_lie_in_the_unit_interval_whatever_the_picture():
    rng = np.random.default_rng(1)
    flat = np.full((256, 256), 255, np.uint8)
    wild = rng.integers(0, 256, (256, 256), dtype=np.uint8)
    lines = np.where(np.arange(256) % 2, 255, 0).astype(np.uint8)[None].repeat(256, axis=0)
    for grey in (flat, 0 * flat, wild, lines):
        for frame in ((0.0, 0.0, 0.0, 0.0), (0.3, 0.1, 0.3, 0.3)):
            found = quality.scores(grey, frame)
            assert list(found) == list(quality.SCORES)
            assert all(0 <= score <= 1 for score in found.values())


def test_a_frame_is_left_out(measured, dogs):
    """Scores are of what is within the frame."""
    dog = dogs[0].resize((480, 360), Image.Resampling.LANCZOS)
    framed = Image.new("RGB", (640, 480), "white")
    framed.paste(darker(dog, 0.2), (80, 60))
    assert faults(measured(framed)) >= {"dark"}


def table(**rows: dict) -> pd.DataFrame:
    plain = dict.fromkeys(quality.SCORES, 0.1) | {"fault": None, "width": 640, "height": 480}
    data = [plain | row for row in rows.values()]
    return pd.DataFrame(data, index=list(rows)).astype({"width": "Int64", "height": "Int64"})


def test_limits_are_exact():
    measured = table(
        least={"width": 90, "height": 64},
        short={"width": 90, "height": 63},
        longest={"width": 400, "height": 100},
        too_long={"width": 100, "height": 401},
        line={"dark": 0.5, "text": np.nextafter(0.5, 0)},
    )
    judged = quality.judge(measured, DedupeParams(min_side=64, max_aspect=4.0))
    assert list(judged) == [c for name in QUALITIES for c in (f"{name}_score", f"is_{name}")]
    assert judged["is_too_small"].tolist() == [False, True, False, False, False]
    assert judged["is_odd_aspect"].tolist() == [False, False, False, True, False]
    assert judged.loc["least", "too_small_score"] == 0.5 < judged.loc["short", "too_small_score"]
    assert judged.loc["longest", "odd_aspect_score"] == 0.5
    assert judged.loc["too_long", "odd_aspect_score"] > 0.5
    assert judged.loc["line", ["is_dark", "is_text"]].tolist() == [True, False]


def test_the_lines_are_those_of_params():
    params = DedupeParams(quality=QualityParams(blank=0.2, dark=0.05, blurred=0.1, text=0.9))
    judged = quality.judge(table(one={}), params).iloc[0]
    assert [bool(judged[f"is_{name}"]) for name in quality.SCORES] == [False, True, True, False]


def test_what_is_no_picture_has_no_fault_of_a_picture():
    measured = pd.DataFrame([faulty("truncated jpg")], index=["ab"])
    measured = measured.astype({"width": "Int64", "height": "Int64"})
    judged = quality.judge(pd.concat([measured, table(good={"dark": 0.9})]), DedupeParams())
    assert judged.index.tolist() == ["ab", "good"]
    for name in QUALITIES:
        assert judged[f"is_{name}"].dtype == bool
        assert judged[f"{name}_score"].dtype == np.float64
        assert np.isnan(judged.loc["ab", f"{name}_score"]) and not judged.loc["ab", f"is_{name}"]
    assert judged.loc["good", "is_dark"]


def test_the_square_is_that_of_the_picture(pictures, tmp_path):
    data = io.BytesIO()
    pictures.photo(5, (1600, 1200)).save(data, "JPEG")
    (tmp_path / "a.jpg").write_bytes(data.getvalue())
    row = measure((str(tmp_path / "a.jpg"), 50_000_000))
    full = pictures.photo(5, (1600, 1200)).crop((200, 0, 1400, 1200))
    wanted = np.asarray(full.resize((64, 64), Image.Resampling.LANCZOS), np.int16)
    square = np.frombuffer(row["square"], np.uint8).reshape(64, 64, 3)
    assert np.abs(square - wanted).mean() < 2
