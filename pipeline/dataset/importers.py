"""Data sets one already has as data/raw: several become one, merged by breed.

A data set is a folder of class folders, a tar or zip of one, a ``.npy`` of pictures, or the name
of one that torchvision knows (``torchvision:CIFAR10``).
"""

from __future__ import annotations

import tarfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.dataset.class_folders import read_class_folders
from pipeline.dataset.collection import Collection, common_names
from pipeline.dataset.pixel_arrays import read_arrays
from pipeline.dataset.torchvision_sets import PREFIX, parse, read_torchvision
from pipeline.errors import ParamsError, PipelineError, refused
from pipeline.raw import Row, Store, materialise
from pipeline.workspace import Workspace, exclusive

MAX_BYTES = 26_214_400


def import_datasets(
    specs: Sequence[str],
    workspace: Workspace,
    *,
    labels: str | None = None,
    classes: Sequence[str] = (),
    root: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> dict[str, Any]:
    """Make data/raw from data sets; returns metrics of the form ``scrape`` gives.

    A class of one set and a class of another are the same breed if their names differ only in
    case, spaces, hyphens, underscores or a WordNet number in front. Of several sets the manifest's
    ``source`` says which one a picture came from; of a single folder or archive it says import.
    Interrupted, it does not fetch or write again what it has.

    Args:
        specs: paths (relative ones to the main repository) and names ``torchvision:NAME``.
        labels, classes: of the one ``.npy`` among ``specs``.
        root: the folder of torchvision's data sets; default data/import.

    Raises:
        ParamsError: one of them is missing or of an unknown kind; nothing was touched.
        PipelineError: no picture in it, or it cannot be read to its end.
    """
    check_specs(specs, labels, classes, workspace)
    with exclusive(workspace.here / ".cache" / "scrape.lock", "scraping or importing"):
        store = Store(workspace.cache / "scrape" / "store")
        collections = []
        for spec in specs:
            try:
                if spec.startswith(PREFIX):
                    folder = place(root or "data/import", workspace)
                    one = read_torchvision(spec, folder, store, max_bytes)
                elif is_array(spec):
                    given = None if labels is None else place(labels, workspace)
                    path = place(spec, workspace)
                    one = read_arrays(path, given, list(classes), store, max_bytes)
                else:
                    one = read_class_folders(place(spec, workspace), store, max_bytes)
            except OSError as error:  # a full disk, no rights
                raise PipelineError(f"{spec}: {refused(error)}") from None
            collections.append(one)
        rows = merged_rows(collections, _sources(specs, collections))
        files = materialise(rows, store, workspace.raw)
    return _count(rows, files, sum(one.refused for one in collections))


def place(spec: str, workspace: Workspace) -> Path:
    """Where a path of params.yaml lies."""
    return workspace.shared / Path(spec).expanduser()


def is_array(spec: str) -> bool:
    return spec.lower().endswith(".npy")


def check_specs(
    specs: Sequence[str], labels: str | None, classes: Sequence[str], workspace: Workspace
) -> None:
    """What can be said before anything is read.

    Raises:
        ParamsError: a data set is missing or of an unknown kind, or options are for none of them.
    """
    for spec in specs:
        if spec.startswith(PREFIX):
            parse(spec)
            continue
        path = place(spec, workspace)
        if "\0" in spec or not path.exists():
            raise ParamsError(f"{path}: does not exist; expected a folder, tar or zip of pictures")
        if not (path.is_file() or path.is_dir()):
            raise ParamsError(f"{path}: is a pipe or a device; expected a folder, tar or zip")
        if path.is_file() and not is_array(spec) and not _is_archive(path):
            raise ParamsError(f"{path}: is no folder and no tar or zip that can be read")
    arrays = sum(is_array(spec) for spec in specs)
    if (labels is not None or classes) and arrays != 1:
        raise ParamsError(
            f"labels and class names belong to one .npy of pictures; given were {arrays}"
        )


def _is_archive(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path) or zipfile.is_zipfile(path)
    except OSError:  # no rights, or a file of /proc
        return False


def _sources(specs: Sequence[str], collections: Sequence[Collection]) -> list[str]:
    """What the manifest calls each data set: by its own name, kept apart by numbers."""
    if len(collections) == 1 and not (specs[0].startswith(PREFIX) or is_array(specs[0])):
        return ["import"]
    seen: Counter[str] = Counter()
    names = []
    for one in collections:
        seen[one.source] += 1
        names.append(one.source + (f"_{seen[one.source]}" if seen[one.source] > 1 else ""))
    return names


def merged_rows(collections: Sequence[Collection], sources: Sequence[str]) -> list[Row]:
    """The manifest's rows: the breeds of all data sets, in each the sets one after the other."""
    names = common_names([[item.label for item in one.items] for one in collections])
    ranks: Counter[str] = Counter()
    rows = []
    for source, one in zip(sources, collections, strict=True):
        before = "" if source == "import" else f"{source}/"
        for item in one.items:
            label = names[item.label]
            rows.append(
                Row(
                    breed=label,
                    query=label,
                    source=source,
                    rank=ranks[label],
                    title=None,
                    image_url=f"import:{before}{item.place}",
                    page_url=one.page,
                    licence=None,
                    author=None,
                    fetched_at=None,
                    content=item.content,
                )
            )
            ranks[label] += 1
    return sorted(rows, key=lambda row: (row.breed, row.rank))


def _count(rows: list[Row], files: int, refused: int) -> dict[str, Any]:
    by_breed: dict[str, dict[str, int]] = defaultdict(lambda: {"fetched": 0, "duplicates": 0})
    paths: dict[str, int] = {}
    for row in rows:
        by_breed[row.breed]["fetched"] += 1
        by_breed[row.breed]["duplicates"] += row.path in paths
        paths[row.path] = row.content.bytes
    return {
        "breeds": len(by_breed),
        "wanted": len(rows),
        "found": len(rows) + refused,
        "fetched": len(rows),
        "duplicates": len(rows) - files,
        "failed": refused,
        "files": files,
        "not_pictures": sum(not row.content.is_picture for row in rows),
        "missing": 0,
        "bytes": sum(paths.values()),
        "failures": {"too_large": refused} if refused else {},
        "data_sets": dict(Counter(row.source for row in rows)),
        "by_breed": dict(by_breed),
    }
