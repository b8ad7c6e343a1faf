"""The pictures that are timed, composed from any photos."""

from __future__ import annotations

import random
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

from PIL import Image, ImageOps

SIZE = (500, 375)


def large(photos: list[Path], folder: Path, count: int) -> None:
    """JPEGs of 1600x1200: a photo and its mirror images, so that there is as much detail in a
    picture as a camera leaves, and as many bytes. Mirror images meet without a join."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        part = _open(photos[number % len(photos)]).resize((800, 600), Image.Resampling.BICUBIC)
        page = Image.new("RGB", (1600, 1200))
        page.paste(part, (0, 0))
        page.paste(ImageOps.mirror(part), (800, 0))
        page.paste(ImageOps.flip(page.crop((0, 0, 1600, 600))), (0, 600))
        page.save(folder / f"{number:05}.jpg", quality=90)


def small(photos: list[Path], folder: Path, count: int) -> None:
    """JPEGs of 500x375: photos as they are, but for their sides."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture = _open(photos[number % len(photos)])
        picture = picture.resize(SIZE, Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:05}.jpg", quality=90)


def many(photos: list[Path], folder: Path, count: int, workers: int) -> None:
    """JPEGs of 500x375 in ten folders: two parts of two photos, at scales of their own, shone
    through each other. No straight joins, and hardly two alike. One in a hundred is an earlier one
    saved again, one in a thousand is cut short."""
    for breed in range(10):
        (folder / f"breed {breed}").mkdir(parents=True, exist_ok=True)
    # A fork of this process, whose threads sleep at most, costs no second import.
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        list(pool.map(partial(_double, photos, folder), range(count), chunksize=50))


def _double(photos: list[Path], folder: Path, number: int) -> None:
    source = number - 1 if number % 100 == 99 else number
    chance = random.Random(source)
    pair = [_part(_open(path), chance) for path in chance.sample(photos, 2)]
    picture = Image.blend(pair[0], pair[1], chance.uniform(0.35, 0.65))
    path = folder / f"breed {number % 10}" / f"{number:05}.jpg"
    picture.save(path, quality=90 if source == number else 60)
    if number % 1000 == 500:
        path.write_bytes(path.read_bytes()[:5000])


def _part(photo: Image.Image, chance: random.Random) -> Image.Image:
    share = chance.uniform(0.3, 0.9)
    width, height = photo.width * share, photo.height * share
    left = chance.uniform(0, photo.width - width)
    top = chance.uniform(0, photo.height - height)
    box = (left, top, left + width, top + height)
    part = photo.resize(SIZE, Image.Resampling.BICUBIC, box=box)
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if chance.random() < 0.5 else part


@cache
def _open(path: Path) -> Image.Image:
    with Image.open(path) as image:
        photo = image.convert("RGB")
    # Photos of any size are brought to about that of the pictures made of them.
    photo.thumbnail((800, 800), Image.Resampling.BOX)
    return photo


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*.jpg")) / 1e6
