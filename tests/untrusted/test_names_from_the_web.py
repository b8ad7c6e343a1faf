"""Names that come from sites, archives and folders never decide where a file lies."""

from __future__ import annotations

import csv
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from hostile import STEERING, tree
from PIL import Image

from pipeline.cleaning.decide import CSV_COLUMNS, decide_folder, write_decisions_csv
from pipeline.cleaning.overrides import match, read_overrides
from pipeline.dataset.importers import import_datasets
from pipeline.errors import PipelineError
from pipeline.params import DedupeParams
from pipeline.raw import MANIFEST, Row, Store, examine, materialise
from pipeline.workspace import Workspace

NAMES = (
    *("../../evil.png", "/etc/evil.png", "a/../../../evil.png", "..\\..\\evil.png"),
    *("%2e%2e%2fevil.png", "....//evil.png", "C:\\evil.png", "\\\\host\\share\\evil.png"),
    *("CON.png", "nul", "x/aux.png", "dog/ .png", "dog./evil.png", "-rf.png", "~/evil.png"),
    *("=cmd|calc!A0.png", "dog/$(touch evil).png", "dog/`evil`.png", "dog/a\nb.png"),
    *("dog/\u202egnp.exe.png", "Ünï/ß.png", "dog/" + "n" * 250 + ".png"),
    *(f"{text}/evil.png" for text in STEERING if "\0" not in text),
)


def png(seed: int = 0) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40 + seed, 30), (seed, 0, 0)).save(out, "PNG")
    return out.getvalue()


def packed_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for k, name in enumerate(NAMES):
            archive.writestr(zipfile.ZipInfo(name), png(k))
        link = zipfile.ZipInfo("dog/link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")


def packed_tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for k, name in enumerate(NAMES):
            member = tarfile.TarInfo(name)
            member.size = len(png(k))
            archive.addfile(member, io.BytesIO(png(k)))
        for name, kind in (("dog/soft.png", tarfile.SYMTYPE), ("dog/hard.png", tarfile.LNKTYPE)):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "/etc/passwd"
            archive.addfile(link)
        for name, kind in (("dog/pipe.png", tarfile.FIFOTYPE), ("dog/null.png", tarfile.CHRTYPE)):
            node = tarfile.TarInfo(name)
            node.type = kind
            archive.addfile(node)


def inside(raw: Path) -> list[Path]:
    """The files of data/raw; each is a plain one, under two plain names."""
    files = [path for path in raw.rglob("*") if not path.is_dir()]
    for path in files:
        assert path.is_file() and not path.is_symlink()
        name = path.relative_to(raw).as_posix()
        assert name == MANIFEST or (name.count("/") == 1 and name.isascii() and name.isprintable())
        assert len(path.name) < 255 and not set(name) & set("\\:*?\"<>|'$`")
    return files


@pytest.mark.parametrize("pack", [packed_zip, packed_tar], ids=["zip", "tar"])
def test_no_member_of_an_archive_leaves_the_data(workspace: Workspace, pack) -> None:  # type: ignore[no-untyped-def]
    pack(workspace.here / "set.archive")
    outside = tree(workspace.here)
    import_datasets(["set.archive"], workspace)
    found = tree(workspace.here)
    new = {name for name in found if name not in outside}
    assert all(name.split("/")[0] in ("data", ".cache") for name in new)
    assert len(inside(workspace.raw)) > 5
    contents = {path.read_bytes() for path in inside(workspace.raw) if path.name != MANIFEST}
    assert contents <= {png(k) for k in range(len(NAMES))}


def test_links_of_a_folder_lead_to_pictures_alone(workspace: Workspace) -> None:
    secret = workspace.here / "id_rsa"
    secret.write_text("a private key")
    elsewhere = workspace.here / "elsewhere.png"
    elsewhere.write_bytes(png(1))
    dog = workspace.here / "set" / "dog"
    dog.mkdir(parents=True)
    (dog / "own.png").write_bytes(png(2))
    (dog / "key.jpg").symlink_to(secret)
    (dog / "password.png").symlink_to("/etc/passwd")
    (dog / "zero.png").symlink_to("/dev/zero")
    (dog / "picture.png").symlink_to(elsewhere)
    (workspace.here / "set" / "up").symlink_to(workspace.here)
    os.mkfifo(dog / "pipe.png")
    import_datasets(["set"], workspace)
    contents = {path.read_bytes() for path in inside(workspace.raw) if path.name != MANIFEST}
    assert contents == {png(1), png(2)}


