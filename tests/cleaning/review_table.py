"""Decisions about thousands of files, made up: what the page needs, without decoding a picture."""

from __future__ import annotations

import hashlib
import io
from functools import cache

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.cleaning.collages import Judged
from pipeline.cleaning.decide import Cleaned
from pipeline.cleaning.duplicates import Pairs
from pipeline.cleaning.overrides import Override
from pipeline.params import QUALITIES, DedupeParams

# A file name may be any text but a slash; each of these once broke some page or some table.
HOSTILE = (
    "<img src=x onerror=alert(1)>.jpg",
    "<_script><script>alert(2)<!--.jpg",
    "</script><script>alert(3)//.jpg",
    '"><svg onload=alert(4)>.jpg',
    "a, \"b\" 'c'.jpg",
    "line\nbreak.jpg",
    "next\x85line\u2028.jpg",
    "  blanks  .jpg ",
    "{{ 7 * 7 }}{% raw %}.jpg",
    "\u202egpj.exe",
    "naïve ünï [x]#?&%41.jpg",
)


def thumb(seed: int) -> bytes:
    """A JPEG of about 5 KB, and a few bytes after its end that make it unlike every other."""
    return _picture(seed % 40) + seed.to_bytes(4, "big")


@cache
def _picture(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    grain = rng.integers(0, 24, (108, 144, 3), dtype=np.uint8)
    out = io.BytesIO()
    pixels = np.asarray(coarse.resize((144, 108), Image.Resampling.BICUBIC)) // 2 + grain + 40
    Image.fromarray(pixels.astype(np.uint8)).save(out, "JPEG", quality=70)
    return out.getvalue()


def decisions(count: int, breeds: int = 120, seed: int = 0) -> pd.DataFrame:
    """``count`` files: two thirds kept, the rest dropped for every reason, in about ``count // 9``
    clusters; a few hostile names; 20 pictures cut out of collages."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(count):
        breed = f"breed_{k * breeds // count:03d}"
        rows.append(_row(f"{breed}/{k:05d}.jpg", str(k)))
    for k, name in enumerate(HOSTILE):
        rows[40 * k + 3] = _row(f"{rows[40 * k + 3]['breed']}/{name}", f"hostile {k}")
    for number, first in enumerate(range(0, count - 8, 9)):
        _cluster(rows, first, number, rng, count)
    kinds = ["collage", "corrupt", "override", *QUALITIES]
    for number, k in enumerate(range(8, count, 9)):
        _faulty(rows[k], kinds[number % len(kinds)], rng, dropped=number // len(kinds) % 3 > 0)
    collages = [row for row in rows if row["reason"] == "collage"][:10]
    for row in collages:
        for cell, box in enumerate(("0.00 0.00 0.50 1.00", "0.50 0.00 1.00 1.00")):
            name = f"cells/{row['breed']}/{row['sha256'][:16]}-{cell}.png"
            part = {"part_of": row["path"], "box": box, "breed": row["breed"]}
            rows.append(_row(name, name) | part)
    return pd.DataFrame(rows).sort_values("path", ignore_index=True)


def _row(path: str, content: str) -> dict:
    row = {
        "path": path,
        "breed": path.split("/")[0],
        "sha256": hashlib.sha256(content.encode()).hexdigest(),
        "keep": True,
        "reason": "kept",
        "cluster": -1,
        "linked": -1,
        "group": -1,
        "nearest": None,
        "distance": None,
        "correlation": np.nan,
        "width": 500,
        "height": 375,
        "format": "jpg",
        "detail": "",
        "conflict": False,
        "std": 40.0,
        "collage": 0.05,
        "part_of": None,
        "box": None,
    }
    return row | {f"{q}_score": 0.1 for q in QUALITIES} | {f"is_{q}": False for q in QUALITIES}


def _cluster(rows: list[dict], first: int, number: int, rng: np.random.Generator, count: int):
    """Of nine files the first two to five are one picture; now and then one has another label."""
    size = 2 + number % 4
    head = rows[first]
    members = rows[first : first + size]
    if number % 50 == 7:
        members[-1] = rows[(first + count // 2) % (count - 9) // 9 * 9 + 6]
    for at, row in enumerate(members):
        row["cluster"] = row["linked"] = row["group"] = number
        if at:
            same = number % 5 == 0
            bits, alike = (0, 1.0) if same else (2 * (at % 5), round(rng.uniform(0.85, 1), 4))
            row |= {"keep": False, "nearest": head["path"], "distance": bits, "correlation": alike}
            row["reason"] = "exact_duplicate" if same else "near_duplicate"
            if same:
                row |= {"sha256": head["sha256"], "detail": f"same bytes as {head['path']}"}
            else:
                row["detail"] = f"{bits} bits, correlation {alike:.2f} (mirrored); what stays is"
                row["detail"] += " more like the other copies"
    if len({row["breed"] for row in members}) > 1:
        for row in members:
            row["conflict"] = True


def _faulty(row: dict, kind: str, rng: np.random.Generator, dropped: bool) -> None:
    score = round(rng.uniform(0.5, 1), 3)
    if kind in QUALITIES:
        row |= {f"{kind}_score": score, f"is_{kind}": True}
        if not dropped:
            return
    row |= {"keep": False, "reason": kind, "detail": f"{kind} for a reason"}
    if kind == "collage":
        row["collage"] = score
    if kind == "corrupt":
        row |= {"width": pd.NA, "height": pd.NA, "format": None, "detail": "truncated jpg"}
    if kind == "override":
        row |= {"keep": dropped, "detail": "seen"}


def cleaned(count: int) -> Cleaned:
    """What ``clean`` would have given for such decisions."""
    table = decisions(count)
    integers = {"distance": "Int64", "width": "Int64", "height": "Int64"}
    table = table.astype(integers)
    contents = table.drop_duplicates("sha256").set_index("sha256")
    rng = np.random.default_rng(1)
    size = 2 * 32 * 32 + 64 * 64
    greys = rng.integers(0, 256, (len(contents), size), dtype=np.uint8)
    corrupt = (contents["reason"] == "corrupt").to_numpy()
    join = np.array([[1, 0.5, 0.9], [0, 0.33, 0.8]], np.float32).tobytes()
    measured = pd.DataFrame(
        {
            "fault": np.where(corrupt, "truncated jpg", None),
            "greys": [b"" if bad else g.tobytes() for g, bad in zip(greys, corrupt, strict=True)],
            "seams": [join if r == "collage" else b"" for r in contents["reason"]],
            "thumb": [b"" if bad else thumb(k) for k, bad in enumerate(corrupt)],
        },
        index=contents.index,
    )
    pairs = _pairs(table, contents.index)
    idle = [Override("gone <b>.jpg", True, "because", 7)]
    judged = Judged(np.zeros(len(contents)), 0.97, 0.71, 0.01)
    return Cleaned(table, measured, idle, DedupeParams(), judged, pairs)


def _pairs(table: pd.DataFrame, shas: pd.Index) -> Pairs:
    place = {sha: k for k, sha in enumerate(shas)}
    head = dict(zip(table["path"], table["sha256"], strict=True))
    some = table[table["reason"] == "near_duplicate"]
    i = np.array([place[head[name]] for name in some["nearest"]], np.int64)
    j = np.array([place[sha] for sha in some["sha256"]], np.int64)
    return Pairs(
        np.minimum(i, j),
        np.maximum(i, j),
        some["distance"].to_numpy(np.int64),
        some["correlation"].to_numpy(float),
        np.full(len(some), "mirror", object),
    )
