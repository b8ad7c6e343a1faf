"""Time, CPU time and memory of each stage, and of `dvc repro` with nothing to do, as data grows.

    python bench/scale.py [--sizes 1000,14000,100000] [--picture-px 112] [--work .cache/scale]

Without --sizes: 1,000 pictures, a few minutes, printed only. With all three sizes, about 40 minutes
on two cores and 10 GB of disk; the report goes, dated, to bench/results/. Interrupted, the same
command goes on with the first step that is not measured. Clones the last commit; needs no network.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reporting.parts import Part, processor, report, show, versions
from scale_parts import pictures

from pipeline.knobs import flatten, set_in_text
from pipeline.scraping.breeds import load_breeds
from pipeline.workspace import write_json

ROOT = Path(__file__).resolve().parent.parent
USAGE = Path(__file__).resolve().parent / "scale_parts" / "usage.py"
STAGES = ("scrape", "dedupe", "resize", "train", "evaluate")
IMPORT = "scrape, import"  # in the report: data/raw from a folder, not from the gallery
BREEDS = 20
DEMANDED, LIMIT = 14_000, 5.0  # pictures, seconds of a `dvc repro` with nothing to do
NOTHING = 3  # times that is measured
PACKAGES = ("dvc", "mlflow", "torch", "numpy", "pandas", "pillow", "selenium")
PARAMS: dict[str, Any] = {
    "scrape.breeds": BREEDS,
    "scrape.connections": 16,
    "scrape.per_host": 16,
    "dedupe.workers": 0,
    "resize.size": 64,
    "resize.held_out": 0.1,
    "resize.workers": 0,
    "train.net.attention": [8],
    "train.images": 160,
    "train.checkpoint_every": 80,
    "train.sample_every": 80,
    "evaluate.samples": 200,
    "evaluate.batch_size": 32,
}

Used = dict[str, float]
"""Of a command: seconds, cpu and user (CPU seconds), peak and own (MB); see usage.py."""


def main() -> None:
    options = arguments()
    commit = subprocess.check_output(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, text=True
    ).strip()
    started, busy = time.perf_counter(), os.getloadavg()[0]
    breeds = [breed.name for breed in load_breeds(ROOT / "breeds.yaml")][:BREEDS]
    options.work.mkdir(parents=True, exist_ok=True)
    found = {}
    for size in options.sizes:
        one = Size(size, options, breeds, commit)
        one.work()
        found[size] = one.known
        if options.tidy:
            one.remove()
    setting = (
        f"{processor()}, {os.cpu_count()} cores, {versions(PACKAGES)}. Commit {commit}; drawn "
        f"pictures of {options.px} pixels, {BREEDS} breeds, {PARAMS['resize.size']} pixels in the "
        f"data set. Load average before: {busy:.1f}. Took {time.perf_counter() - started:.0f} s"
        f"{' (what an earlier call had measured is not in it)' * one.resumed}."
    )
    parts = [stages(found), around(found), nothing(found)]
    machine = re.sub(r"[^a-z0-9]+", "-", processor().lower()).strip("-")[:24].strip("-")
    show(report("Growth", setting, parts), f"scale-{machine}", keep=not options.quick)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--sizes", help="numbers of pictures, rising, with commas; default: 1000, printed only")
    add("--picture-px", dest="px", type=int, default=112, help="longer side of a picture")
    add("--work", type=Path, default=ROOT / ".cache" / "scale", help="where clones and state lie")
    add("--import-from", type=int, default=50_000, help="pictures from which on data/raw comes "
        "from a folder of class folders and not through the browser from the gallery")  # fmt: skip
    add("--keep", dest="tidy", action="store_false", help="keep clones that are measured")
    options = parser.parse_args()
    options.quick = options.sizes is None
    options.sizes = sorted({int(size) for size in (options.sizes or "1000").split(",")})
    if any(size < BREEDS * 10 or size % BREEDS for size in options.sizes):
        parser.error(f"--sizes: multiples of {BREEDS} from {BREEDS * 10} on")
    options.work = options.work.resolve()
    return options


# --------------------------------------------------------------------------- measuring


class Size:
    """One number of pictures: its clone, and what is measured so far."""

    def __init__(
        self, count: int, options: argparse.Namespace, breeds: list[str], commit: str
    ) -> None:
        self.count, self.options, self.breeds = count, options, breeds
        self.folder = options.work / f"{commit}-{options.px}" / f"{count}"
        self.clone, self.state = self.folder / "clone", self.folder / "used.json"
        self.known: dict[str, Any] = {}
        if self.state.is_file():
            self.known = json.loads(self.state.read_text())
        self.resumed = bool(self.known)
        self.source = "import" if count >= options.import_from else "gallery"

    def work(self) -> None:
        if "disk" in self.known:
            return
        self.prepare()
        self.step("source", lambda: self.source)
        if self.source == "gallery":  # else the stage itself imports
            self.step(IMPORT, self.imported)
        for stage in STAGES:
            self.step(stage, lambda stage=stage: self.stage(stage))
        for turn in range(NOTHING):
            self.step(f"nothing to do, {turn + 1}", self.nothing_to_do)
        self.step("nothing to do, cold", lambda: self.nothing_to_do(cold=True))
        self.step("disk", lambda: {"gigabytes": pictures.disk(self.folder)})

    def step(self, name: str, measure: Callable[[], Any]) -> None:
        """Measure, remember and tell, unless it is known."""
        if name not in self.known:
            print(f"-- {self.count:,} pictures: {name}", flush=True)
            self.known[name] = measure()
            write_json(self.state, self.known)
            print(f"-- {self.count:,} pictures: {name}: {told(self.known[name])}", flush=True)

    def remove(self) -> None:
        """The clone and the folder of links; what was measured stays."""
        shutil.rmtree(self.clone, ignore_errors=True)
        shutil.rmtree(self.folder / "pictures", ignore_errors=True)

    def prepare(self) -> None:
        if "scrape" in self.known and self.clone.is_dir():
            return
        pool = self.options.work / f"pictures-{self.options.px}"
        print(f"-- {self.count:,} pictures: drawing those that are missing", flush=True)
        pictures.draw(pool, self.breeds, self.count, self.options.px)
        pictures.some(pool, self.folder / "pictures", self.breeds, self.count)
        self.known = {}
        self.new_clone(self.clone, self.source)

    def new_clone(self, place: Path, source: str) -> None:
        shutil.rmtree(place, ignore_errors=True)
        command = ["git", "clone", "-q", str(ROOT), str(place)]
        subprocess.run(command, check=True)
        own = {"scrape.sources.gallery": self.count // BREEDS}
        folder = str(self.folder / "pictures")
        own |= (
            {"scrape.import_path": folder}
            if source == "import"
            else {"scrape.gallery.images": folder}
        )
        text = (ROOT / "presets" / "tiny.yaml").read_text()
        (place / "params.yaml").write_text(set_in_text(text, PARAMS | own))

    def imported(self) -> dict[str, Used]:
        """The scrape stage from the folder, in a clone of its own."""
        place = self.folder / "import"
        self.new_clone(place, "import")
        try:
            return self.stage("scrape", place)
        finally:
            shutil.rmtree(place)

    def stage(self, name: str, place: Path | None = None) -> dict[str, Used]:
        """`dvc repro` of one stage: what the stage itself used, and DVC around it."""
        inner, shims = self.folder / "inner.json", self.folder / "bin"
        shims.mkdir(parents=True, exist_ok=True)
        shim = shims / "python"  # what DVC's shell finds where dvc.yaml says python
        shim.write_text(f'#!/bin/sh\nexec {sys.executable} {USAGE} {inner} {sys.executable} "$@"\n')
        shim.chmod(0o755)
        inner.unlink(missing_ok=True)
        whole = self.dvc(place or self.clone, shims, "repro", "-s", name)
        stage: Used = json.loads(inner.read_text())
        rest = {key: whole[key] - stage[key] for key in ("seconds", "cpu")}
        return {"stage": stage, "dvc": rest | {"cpu": rest["cpu"] - stage["watching"],
                                               "own": whole["own"]}}  # fmt: skip

    def nothing_to_do(self, cold: bool = False) -> Used:
        if cold:
            forget(self.clone)
        return self.dvc(self.clone, None, "repro")

    def dvc(self, place: Path, shims: Path | None, *arguments: str) -> Used:
        out = self.folder / "outer.json"
        first = [] if shims is None else [str(shims)]
        path = os.pathsep.join([*first, str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        environment |= {
            "PATH": path,
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.folder / "dvc-site"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        command = [sys.executable, str(USAGE), str(out), sys.executable, "-m", "dvc", *arguments]
        with (self.folder / "output.log").open("a") as log:
            done = subprocess.run(command, cwd=place, env=environment, stdout=log, stderr=log)
        if done.returncode:
            sys.exit(f"dvc {' '.join(arguments)} failed: see {self.folder / 'output.log'}")
        return json.loads(out.read_text())


def forget(folder: Path) -> None:
    """Ask the kernel to drop the content of a folder's files from its memory (not their names)."""
    os.sync()
    for path in pictures.files(folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def told(used: Any) -> str:
    if not isinstance(used, dict):
        return str(used)
    return ", ".join(f"{key} {value:.1f}" for key, value in flatten(used).items())


# --------------------------------------------------------------------------- report


def stages(found: dict[int, dict[str, Any]]) -> Part:
    """A row for each stage and size, and how it grew from the size before."""
    rows = []
    for name in (IMPORT, *STAGES):
        before: tuple[int, Used] | None = None
        for size, used in measured(found, name):
            growth = ""
            if before is not None:
                factors = [used[key] / before[1][key] for key in ("cpu", "peak")]
                growth = f"{size / before[0]:.1f} | " + " | ".join(f"{f:.1f}" for f in factors)
            rows.append(
                f"| {name} | {size:,} | {used['seconds']:.1f} | {used['cpu']:.1f} | "
                f"{1e3 * used['cpu'] / size:.2f} | {used['peak']:,.0f} | {growth or '| |'} |"
            )
            before = (size, used)
    lines = [
        "## The stages",
        "",
        "scrape: the embedded gallery serves the pictures to a real browser and to the downloads "
        "(its server's time is in it); import: data/raw is made of a folder of class folders. "
        "CPU: of all processes of the stage. Peak: the most memory that they had at once, shared "
        "pages counted once, files that are mapped included. Training runs a fixed number of "
        "steps and evaluation draws a fixed number of samples, so that what grows there is the "
        "data. The last columns: times as many pictures, CPU and memory as the row above.",
        "",
        "| stage | pictures | s | CPU, s | CPU, ms a picture | peak, MB | pictures × | CPU × | "
        "memory × |",
        "|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]
    return Part(lines, [])


def measured(found: dict[int, dict[str, Any]], name: str) -> list[tuple[int, Used]]:
    """A stage by size. Scraping from the gallery and importing are two things."""
    rows = []
    for size, known in found.items():
        key = "scrape" if name == IMPORT and known["source"] == "import" else name
        if name != "scrape" or known["source"] == "gallery":
            rows.append((size, known[key]["stage"]))
    return rows


def around(found: dict[int, dict[str, Any]]) -> Part:
    rows = [
        f"| {name} | {size:,} | {used['seconds']:.1f} | {used['cpu']:.1f} | {used['own']:,.0f} |"
        for name in STAGES
        for size, known in found.items()
        for used in [known[name]["dvc"]]
    ]
    lines = [
        "## DVC around them",
        "",
        "What `dvc repro -s STAGE` adds: its start, the states of deps, the hashes of outs, and "
        "their copies in the cache. Memory: of DVC's own process.",
        "",
        "| stage | pictures | s | CPU, s | memory, MB |",
        "|---|---|---|---|---|",
        *rows,
        "",
        "Disk, with DVC's cache, the store of scraping and the state of cleaning: "
        + "; ".join(f"{size:,} pictures {known['disk']['gigabytes']:.2f} GB"
                    for size, known in found.items()) + ".",
        "",
    ]  # fmt: skip
    return Part(lines, [])


def nothing(found: dict[int, dict[str, Any]]) -> Part:
    rows, demands = [], []
    for size, known in found.items():
        warm = [known[f"nothing to do, {turn + 1}"] for turn in range(NOTHING)]
        cold = known["nothing to do, cold"]
        seconds, cpu, user = (
            statistics.median(one[key] for one in warm) for key in ("seconds", "cpu", "user")
        )
        rows.append(
            f"| {size:,} | {seconds:.2f} | {cpu:.2f} | {user:.2f} | {cold['seconds']:.2f} | "
            f"{cold['cpu']:.2f} | {warm[0]['own']:,.0f} |"
        )
        if size == DEMANDED:
            what = f"`dvc repro` with nothing to do at {size:,} pictures: under {LIMIT:.0f} s"
            demands.append((what, f"{seconds:.2f}", seconds < LIMIT))
    lines = [
        "## Nothing to do",
        "",
        f"`dvc repro` when nothing changed, all five stages: medians of {NOTHING}. Cold: after the "
        "kernel was asked to drop the content of all files of the clone.",
        "",
        "| pictures | s | CPU, s | user CPU, s | cold, s | cold CPU, s | memory, MB |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]
    return Part(lines, demands)


if __name__ == "__main__":
    main()
