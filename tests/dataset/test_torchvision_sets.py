"""Data sets of torchvision, in their own formats on disk, in miniature."""

from __future__ import annotations

import hashlib
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torchvision.datasets as sets
from miniature_sets import jpeg, merged
from PIL import Image

from pipeline.dataset.torchvision_sets import make_of
from pipeline.errors import ParamsError, PipelineError

CIFAR_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship"]
CIFAR_NAMES += ["truck"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", refuse)
    monkeypatch.setattr("torchvision.datasets.celeba.download_file_from_google_drive", refuse)


def pixels_of(where: Path, table: Any) -> dict[str, np.ndarray]:
    found = {}
    for row in table.itertuples():
        with Image.open(where / "data" / "raw" / row.path) as image:
            found[row.image_url] = np.array(image)
    return found


# ------------------------------------------------------------------ CIFAR-10


def cifar10(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[np.ndarray, list[int]]]:
    """Two batches of 10 as python pickles; torchvision is told their checksums, and checks them."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    batches = {}

    def write(name: str, content: Any) -> list[str]:
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return [name, hashlib.md5(data).hexdigest()]

    for k, (split, name) in enumerate((("train", "data_batch_1"), ("test", "test_batch"))):
        pixels = np.random.default_rng(k).integers(0, 256, (10, 3, 32, 32), np.uint8)
        labels = [(i + k) % 10 for i in range(10)]
        batches[split] = (pixels.transpose(0, 2, 3, 1), labels)
        entry = write(name, {"data": pixels.reshape(10, -1), "labels": labels})
        monkeypatch.setattr(sets.CIFAR10, f"{split}_list", [entry])
    meta = write("batches.meta", {"label_names": CIFAR_NAMES})
    named = {"filename": meta[0], "key": "label_names", "md5": meta[1]}
    monkeypatch.setattr(sets.CIFAR10, "meta", named)
    return batches


def test_cifar10_keeps_every_pixel_label_and_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = cifar10(tmp_path / "tv", monkeypatch)
    table = merged(tmp_path / "w", "torchvision:CIFAR10", root=str(tmp_path / "tv"))
    assert len(table) == 20 and set(table["source"]) == {"cifar10"}
    assert table["breed"].value_counts().to_dict() == dict.fromkeys(CIFAR_NAMES, 2)
    found = pixels_of(tmp_path / "w", table)
    breeds = dict(zip(table["image_url"], table["breed"], strict=True))
    for split, (pixels, labels) in batches.items():
        for index in range(10):
            place = f"import:cifar10/{split}/{index:05d}"
            assert np.array_equal(found[place], pixels[index])
            assert breeds[place] == CIFAR_NAMES[labels[index]]
    raw = tmp_path / "w" / "data" / "raw"
    before = {path: path.stat().st_ino for path in raw.rglob("*.png")}
    again = merged(tmp_path / "w", "torchvision:cifar10", root=str(tmp_path / "tv"))
    assert again.equals(table)
    assert {path: path.stat().st_ino for path in raw.rglob("*.png")} == before


def test_a_pickle_that_is_not_the_published_one_is_never_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cifar10(tmp_path / "tv", monkeypatch)
    victim = tmp_path / "victim"

    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
            return Path.touch, (victim,)

    for name in ("data_batch_1", "batches.meta"):
        file = tmp_path / "tv" / "cifar-10-batches-py" / name
        sound = file.read_bytes()
        file.write_bytes(pickle.dumps(Bomb()))
        with pytest.raises(PipelineError, match=r"CIFAR10: is not whole in .*cifar-10-python"):
            merged(tmp_path / "w", "torchvision:CIFAR10", root=str(tmp_path / "tv"))
        file.write_bytes(sound)
    assert not victim.exists()


# ------------------------------------------------------------------ MNIST


def test_mnist_digits_become_rgb(tmp_path: Path) -> None:
    raw = tmp_path / "tv" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 28, 28), np.uint8)
    labels = np.arange(20, dtype=np.uint8) % 10
    for start, name in ((0, "train"), (10, "t10k")):
        part = slice(start, start + 10)
        head = struct.pack(">4B3I", 0, 0, 8, 3, 10, 28, 28)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(head + pixels[part].tobytes())
        head = struct.pack(">4BI", 0, 0, 8, 1, 10)
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(head + labels[part].tobytes())
    table = merged(tmp_path / "w", "torchvision:MNIST", root=str(tmp_path / "tv"))
    assert len(table) == 20 and sorted(set(table["breed"]))[:2] == ["0_zero", "1_one"]
    found = pixels_of(tmp_path / "w", table)
    for index in range(20):
        split, number = ("train", index) if index < 10 else ("test", index - 10)
        shown = found[f"import:mnist/{split}/{number:05d}"]
        assert shown.shape == (28, 28, 3) and (shown == pixels[index][:, :, None]).all()
        [row] = table[table["image_url"] == f"import:mnist/{split}/{number:05d}"].itertuples()
        assert row.breed[0] == str(labels[index])


# ------------------------------------------------------------------ CelebA


def celeba(root: Path, monkeypatch: pytest.MonkeyPatch, count: int = 6) -> dict[str, bytes]:
    folder = root / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    faces = {f"{i + 1:06d}.jpg": jpeg(i) for i in range(count)}
    for name, data in faces.items():
        (folder / "img_align_celeba" / name).write_bytes(data)
    smiles = [1 if i % 3 == 0 else -1 for i in range(count)]
    rows = list(zip(faces, smiles, strict=True))
    texts = {
        "list_attr_celeba.txt": f"{count}\nBald Smiling\n"
        + "".join(f"{name} -1 {smile:2d}\n" for name, smile in rows),
        "identity_CelebA.txt": "".join(f"{name} 7\n" for name, _ in rows),
        "list_bbox_celeba.txt": f"{count}\nimage_id x_1 y_1 width height\n"
        + "".join(f"{name} 1 2 3 4\n" for name, _ in rows),
        "list_landmarks_align_celeba.txt": f"{count}\nlefteye_x lefteye_y\n"
        + "".join(f"{name} 1 2\n" for name, _ in rows),
        "list_eval_partition.txt": "".join(f"{name} {i % 3}\n" for i, name in enumerate(faces)),
    }
    listed = [("", "", "img_align_celeba.zip")]
    for name, text in texts.items():
        (folder / name).write_text(text)
        listed.append(("", hashlib.md5(text.encode()).hexdigest(), name))
    monkeypatch.setattr(sets.CelebA, "file_list", listed)
    return faces


def test_celeba_keeps_the_files_and_makes_one_class_or_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = celeba(tmp_path / "tv", monkeypatch)
    root = str(tmp_path / "tv")
    table = merged(tmp_path / "w", "torchvision:CelebA", root=root)
    assert set(table["breed"]) == {"face"} and len(table) == 6
    for row in table.itertuples():
        name = row.image_url.removeprefix("import:celeba/")
        assert (tmp_path / "w" / "data" / "raw" / row.path).read_bytes() == faces[name]
    both = merged(tmp_path / "w", "torchvision:CelebA/Smiling", root=root)
    smiling = both[both["breed"] == "smiling"]["image_url"]
    assert set(smiling) == {"import:celeba/000001.jpg", "import:celeba/000004.jpg"}
    assert (both["breed"] == "not_smiling").sum() == 4
    with pytest.raises(ParamsError, match="no such attribute; Bald, Smiling"):
        merged(tmp_path / "w", "torchvision:CelebA/Smile", root=root)


# ------------------------------------------------------------------ Stanford Cars


def stanford_cars(root: Path, first: str = "00001.jpg") -> dict[str, bytes]:
    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    names = ["AM General Hummer SUV 2000", "Audi S4 Sedan 2012"]
    scipy.io.savemat(folder / "devkit" / "cars_meta.mat", {"class_names": np.array(names, object)})
    cars = {}
    lists = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    for split, place in lists.items():
        (folder / f"cars_{split}").mkdir()
        listed = []
        for i in range(3):
            name = first if i == 0 else f"{i + 1:05d}.jpg"
            cars[f"{split}/{name}"] = jpeg(i + 10 * len(split))
            if i or name == "00001.jpg":
                (folder / f"cars_{split}" / name).write_bytes(cars[f"{split}/{name}"])
            listed.append((1 + i % 2, name))
        annotations = np.array(listed, [("class", "O"), ("fname", "O")])
        scipy.io.savemat(folder / place, {"annotations": annotations})
    return cars


def test_stanford_cars_from_its_folder(tmp_path: Path) -> None:
    cars = stanford_cars(tmp_path / "tv")
    table = merged(tmp_path / "w", "torchvision:StanfordCars", root=str(tmp_path / "tv"))
    assert set(table["breed"]) == {"car"} and len(table) == 6
    for row in table.itertuples():
        name = row.image_url.removeprefix("import:stanfordcars/")
        assert (tmp_path / "w" / "data" / "raw" / row.path).read_bytes() == cars[name]
    makes = merged(tmp_path / "w", "torchvision:StanfordCars/make", root=str(tmp_path / "tv"))
    assert makes["breed"].value_counts().to_dict() == {"am_general": 4, "audi": 2}
    assert make_of("Land Rover LR2 SUV 2012") == "Land Rover"


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/hostname"])
def test_a_list_that_names_files_elsewhere_is_not_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / "tv").mkdir()
    (tmp_path / "tv" / "secret.jpg").write_bytes(jpeg(99))
    stanford_cars(tmp_path / "tv", first=name)
    with pytest.raises(PipelineError, match="which is no file of it"):
        merged(tmp_path / "w", "torchvision:StanfordCars", root=str(tmp_path / "tv"))


# ------------------------------------------------------------------ what cannot be had


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("CIFAR10", r"cannot be downloaded \(.*\): put cifar-10-python.tar.gz"),
        ("MNIST", r"cannot be downloaded \(.*\): put MNIST/raw/ with the four files"),
        ("CelebA", r"cannot be downloaded \(.*\): put celeba/ with img_align_celeba/"),
        ("StanfordCars", r"can no longer be downloaded: put stanford_cars/ with cars_train/"),
    ],
)
def test_without_network_one_line_says_what_to_put_where(
    tmp_path: Path, name: str, says: str
) -> None:
    with pytest.raises(PipelineError, match=says) as caught:
        merged(tmp_path / "w", f"torchvision:{name}", root=str(tmp_path / "tv"))
    assert str(tmp_path / "tv") in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "w" / "data" / "raw").exists()


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("torchvision:CIFAR11", "did you mean torchvision:CIFAR10"),
        ("torchvision:", "there are CIFAR10, MNIST, CelebA, StanfordCars"),
        ("torchvision:MNIST/even", "classes of MNIST are its own"),
        ("torchvision:StanfordCars/colour", "only StanfordCars/make"),
    ],
)
def test_an_unknown_set_or_choice_is_one_line(tmp_path: Path, spec: str, says: str) -> None:
    with pytest.raises(ParamsError, match=says):
        merged(tmp_path / "w", spec, root=str(tmp_path / "tv"))
