"""Pictures in a ``.npy`` file, their labels in another: what sprites come as."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.dataset.class_folders import stem
from pipeline.dataset.collection import Collection, keep_all, numbered, slug, unlike
from pipeline.errors import ParamsError
from pipeline.raw import Store

_MOST_CLASSES = 10_000


def read_arrays(
    path: Path, labels: Path | None, classes: list[str], store: Store, max_bytes: int
) -> Collection:
    """The pictures of ``path`` (uint8 N×H×W×3), put into the store as PNG.

    Args:
        labels: a ``.npy`` of N integers from 0, or of N×K zeros with a single one a row; None:
            one class named after ``path``.
        classes: names of the labels, in order; none: ``class_0``, ``class_1``, …

    Raises:
        ParamsError: a file is missing, is no plain array, or the arrays do not fit together.
            Nothing in them is ever executed: arrays of Python objects are refused.
    """
    pixels = _load(path)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3 or not pixels.size:
        raise ParamsError(
            f"{path}: holds {pixels.dtype} of shape {pixels.shape}; expected uint8 pictures, "
            "N x height x width x 3"
        )
    if labels is None:
        numbers, names = np.zeros(len(pixels), np.int64), classes or [slug(stem(path))]
    else:
        numbers, most = label_numbers(labels, len(pixels))
        names = classes or [f"class_{k}" for k in range(most)]
    if numbers.max() >= len(names):
        raise ParamsError(
            f"{labels or path}: has label {numbers.max()}, but {len(names)} class names were given"
        )
    names = unlike(names, str(path))
    pictures = (
        (names[number], place, np.asarray(picture))
        for number, place, picture in zip(
            numbers.tolist(), numbered("", len(pixels)), pixels, strict=True
        )
    )
    items, refused = keep_all(store, pictures, len(pixels), path.name, max_bytes)
    return Collection(slug(stem(path)), items, refused=refused)


def label_numbers(path: Path, count: int) -> tuple[np.ndarray, int]:
    """int64 N labels from integers or one-hot rows, and how many classes there are.

    Raises:
        ParamsError: ``path`` does not hold ``count`` labels of either form.
    """
    table = _load(path)
    if len(table.shape) not in (1, 2) or len(table) != count or table.dtype.kind not in "biuf":
        raise ParamsError(
            f"{path}: holds {table.dtype} of shape {table.shape}; expected {count} labels: "
            f"integers, or {count} x classes of zeros and ones"
        )
    table = np.asarray(table)
    if table.ndim == 2:
        if not (((table == 0) | (table == 1)).all() and (table.sum(axis=1) == 1).all()):
            raise ParamsError(f"{path}: its rows are not one-hot (a single 1 among zeros)")
        return table.argmax(axis=1).astype(np.int64), table.shape[1]
    numbers = table.astype(np.int64)
    if (numbers != table).any() or numbers.min(initial=0) < 0:
        raise ParamsError(f"{path}: its labels are not all whole numbers from 0")
    if numbers.max() >= _MOST_CLASSES:
        raise ParamsError(f"{path}: has label {numbers.max()}; labels count the classes from 0")
    return numbers, int(numbers.max()) + 1


def _load(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise ParamsError(f"{path}: does not exist; expected a .npy file") from None
    # A hostile header fails in any of these ways.
    except (OSError, ValueError, EOFError, TypeError, SyntaxError, OverflowError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ParamsError(f"{path}: is no plain .npy array ({reason})") from None
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        raise ParamsError(f"{path}: is no plain .npy array")
    return array
