"""Every kind of hostile picture ends as it must, alone and in a folder judged by the command."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import REPOSITORY
from PIL import Image, ImageDraw

from pipeline.images import PictureError, read_picture

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from hostile_pictures import kinds
from hostile_pictures.folder import NAMES, make_hostile, make_named

MOST_MEMORY = 500 << 20  # bytes a process may hold; the worst file would take four times as much


class Drawn:
    """Shapes on soft light with some grain; every seed other ones."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def open(self) -> Image.Image:
        rng = np.random.default_rng(self.seed)
        light = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
        image = light.resize((240, 180), Image.Resampling.BICUBIC)
        draw = ImageDraw.Draw(image)
        for x, y in rng.uniform(0, 200, (12, 2)):
            a, b = rng.uniform(6, 40, 2)
            draw.ellipse((x - a, y - b, x + a, y + b), fill=tuple(rng.integers(0, 256, 3).tolist()))
        grain = rng.normal(0, 6, (180, 240, 1))
        return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::Warning:PIL.Image")
@pytest.mark.parametrize("kind", kinds.ALL, ids=lambda kind: kind.name)
def test_a_hostile_picture_is_refused_in_words_or_seen(kind: kinds.Kind) -> None:
    image = Drawn(1).open()
    data = kind.make(image, random.Random(0))
    if kind.expect != kinds.CORRUPT:
        seen = read_picture(data)
        if kind.expect == kinds.TWIN:
            assert seen.image.size == image.size
            assert np.abs(small(seen.image) - small(kind.seen(image))).mean() < 6
        return
    said = set()
    for draft in (None, 64):
        with pytest.raises(PictureError) as caught:
            read_picture(data, draft=draft)
        said.add(str(caught.value))
    (words,) = said
    assert any(each in words for each in kind.words.split("|")), words
    assert words.isprintable() and " 0x" not in words, "the same bytes give the same words"


def small(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L").resize((32, 32)), float)


def test_the_command_names_every_hostile_file_in_bounded_memory(tmp_path: Path) -> None:
    cases = make_hostile([Drawn(seed) for seed in range(80)], tmp_path / "pictures", each=1)
    make_named(Drawn(1000).open(), tmp_path / "pictures" / "named")
    table, said, peak = dedupe(tmp_path)
    truth = {name for case in cases for name in (case.path, case.twin) if name}
    named = table[table["path"].str.startswith("named/")]
    rest = table.drop(named.index).set_index("path")
    assert set(rest.index) == truth and rest.index.is_unique
    wrong = [f"{case.path}: {dict(rest.loc[case.path])}" for case in cases if not right(case, rest)]
    assert not wrong
    assert len(named) == len(NAMES) and named["cluster"].nunique() == 1
    assert set(named["path"]) == {shown(name) for name in NAMES}
    assert sorted(named["reason"]) == ["exact_duplicate"] * (len(NAMES) - 1) + ["kept"]
    kept = int(table["keep"].sum())
    assert f"{kept} of {len(table)} files kept" in said
    assert 100 << 20 < peak < MOST_MEMORY, f"{peak >> 20} MiB"


def right(case: object, table: pd.DataFrame) -> bool:
    row = table.loc[case.path]
    if case.expect != kinds.TWIN:
        return bool(row["reason"] == case.expect)
    return bool(row["cluster"] >= 0 and row["cluster"] == table.loc[case.twin, "cluster"])


def shown(name: bytes) -> str:
    return "named/" + name.decode("utf-8", "backslashreplace")


def dedupe(place: Path) -> tuple[pd.DataFrame, str, int]:
    """The table, what was said, and the most memory that one process of the command held."""
    (place / "dvc.yaml").touch()
    (place / "params.yaml").write_text("dedupe:\n  collage: keep\n  workers: 2\n")
    command = [sys.executable, "-m", "pipeline.cli", "dedupe", "--input", "pictures"]
    process = subprocess.Popen(
        [*command, "--output", "decisions.csv"],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with watched(process.pid) as peak:
        out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert "Warning" not in err and "Traceback" not in err, err
    table = pd.read_csv(place / "decisions.csv", keep_default_na=False, na_values=[""])
    return table, out, max(peak)


@contextlib.contextmanager
def watched(session: int) -> Iterator[list[int]]:
    """The peak memory, in bytes, of the processes of a session, as long as they live."""
    peak, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.03):
            for folder in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError, ProcessLookupError, IndexError):
                    if os.getsid(int(folder.name)) == session:
                        high = (folder / "status").read_text().split("VmHWM:")[1].split()[0]
                        peak.append(int(high) << 10)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()
