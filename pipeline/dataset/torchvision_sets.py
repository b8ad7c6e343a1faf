"""Data sets that torchvision knows: ``torchvision:CIFAR10``.

torchvision reads (and, where it can, downloads) them. CIFAR's files are pickles: torchvision opens
them only after they have passed its own checksums, so no pickle but the published one is ever
loaded; this module loads none itself.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.dataset.collection import Collection, Unkept, keep_all, numbered, slug, unlike
from pipeline.errors import ParamsError, PipelineError
from pipeline.raw import Store

PREFIX = "torchvision:"
_TWO_WORDS = ("AM General", "Aston Martin", "Land Rover")  # makes of Stanford Cars

Opened = tuple[int, Iterator[Unkept]]  # how many pictures, and they


@dataclass(frozen=True)
class Known:
    """A data set of torchvision.

    Attributes:
        open: (root, download, by) -> the pictures; raises what torchvision raises.
        needs: what must lie where below the root.
        by: what its classes may be made by, in words; empty: nothing to choose.
    """

    name: str
    page: str
    open: Callable[[Path, bool, str | None], Opened]
    needs: str
    by: str = ""
    downloads: bool = True


def parse(spec: str) -> tuple[Known, str | None]:
    """``torchvision:CelebA/Smiling`` as the data set and what its classes are made by.

    Raises:
        ParamsError: no such data set, or one whose classes cannot be chosen.
    """
    name, _, by = spec.removeprefix(PREFIX).partition("/")
    known = KNOWN.get(name.lower())
    if known is None:
        close = difflib.get_close_matches(name.lower(), KNOWN, n=1)
        names = ", ".join(one.name for one in KNOWN.values())
        hint = f"did you mean {PREFIX}{KNOWN[close[0]].name}?" if close else f"there are {names}"
        raise ParamsError(f"{spec}: no data set that is known here; {hint}")
    if by and not known.by:
        raise ParamsError(f"{spec}: the classes of {known.name} are its own: {PREFIX}{known.name}")
    return known, by or None


def read_torchvision(spec: str, root: Path, store: Store, max_bytes: int) -> Collection:
    """All pictures of a data set, training and test, put into the store.

    Pixels are kept as PNG, files (CelebA, Stanford Cars) as they are: nothing is lost in either.

    Args:
        root: what torchvision's data sets call so: a folder that holds theirs.

    Raises:
        ParamsError: the data set, or what its classes are made by, is unknown.
        PipelineError: it is not there and cannot be had; the line says what to put where.
    """
    known, by = parse(spec)
    try:
        count, pictures = _open(known, root, by)
        items, refused = keep_all(store, pictures, count, known.name, max_bytes)
    except OSError as error:  # a picture that the lists name
        where = error.filename or root
        raise PipelineError(f"{spec}: {where}: cannot be read ({error.strerror})") from None
    return Collection(slug(known.name), items, known.page, refused)


def _open(known: Known, root: Path, by: str | None) -> Opened:
    try:
        return known.open(root, False, by)
    except ParamsError:
        raise
    except Exception as error:  # torchvision: RuntimeError; damaged lists: anything
        reason: Exception = error
    if known.downloads:
        try:
            return known.open(root, True, by)
        except ParamsError:
            raise
        except Exception as error:  # no network, no rights, an address that is gone, gdown missing
            reason = error
    told = " ".join(str(reason).split())[:160].rstrip(".") or type(reason).__name__
    way = f"cannot be downloaded ({told})" if known.downloads else "can no longer be downloaded"
    raise PipelineError(
        f"{PREFIX}{known.name}: is not whole in {root} and {way}: "
        f"put {known.needs} there, from {known.page}, or name another folder with --root"
    ) from None


# --------------------------------------------------------------------------- the data sets


def _cifar10(root: Path, download: bool, by: str | None) -> Opened:
    from torchvision.datasets import CIFAR10

    return _of_pixels(
        {split: CIFAR10(str(root), split == "train", download=download) for split in _SPLITS}
    )


def _mnist(root: Path, download: bool, by: str | None) -> Opened:
    from torchvision.datasets import MNIST

    return _of_pixels(
        {split: MNIST(str(root), split == "train", download=download) for split in _SPLITS}
    )


_SPLITS = ("train", "test")


def _of_pixels(parts: dict[str, Any]) -> Opened:
    """Of sets that hold all pixels in ``data`` (N×H×W×3 or N×H×W) and labels in ``targets``."""
    classes = unlike(next(iter(parts.values())).classes, "torchvision")

    def pictures() -> Iterator[Unkept]:
        for split, part in parts.items():
            places = numbered(f"{split}/", len(part.data))
            labels = np.asarray(part.targets).tolist()
            for place, label, pixels in zip(places, labels, np.asarray(part.data), strict=True):
                yield classes[label], place, pixels

    return sum(len(part.data) for part in parts.values()), pictures()


def _celeba(root: Path, download: bool, by: str | None) -> Opened:
    from torchvision.datasets import CelebA

    faces = CelebA(str(root), "all", download=download)
    folder = root / faces.base_folder / "img_align_celeba"
    labels = ["face"] * len(faces.filename)
    if by is not None:
        names = [name for name in faces.attr_names if name]
        if by not in names:
            raise ParamsError(f"{PREFIX}CelebA/{by}: has no such attribute; {', '.join(names)}")
        both = (f"not_{slug(by)}", slug(by))
        labels = [both[has] for has in faces.attr[:, names.index(by)].tolist()]
    pictures = (
        (label, name, _inside(folder, name))
        for label, name in zip(labels, faces.filename, strict=True)
    )
    return len(labels), pictures


def _stanford_cars(root: Path, download: bool, by: str | None) -> Opened:
    from torchvision.datasets import StanfordCars

    if by not in (None, "make"):
        raise ParamsError(f"{PREFIX}StanfordCars/{by}: only StanfordCars/make is known")
    parts = {split: StanfordCars(str(root), split, loader=Path) for split in _SPLITS}

    def pictures() -> Iterator[Unkept]:
        for split, part in parts.items():
            for index in range(len(part)):
                path, target = part[index]
                folder = root / "stanford_cars" / f"cars_{split}"
                name = os.path.relpath(path, folder)
                label = slug(make_of(part.classes[target])) if by else "car"
                yield label, f"{split}/{name}", _inside(folder, name)

    return sum(len(part) for part in parts.values()), pictures()


def make_of(name: str) -> str:
    """The make in a class of Stanford Cars: of "Land Rover LR2 SUV 2012" it is Land Rover."""
    return next((make for make in _TWO_WORDS if name.startswith(make)), name.split()[0])


def _inside(folder: Path, name: str) -> Path:
    """The file ``name`` of ``folder``: a list that names another place is not followed."""
    if Path(name).name != name:
        raise PipelineError(f"{folder}: its lists name {name!r}, which is no file of it")
    return folder / name


KNOWN = {
    one.name.lower(): one
    for one in (
        Known(
            "CIFAR10",
            "https://www.cs.toronto.edu/~kriz/cifar.html",
            _cifar10,
            "cifar-10-python.tar.gz (or what it holds, cifar-10-batches-py/)",
        ),
        Known(
            "MNIST",
            "http://yann.lecun.com/exdb/mnist/",
            _mnist,
            "MNIST/raw/ with the four files *-ubyte (or *-ubyte.gz)",
        ),
        Known(
            "CelebA",
            "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
            _celeba,
            "celeba/ with img_align_celeba/ and the five lists identity_CelebA.txt, "
            "list_attr_celeba.txt, list_bbox_celeba.txt, list_eval_partition.txt, "
            "list_landmarks_align_celeba.txt",
            by="an attribute",
        ),
        Known(
            "StanfordCars",
            "https://ai.stanford.edu/~jkrause/cars/car_dataset.html",
            _stanford_cars,
            "stanford_cars/ with cars_train/, cars_test/, devkit/ and "
            "cars_test_annos_withlabels.mat",
            by="make",
            downloads=False,
        ),
    )
}
