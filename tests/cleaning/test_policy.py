"""Of planted copies the true picture stays: not the largest, not the one with writing on it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from pipeline.cleaning.decide import clean
from pipeline.cleaning.measure import measure
from pipeline.cleaning.policy import oddity
from pipeline.params import DedupeParams

PARAMS = DedupeParams(workers=2, collage="keep")


def textured(pictures, seed: int) -> Image.Image:
    """A photo with detail up to its last pixel, as its camera left it."""
    image = np.asarray(pictures.photo(seed, (400, 300))).astype(float)
    field = np.fft.rfft2(np.random.default_rng(seed).normal(size=(300, 400)))
    far = np.hypot(np.fft.fftfreq(300)[:, None], np.fft.rfftfreq(400)[None]) + 1e-2
    grain = np.fft.irfft2(field / far, (300, 400))
    image += 25 * (grain / grain.std())[:, :, None]
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))


def marked(image: Image.Image) -> Image.Image:
    copy = image.copy()
    draw = ImageDraw.Draw(copy)
    for y in range(20, image.height, 60):
        draw.text((y % 90, y), "photo stock  photo stock  photo stock", "white", font_size=24)
    return copy


COPIES = {
    "enlarged": lambda image: image.resize((800, 600), Image.Resampling.BICUBIC),
    "shrunk": lambda image: image.resize((240, 180)),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(1.5)),
    "watermarked": marked,
    "framed": lambda image: ImageOps.expand(image, 16, "white"),
    "grey": lambda image: ImageOps.grayscale(image).convert("RGB"),
    "cropped": lambda image: image.crop((0, 0, 372, 279)),
    "mirrored": ImageOps.mirror,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.4),
}


@pytest.fixture(scope="module")
def table(pictures, tmp_path_factory):
    """Six photos, each with all its copies; names that would win if only names counted."""
    root = tmp_path_factory.mktemp("copies")
    for seed in range(6):
        image = textured(pictures, seed)
        pictures.save(root / f"{seed}/z original.jpg", image, 92)
        pictures.save(root / f"{seed}/y again.jpg", image, 70)
        for name, edit in COPIES.items():
            pictures.save(root / f"{seed}/{name}.jpg", edit(image), 95)
    return clean(root, PARAMS).table


def test_the_original_stays(table):
    kept = table.loc[table["keep"], "path"].tolist()
    assert kept == [f"{seed}/z original.jpg" for seed in range(6)]


def test_the_decision_says_why(table):
    details = table.set_index("path")["detail"]
    assert details["0/blurred.jpg"].endswith("what stays shows twice the detail")
    assert details["0/shrunk.jpg"].endswith("what stays shows more detail")
    assert details["0/grey.jpg"].endswith("what stays has its colours")
    assert details["0/mirrored.jpg"].endswith("what stays is more like the other copies")


@pytest.mark.parametrize("worse", ["blurred", "shrunk", "framed", "grey"])
def test_of_two_the_better_one_stays(worse, pictures, tmp_path):
    image = textured(pictures, 9)
    pictures.save(tmp_path / "z.jpg", image, 92)
    pictures.save(tmp_path / f"{worse}.jpg", COPIES[worse](image), 95)
    table = clean(tmp_path, PARAMS).table.set_index("path")
    assert table["keep"].to_dict() == {"z.jpg": True, f"{worse}.jpg": False}


def test_enlarging_adds_no_detail(pictures, tmp_path):
    for seed in range(4):
        image = textured(pictures, seed)
        detail = [
            measure((str(pictures.save(tmp_path / "a.jpg", copy, 92)), 10**8))["detail"]
            for copy in (image, image.resize((720, 540), Image.Resampling.LANCZOS))
        ]
        assert detail[1] < 1.2 * detail[0]


def test_oddity_is_the_distance_from_the_median():
    thumbs = np.zeros((5, 32, 32), np.uint8)
    thumbs[2] = 30
    thumbs[4] = 200
    assert oddity(thumbs, np.array([0, 0, 0, 1, 1])).tolist() == [0, 0, 30, 0, 0]
