"""Copies are found through usual edits, unlike pictures stay, nothing is dropped by hearsay."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from pipeline.cleaning import duplicates
from pipeline.cleaning.duplicates import Pairs, Rules, components, find_pairs, stars
from pipeline.cleaning.measure import Looks, measure, unpack_greys

RULES = Rules(near=6, loose=10, correlation=0.85, mirrored=True)


def crop(image: Image.Image, share: float) -> Image.Image:
    x, y = image.width * share / 2, image.height * share / 2
    return image.crop((round(x), round(y), round(image.width - x), round(image.height - y)))


EDITS = {
    "recompressed": lambda image: image,  # saved at quality 30 below
    "half the size": lambda image: image.resize((160, 120)),
    "cropped by 4 %": lambda image: crop(image, 0.04),
    "cropped by 10 %": lambda image: crop(image, 0.10),
    "mirrored": ImageOps.mirror,
    "mirrored and cropped": lambda image: ImageOps.mirror(crop(image, 0.08)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "framed in white": lambda image: ImageOps.expand(image, 14, "white"),
    "on a black square": lambda image: ImageOps.pad(image, (320, 320), color="black"),
}


def greys(images: list[Image.Image], pictures, folder) -> Looks:
    rows = [
        measure((str(pictures.save(folder / f"{k}.jpg", image, 30)), 10**8))
        for k, image in enumerate(images)
    ]
    return unpack_greys([row["greys"] for row in rows])


@pytest.mark.parametrize("edit", EDITS)
def test_edited_copies_are_found_and_nothing_else(edit, pictures, tmp_path):
    originals = [pictures.photo(seed) for seed in range(12)]
    images = originals + [EDITS[edit](image) for image in originals]
    pairs = find_pairs(greys(images, pictures, tmp_path), RULES)
    found = set(zip(pairs.i.tolist(), pairs.j.tolist(), strict=True))
    truth = {(k, k + 12) for k in range(12)}
    assert found <= truth
    assert len(found) >= 11


@pytest.mark.parametrize("share", [0.04, 0.07, 0.10])
@pytest.mark.parametrize("mirror", [False, True])
def test_crops_from_anywhere_are_found(share, mirror, pictures, tmp_path):
    rng = np.random.default_rng(round(100 * share))
    originals = [pictures.photo(seed) for seed in range(20)]
    copies = [crop_at(image, share, *rng.random(2)) for image in originals]
    copies = [ImageOps.mirror(image) if mirror else image for image in copies]
    pairs = find_pairs(greys(originals + copies, pictures, tmp_path), RULES)
    found = set(zip(pairs.i.tolist(), pairs.j.tolist(), strict=True))
    assert found <= {(k, k + 20) for k in range(20)}
    assert len(found) >= 19
    assert all("mirror" in variant for variant in pairs.variant) == mirror


def crop_at(image: Image.Image, share: float, x: float, y: float) -> Image.Image:
    left, top = round(x * share * image.width), round(y * share * image.height)
    width, height = round((1 - share) * image.width), round((1 - share) * image.height)
    return image.crop((left, top, left + width, top + height))


def test_a_framed_crop_is_found(pictures, tmp_path):
    originals = [pictures.photo(seed) for seed in range(10)]
    copies = [ImageOps.expand(crop_at(im, 0.1, 0.1, 0.9), 12, "white") for im in originals]
    pairs = find_pairs(greys(originals + copies, pictures, tmp_path), RULES)
    found = set(zip(pairs.i.tolist(), pairs.j.tolist(), strict=True))
    assert found <= {(k, k + 10) for k in range(10)} and len(found) >= 9


def pattern(period: float, angle: float, soft: bool) -> Image.Image:
    y, x = np.mgrid[:240, :320]
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
    wave = wave if soft else np.sign(wave)
    return Image.fromarray((128 + 90 * wave).astype(np.uint8)).convert("RGB")


def test_repetitive_pictures_are_not_chained(pictures, tmp_path):
    """Stripes of other widths and directions can be slid and stretched, and stay different."""
    images = [
        pattern(period, angle, soft)
        for period, soft in ((40, True), (64, False), (105, True), (170, False))
        for angle in (0.3, 0.6, 1.2, 1.8, 2.4)
    ]
    chosen = find_pairs(greys(images, pictures, tmp_path), RULES)
    same = [(i, j) for i, j in zip(chosen.i, chosen.j, strict=True) if i // 5 == j // 5]
    assert len(same) == len(chosen) <= 4


def test_pale_pictures_with_one_dark_spot_are_not_each_others_crops(pictures, tmp_path):
    """A figure in a studio: nearly all is background, the hash sees little else."""
    rng = np.random.default_rng(5)
    images = []
    for _ in range(40):
        image = Image.new("RGB", (320, 240), "white")
        draw = ImageDraw.Draw(image)
        for _ in range(4):
            x, y = rng.normal(160, 30), rng.normal(120, 25)
            a, b = rng.uniform(15, 60, 2)
            draw.ellipse((x - a, y - b, x + a, y + b), fill=(int(rng.integers(20, 150)),) * 3)
        images.append(image)
    assert len(find_pairs(greys(images, pictures, tmp_path), RULES)) == 0


def test_the_order_of_the_pictures_does_not_matter(pictures, tmp_path):
    images = [pictures.photo(seed) for seed in range(8)]
    images += [crop_at(image, 0.08, 0.2, 0.7) for image in images]
    images += [ImageOps.mirror(image) for image in images[:4]]
    looks = greys(images, pictures, tmp_path)
    shuffled = np.random.default_rng(0).permutation(len(images))

    def table(pairs: Pairs, names: np.ndarray) -> set[tuple]:
        columns = (names[pairs.i], names[pairs.j], pairs.distance, pairs.variant)
        rows = zip(*columns, pairs.correlation.round(6), strict=True)
        return {(*sorted((a, b)), d, v, c) for a, b, d, v, c in rows}

    first = table(find_pairs(looks, RULES), np.arange(len(images)))
    assert len(first) >= 12
    assert table(find_pairs(looks.take(shuffled), RULES), shuffled) == first


def test_mirrored_copies_stay_where_they_are_wanted(pictures, tmp_path):
    image = pictures.photo(3)
    both = greys([image, ImageOps.mirror(image)], pictures, tmp_path)
    assert len(find_pairs(both, RULES)) == 1
    assert len(find_pairs(both, Rules(6, 10, 0.85, mirrored=False))) == 0


def test_flat_pictures_are_nobodys_copies(pictures, tmp_path):
    flat = [Image.new("RGB", (200, 150), colour) for colour in ("white", "black", "grey", "white")]
    assert len(find_pairs(greys(flat, pictures, tmp_path), RULES)) == 0


def pairs_of(*links: tuple[int, int, int]) -> Pairs:
    i, j, d = np.array(links).T
    return Pairs(i, j, d, np.ones(len(i)), np.full(len(i), "whole", object))


def test_a_chain_does_not_pull_in_what_is_unlike_the_kept_one():
    # 0 ~ 1 ~ 2, but 0 and 2 are unlike: 2 must not go because of 1, which went itself.
    chosen = stars(3, pairs_of((0, 1, 2), (1, 2, 2)), np.array([0, 1, 2]))
    assert chosen.kept.tolist() == [0, 0, 2]


def test_a_picture_joins_the_nearest_of_the_kept_ones():
    chosen = stars(3, pairs_of((0, 2, 6), (1, 2, 2)), np.array([0, 1, 2]))
    assert chosen.kept.tolist() == [0, 1, 1]


def test_of_equally_near_ones_the_likest_counts_and_then_the_best():
    links = pairs_of((0, 2, 4), (1, 2, 4))
    likest = dataclasses.replace(links, correlation=np.array([0.9, 0.95]))
    assert stars(3, likest, np.array([0, 1, 2])).kept.tolist() == [0, 1, 1]
    assert stars(3, links, np.array([1, 0, 2])).kept.tolist() == [0, 1, 1]


def test_what_must_stay_drops_its_copies_though_it_has_joined_another():
    links = pairs_of((0, 1, 2), (1, 2, 2))
    chosen = stars(3, links, np.array([0, 1, 2]), [True, True, False])
    assert chosen.kept.tolist() == [0, 0, 1]


def test_every_dropped_picture_is_directly_like_a_kept_one():
    rng = np.random.default_rng(0)
    links = {tuple(sorted(pair)) for pair in rng.integers(0, 200, (400, 2)).tolist()}
    links = sorted((a, b, 2) for a, b in links if a != b)
    order = rng.permutation(200)
    chosen = stars(200, pairs_of(*links), order)
    linked = {(a, b) for a, b, _ in links}
    for picture, kept in enumerate(chosen.kept.tolist()):
        assert chosen.kept[kept] == kept
        assert picture == kept or tuple(sorted((picture, kept))) in linked
    for a, b in linked:  # and no two kept ones are alike
        assert not (chosen.kept[a] == a and chosen.kept[b] == b)


def test_components_follow_every_link():
    groups = components(5, pairs_of((0, 1, 2), (1, 2, 2)))
    assert groups[0] == groups[1] == groups[2]
    assert len(set(groups.tolist())) == 3


def test_pairs_among_some_are_counted_as_these_are():
    kept = pairs_of((0, 1, 2), (1, 4, 4), (2, 4, 6)).among(np.array([1, 2, 4]))
    assert kept.i.tolist() == [0, 1] and kept.j.tolist() == [2, 2]
    assert kept.distance.tolist() == [4, 6]


def test_correlation_is_that_of_numpy():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 5, 32, 32), dtype=np.uint8)
    expected = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)]
    assert np.allclose(duplicates.correlate(a, b), expected, atol=1e-5)