def test_folders_whose_names_are_no_text_have_a_class(workspace: Workspace) -> None:
    folder = os.fsencode(workspace.here / "set") + b"/\xff\xfe"
    (workspace.here / "set").mkdir()
    os.mkdir(folder)  # noqa: PTH102 - a name that is no text
    with open(folder + b"/a.png", "wb") as file:  # noqa: PTH123 - a name that is no text
        file.write(png())
    (workspace.here / "set" / "dog").mkdir()
    (workspace.here / "set" / "dog" / "b.png").write_bytes(png(1))
    import_datasets(["set"], workspace)
    assert len(inside(workspace.raw)) == 3


def row(data: bytes, breed: str = "dog", url: str = "https://example.org/a.png") -> Row:
    return Row(breed, breed, "web", 0, None, url, None, None, None, None, examine(data))


@pytest.mark.parametrize("name", NAMES)
def test_the_address_of_a_picture_decides_no_name(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / "store")
    one = row(png(), url=f"https://example.org/{name}")
    store.put(png(), one.content)
    materialise([one], store, tmp_path / "raw")
    assert {path.name for path in inside(tmp_path / "raw")} == {
        MANIFEST, f"{one.content.sha256[:16]}.png"
    }  # fmt: skip


def test_links_planted_in_the_data_lead_nothing_out(tmp_path: Path) -> None:
    """Not of what is written, not of what is removed."""
    raw, outside = tmp_path / "raw", tmp_path / "outside"
    raw.mkdir()
    outside.mkdir()
    (outside / "mine.txt").write_text("mine")
    (raw / "dog").symlink_to(outside)
    (raw / "cat").symlink_to(outside)
    (raw / MANIFEST).symlink_to(outside / "mine.txt")
    store = Store(tmp_path / "store")
    one = row(png())
    store.put(png(), one.content)
    materialise([one], store, raw)
    assert tree(outside) == {"mine.txt": 4} and (outside / "mine.txt").read_text() == "mine"
    assert {path.name for path in raw.iterdir()} == {"dog", MANIFEST}
    assert len(inside(raw)) == 2


def test_links_in_a_folder_that_is_cleaned_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    (folder / "dog").mkdir(parents=True)
    (folder / "dog" / "own.png").write_bytes(png())
    (tmp_path / "elsewhere.png").write_bytes(png(1))
    (folder / "dog" / "link.png").symlink_to(tmp_path / "elsewhere.png")
    (folder / "up").symlink_to(tmp_path)
    decide_folder(folder, tmp_path / "decisions.csv", DedupeParams(workers=1))
    table = pd.read_csv(tmp_path / "decisions.csv").set_index("path")
    assert set(table.index) == {"dog/own.png", "dog/link.png", "up"}
    assert table.reason["dog/link.png"] == table.reason["up"] == "corrupt"


SIGNS = ("=", "+", "-", "@", "\t", "\r")


def test_no_cell_of_a_table_is_a_formula(tmp_path: Path) -> None:
    """A spreadsheet computes what begins with these signs. ``./`` before it is the same path, which
    the overrides take too."""
    names = [f"{sign}cmd|calc!A0.png" for sign in SIGNS]
    rows = [dict.fromkeys(CSV_COLUMNS, 0) | {"path": n, "nearest": n} for n in [*names, "a.png"]]
    write_decisions_csv(pd.DataFrame(rows), tmp_path / "decisions.csv")
    with (tmp_path / "decisions.csv").open(newline="") as file:
        found = pd.DataFrame(list(csv.DictReader(file)))
    for column in ("path", "nearest"):
        assert found[column].tolist() == [*(f"./{name}" for name in names), "a.png"]
    (tmp_path / "overrides.csv").write_text(f"{found.path[0]},drop,seen\n")
    wishes = match(read_overrides(tmp_path / "overrides.csv"), names, [None] * len(names))
    assert list(wishes.files) == [0] and not wishes.idle


def test_a_hostile_breed_reaches_no_folder(workspace: Workspace) -> None:
    for name in ("../evil", "a/b", "\x1b[31m", "..", "a\0"):
        workspace.breeds.write_text(f"{name!r}: dog\n".replace("'", '"'))
        from pipeline.scraping.breeds import load_breeds

        with pytest.raises(PipelineError):
            load_breeds(workspace.breeds)
