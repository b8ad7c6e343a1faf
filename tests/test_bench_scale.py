"""What bench/scale.py says of a command, held against commands whose use is known."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import scale
from scale_parts import pictures

# As a pool's fork server does: the child outlives its parent, which never waits for it.
ORPHAN = """
import os, time
if os.fork():
    os._exit(3)
held = bytearray(b"x" * 150_000_000)
while time.process_time() < 1.0:
    pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_orphans_of_a_command_are_counted_and_its_exit_code_is_kept(tmp_path):
    out = tmp_path / "used.json"
    command = [sys.executable, scale.USAGE, out, sys.executable, "-c", ORPHAN]
    assert subprocess.run(command, timeout=120).returncode == 3
    used = json.loads(out.read_text())
    assert used["cpu"] >= 0.99 and used["peak"] > 150


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_of_all_processes_adds_up(tmp_path):
    out = tmp_path / "used.json"
    hold = "held = bytearray(b'x' * 100_000_000); import time; time.sleep(3)"
    both = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {hold!r}]); {hold}"
    command = [sys.executable, scale.USAGE, out, sys.executable, "-c", both]
    assert subprocess.run(command, timeout=120).returncode == 0
    assert json.loads(out.read_text())["peak"] > 200


def test_pictures_are_distinct_equally_many_a_breed_and_drawn_once(tmp_path):
    breeds = ["beagle", "poodle"]
    pictures.draw(tmp_path / "all", breeds, 8, 48)
    first = {path: path.stat().st_ino for path in pictures.files(tmp_path / "all")}
    assert len({path.read_bytes() for path in first}) == 8
    pictures.draw(tmp_path / "all", breeds, 12, 48)
    later = {path: path.stat().st_ino for path in pictures.files(tmp_path / "all")}
    assert len(later) == 12 and first.items() <= later.items()
    pictures.some(tmp_path / "all", tmp_path / "some", breeds, 4)
    assert {path.parent.name for path in pictures.files(tmp_path / "some")} == set(breeds)
    assert len(list(pictures.files(tmp_path / "some"))) == 4
    assert pictures.disk(tmp_path) == pictures.disk(tmp_path / "all")  # links count once


def test_the_report_says_how_each_stage_grew_and_which_pictures_were_imported():
    def known(size: int, source: str) -> dict[str, object]:
        used = {"seconds": size / 10, "cpu": size / 100, "user": 1.0, "peak": 50.0, "own": 40.0}
        rows = {stage: {"stage": used, "dvc": used} for stage in scale.STAGES}
        rows |= {} if source == "import" else {scale.IMPORT: {"stage": used, "dvc": used}}
        turns = {f"nothing to do, {turn + 1}": used | {"seconds": 1.0 + turn} for turn in range(3)}
        return rows | turns | {
            "source": source, "nothing to do, cold": used, "disk": {"gigabytes": 1.0},
        }  # fmt: skip

    found = {1_000: known(1_000, "gallery"), 14_000: known(14_000, "import")}
    lines = scale.stages(found).lines
    assert "| dedupe | 14,000 | 1400.0 | 140.0 | 10.00 | 50 | 14.0 | 14.0 | 1.0 |" in lines
    assert [line.split(" | ")[1] for line in lines if line.startswith("| scrape |")] == ["1,000"]
    imported = [line for line in lines if line.startswith("| scrape, import |")]
    assert [line.split(" | ")[1] for line in imported] == ["1,000", "14,000"]
    assert scale.nothing(found).demands == [
        ("`dvc repro` with nothing to do at 14,000 pictures: under 5 s", "2.00", True)
    ]
    assert scale.around(found).lines
