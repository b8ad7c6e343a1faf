"""How long the main job takes: every stage of `dvc repro` in a fresh clone, and the no-op after it.

    python bench/demo.py [--preset demo] [--schedule linear]

Prints a table and adds a dated file to bench/results/.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

STAGES = ("scrape", "dedupe", "resize", "train", "evaluate")
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--schedule", default="linear", choices=("linear", "cosine"))
    parser.add_argument("--keep", type=Path, help="copy data, models and reports to this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        call(["git", "clone", "-q", str(ROOT), str(clone)], ROOT)
        text = (clone / "presets" / f"{options.preset}.yaml").read_text()
        text = re.sub(r"(?m)^scheduler: .*$", f"scheduler: {options.schedule}", text)
        (clone / "params.yaml").write_text(text)
        seconds = {stage: timed(["dvc", "repro", "-s", stage], clone) for stage in STAGES}
        seconds["nothing to do"] = timed(["dvc", "repro"], clone)
        if options.keep:
            for name in ("data", "models", "reports"):
                shutil.copytree(clone / name, options.keep / name, dirs_exist_ok=True)
        report(options.preset, options.schedule, seconds, clone)


def timed(command: list[str], folder: Path) -> float:
    started = time.perf_counter()
    call(command, folder)
    return time.perf_counter() - started


def call(command: list[str], folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "DVC_NO_ANALYTICS": "1"}
    subprocess.run(command, cwd=folder, env=environment, check=True)


def report(preset: str, schedule: str, seconds: dict[str, float], clone: Path) -> None:
    import torch

    dropped = json.loads((clone / "reports" / "dedupe.json").read_text())
    lines = [
        f"# The {preset} preset, {schedule} schedule, {date.today()}",
        "",
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, torch {torch.__version__}; a fresh clone, "
        "`dvc repro` stage by stage.",
        "",
        "| stage | seconds |",
        "|---|---|",
        *(f"| {stage} | {value:.1f} |" for stage, value in seconds.items()),
        f"| all five | {sum(seconds[stage] for stage in STAGES):.1f} |",
        "",
        f"dedupe: {json.dumps(dropped)}",
        "",
    ]
    print("\n".join(lines))
    out = ROOT / "bench" / "results" / f"{date.today()}-{preset}-{schedule}.md"
    out.parent.mkdir(exist_ok=True)
    out.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
