"""Folders of known truth: copies of every photo, and batches of single photos and collages."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd

from cleaning_truth import collages, edits
from cleaning_truth.photos import Photo, digest, seeded

GROUPS = 5  # parts of a half: collages in a batch are of photos that are not in it themselves
PASSES = 2
_EACH = {"captioned": 4, "scattered": 4, "inset": 4}  # collages of a kind in a batch; else 2


def copies(photos: list[Photo], folder: Path, kinds: list[str], seed: int) -> pd.DataFrame:
    """Every photo and a copy of it of each kind. Columns: path, photo, kind ("original" or the
    edit's). File names tell nothing."""
    folder.mkdir(parents=True)
    rows = []
    for photo in photos:
        name = f"{digest(seed, 'original', photo.name)}{photo.path.suffix}"
        _link(photo.path, folder / name)
        rows.append((name, photo.name, "original"))
        image = photo.open()
        for kind in kinds:
            data, suffix = edits.make_copy(image, kind, seeded(seed, kind, photo.name))
            name = f"{digest(seed, kind, photo.name)}.{suffix}"
            (folder / name).write_bytes(data)
            rows.append((name, photo.name, kind))
    return pd.DataFrame(rows, columns=["path", "photo", "kind"])


def batches(photos: list[Photo], folder: Path, seed: int) -> list[tuple[Path, pd.DataFrame]]:
    """Folders of about one collage in ten: (folder, truth) with columns path, photo, kind.

    Kinds: "single" (the photo as it is), "again" (it, scaled and saved again) and the layouts of
    ``collages.ALL``. A detector that learns from the folder itself is not to find it full of
    collages, nor to have seen their cells alone: hence several batches.
    """
    again = folder / "again"
    again.mkdir(parents=True)
    for photo in photos:
        data = edits.saved_again(photo.open(), seeded(seed, "again", photo.name))
        (again / f"{digest(seed, 'again', photo.name)}.jpg").write_bytes(data)
    made = []
    for number in range(GROUPS * PASSES):
        place = folder / f"batch {number}"
        place.mkdir()
        glued = photos[number % GROUPS :: GROUPS]
        rows = _singles([photo for photo in photos if photo not in glued], place, again, seed)
        rows += _collages(glued, place, seed, number)
        made.append((place, pd.DataFrame(rows, columns=["path", "photo", "kind"])))
    return made


def _singles(photos: list[Photo], place: Path, again: Path, seed: int) -> list[tuple[str, ...]]:
    rows = []
    for photo in photos:
        name = f"{digest(seed, 'single', photo.name)}{photo.path.suffix}"
        _link(photo.path, place / name)
        rows.append((name, photo.name, "single"))
        name = f"{digest(seed, 'again', photo.name)}.jpg"
        _link(again / name, place / name)
        rows.append((name, photo.name, "again"))
    return rows


def _collages(photos: list[Photo], place: Path, seed: int, number: int) -> list[tuple[str, ...]]:
    images = [photo.open() for photo in photos]
    if len(images) < collages.MOST:
        raise SystemExit(f"{GROUPS * collages.MOST * 2} photos are the least, for collages of nine")
    rows = []
    for kind in collages.ALL:
        for turn in range(_EACH.get(kind, 2)):
            rng = seeded(seed, "collage", photos[0].name, kind, number, turn)
            name = f"{digest(seed, 'collage', number, kind, turn)}.jpg"
            (place / name).write_bytes(collages.make_collage(images, kind, rng))
            rows.append((name, "", kind))
    return rows


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
