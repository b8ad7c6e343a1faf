"""Small drawn dogs, as many as one likes: the gallery's own drawings, made smaller."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pipeline import pool
from pipeline.scraping.gallery.picture import describe, encode, fitted, on_white, render, with_grain

SEED = 20


def draw(folder: Path, breeds: list[str], count: int, px: int) -> None:
    """``count`` JPEGs, equally many a breed, in class folders; those that are there stay.

    Args:
        px: the longer side of each.
    """
    tasks = [
        (breed, number)
        for number in range(count // len(breeds))
        for breed in breeds
        if not place(folder, breed, number).is_file()
    ]
    for breed in breeds:
        (folder / breed).mkdir(parents=True, exist_ok=True)
    job = partial(_draw, folder, px)
    for _ in pool.each(job, tasks, workers=0, what=f"draw {px} px", unit="pictures", chunk=64):
        pass


def place(folder: Path, breed: str, number: int) -> Path:
    return folder / breed / f"{number:06}.jpg"


def _draw(folder: Path, px: int, task: tuple[str, int]) -> None:
    breed, number = task
    picture = describe(SEED, breed, number)
    small = on_white(render(picture, *fitted(picture.width, picture.height, px)))
    path = place(folder, breed, number)
    part = path.with_suffix(".part")
    part.write_bytes(encode(with_grain(small, picture.phase), "jpg", 85))
    part.replace(path)


def some(source: Path, folder: Path, breeds: list[str], count: int) -> None:
    """A folder with just the first ``count`` pictures: hard links."""
    shutil.rmtree(folder, ignore_errors=True)
    for breed in breeds:
        (folder / breed).mkdir(parents=True)
        for number in range(count // len(breeds)):
            os.link(place(source, breed, number), place(folder, breed, number))


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def disk(folder: Path) -> float:
    """Gigabytes that a folder takes; what is linked more than once counts once."""
    seen = {
        (s.st_dev, s.st_ino): 512 * s.st_blocks for s in (path.stat() for path in files(folder))
    }
    return sum(seen.values()) / 1e9
