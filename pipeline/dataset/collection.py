"""One data set as it came in: which picture is of which class, and how classes are named.

Data sets write one breed in many ways (``American Hairless``, ``n02085620-Chihuahua``,
``shih_tzu``); what is one breed is decided here, so that several sets merge by it.
"""

from __future__ import annotations

import hashlib
import io
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.errors import PipelineError
from pipeline.progress import bar
from pipeline.raw import Content, Store, examine

_SYNSET = re.compile(r"^(n\d{8})[-_ ]+(?=.)")  # WordNet's number before a name, as in ImageNet
_BATCH = 512

Unkept = tuple[str, str, np.ndarray | Path]  # class, place, pixels or a file


@dataclass(frozen=True)
class Item:
    """A picture: its class, where in the data set it was found, and its content (in the store)."""

    label: str
    place: str
    content: Content


@dataclass(frozen=True)
class Collection:
    """A data set whose pictures are in the store.

    Attributes:
        source: what the manifest calls it.
        page: an address that tells of the data set, where one is known.
        refused: files that were too large.
    """

    source: str
    items: list[Item]
    page: str | None = None
    refused: int = 0


def slug(name: str) -> str:
    """A class name of a-z, 0-9 and _; names without any such character keep apart by a hash."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    return plain or f"class_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def class_names(folders: Iterable[str]) -> dict[str, str]:
    """The class of each folder of one data set: a slug without WordNet's number.

    Two numbers of one name are two things (ImageNet's cranes: a bird and a machine): they keep
    their numbers.
    """
    folders = set(folders)
    numbers: dict[str, set[str]] = defaultdict(set)
    for folder in folders:
        found = _SYNSET.match(folder)
        numbers[_without_number(folder)].add(found[1] if found else "")
    return {
        folder: slug(folder) if len(numbers[name] - {""}) > 1 else name
        for folder in folders
        for name in [_without_number(folder)]
    }


def _without_number(folder: str) -> str:
    return slug(_SYNSET.sub("", folder))


def common_names(data_sets: Sequence[Iterable[str]]) -> dict[str, str]:
    """One name for the classes of several data sets that only spaces and hyphens tell apart.

    ``short_haired_pointer`` of one and ``shorthaired_pointer`` of another are one breed, called
    by the name with more words. A set that has both means two: then nothing is merged by them.
    """
    alike: dict[str, set[str]] = defaultdict(set)
    apart: set[str] = set()
    for names in data_sets:
        here: dict[str, str] = {}
        for name in set(names):
            key = name.replace("_", "")
            alike[key].add(name)
            if here.setdefault(key, name) != name:
                apart.add(key)
    return {
        name: name if key in apart else min(names, key=lambda one: (-one.count("_"), one))
        for key, names in alike.items()
        for name in names
    }


def keep_all(
    store: Store, pictures: Iterable[Unkept], total: int, what: str, max_bytes: int
) -> tuple[list[Item], int]:
    """Put pictures into the store; returns them in their order, and how many were too large.

    Pixels become PNG, which loses nothing; files are kept as they are.
    """
    items: list[Item] = []
    refused = 0
    todo = iter(pictures)
    with bar(total, f"import {what}", "pictures") as shown, ThreadPoolExecutor(4) as pool:
        while batch := list(islice(todo, _BATCH)):
            contents = pool.map(lambda one: _keep(store, one[2], max_bytes), batch)
            for (label, place, _), content in zip(batch, contents, strict=True):
                if content is None:
                    refused += 1
                else:
                    items.append(Item(label, place, content))
            shown.update(len(batch))
    return items, refused


def _keep(store: Store, picture: np.ndarray | Path, max_bytes: int) -> Content | None:
    if isinstance(picture, np.ndarray):
        data, content = as_png(picture)
    else:
        with picture.open("rb") as file:
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            return None
        content = examine(data)
    store.put(data, content)
    return content


def as_png(pixels: np.ndarray) -> tuple[bytes, Content]:
    """uint8 H×W×3, or H×W (grey, which becomes RGB), as a PNG file. Equal pixels, equal bytes."""
    image = Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")
    out = io.BytesIO()
    image.save(out, "PNG")
    data = out.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    return data, Content(digest, "png", len(data), image.width, image.height)


def unlike(names: Sequence[str], where: str) -> list[str]:
    """The slugs of class names.

    Raises:
        PipelineError: two of them become one.
    """
    slugs = [slug(name) for name in names]
    twice = next((name for name in slugs if slugs.count(name) > 1), None)
    if twice is not None:
        raise PipelineError(f"{where}: two classes are called {twice}")
    return slugs


def numbered(prefix: str, count: int) -> Iterator[str]:
    """Places in a data set that is only a row of pictures: ``test/00000``, ``test/00001``, …"""
    width = max(5, len(str(count - 1)))
    return (f"{prefix}{index:0{width}d}" for index in range(count))
