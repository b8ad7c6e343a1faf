"""A folder of every kind of hostile file, and what must be said of each."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from hostile_pictures import kinds
from hostile_pictures.kinds import CORRUPT, TWIN, Kind
from hostile_pictures.raw import encode

_SPARSE = 513 << 20  # bytes that a file says it has; it holds a few
# Every one names the same whole picture; bytes, because some are no text.
NAMES = (
    b"two\nlines.jpg",
    b"carriage\rreturn.jpg",
    b'quote " comma , semicolon ;.jpg',
    b"=HYPERLINK(1).jpg",
    b"-rf.jpg",
    b"*?[a-z]{1,2}.jpg",
    b"dots..jpg.",
    b" blanks .jpg ",
    b"tab\t.jpg",
    b"<img src=x onerror=alert(1)>.jpg",
    "собака-犬-🐕.jpg".encode(),
    "cafe\u0301.jpg".encode(),
    "caf\u00e9.jpg".encode(),
    "left\u202egpj.exe".encode(),
    b"\xff\xfe no text.jpg",
    b"\x1b[31mred\x07.jpg",
    b"long" * 62 + b".jpg",
)


class Opened(Protocol):
    """A picture that is read when it is needed."""

    def open(self) -> Image.Image: ...


@dataclass(frozen=True)
class Case:
    """One file. ``expect``: the reason it must be dropped for, or ``TWIN``; ``words``: what the
    row's detail must say (one of those between bars); ``twin``: the file it is a copy of."""

    path: str
    kind: str
    expect: str
    words: str
    twin: str = ""


def make_hostile(photos: Sequence[Opened], folder: Path, each: int) -> list[Case]:
    """Write every kind ``each`` times, of other photos, and the pictures they are copies of.

    Fewer photos than kinds serve more than one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cases: list[Case] = []
    for number in range(each):
        rng = random.Random(f"hostile {number}")
        order, left = rng.sample(photos, len(photos)), []
        for kind in kinds.ALL:
            left = left or list(order)
            cases.append(_write(kind, left.pop().open(), folder, f"{number} {kind.name}", rng))
    return cases + _not_files(folder)


def _write(kind: Kind, image: Image.Image, folder: Path, name: str, rng: random.Random) -> Case:
    path = f"{name}.{kind.suffix}" if kind.suffix else name
    (folder / path).write_bytes(kind.make(image, rng))
    twin = ""
    if kind.expect == TWIN:
        twin = f"{name} (twin).jpg"
        (folder / twin).write_bytes(encode(kind.seen(image), "JPEG", 92))
    return Case(path, kind.name, kind.expect, kind.words, twin)


def _not_files(folder: Path) -> list[Case]:
    """What no program should open: links, a pipe that would block for ever, devices, …"""
    (folder / "link.jpg").symlink_to("/etc/passwd")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "nowhere.jpg").symlink_to("not there")
    (folder / "zeros.jpg").symlink_to("/dev/zero")
    (folder / "up").symlink_to("..")
    os.mkfifo(folder / "pipe.jpg")
    os.mknod(folder / "socket.jpg", stat.S_IFSOCK | 0o600)
    with (folder / "sparse.jpg").open("wb") as file:
        file.write(b"\xff\xd8\xff\xe0")
        file.truncate(_SPARSE)
    return [
        Case("link.jpg", "link out of the folder", CORRUPT, "link"),
        Case("loop.jpg", "link to itself", CORRUPT, "link"),
        Case("nowhere.jpg", "link to nothing", CORRUPT, "link"),
        Case("zeros.jpg", "link to a device", CORRUPT, "link"),
        Case("up", "link to the folder above", CORRUPT, "link"),
        Case("pipe.jpg", "named pipe", CORRUPT, "regular"),
        Case("socket.jpg", "socket", CORRUPT, "regular"),
        Case("sparse.jpg", "513 MiB in 4 bytes", CORRUPT, "over 512 mib"),
    ]


def make_named(image: Image.Image, folder: Path) -> None:
    """One picture under every one of ``NAMES``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (folder / os.fsdecode(name)).write_bytes(encode(image, "JPEG", 92))
