"""What the logs of a search say, as a page for bench/results/."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from reporting.parts import Part, processor, versions
from reporting.parts import report as page

from fuzzing.doors import MOST_PIXELS

LEAST = 3600  # seconds a target has to be searched
PATIENCE = 20  # seconds of a core that an input may take
MEMORY = 512 << 20  # bytes it may take, with the program
NOTES = (
    "Edges are those of `pipeline` and Pillow's Python; the decoders in C are not seen into: a",
    "crash or a hang in them would be found, but nothing leads there. What each target promises",
    "stands in `bench/fuzzing/doors.py`. The memory is the search's own as well, which grows with",
    "what it has seen. Inputs that the search, on the busy machine, reported as slow or large and",
)


@dataclass
class Found:
    """What one target's logs say, summed over its processes; ``cov`` counts edges of Python that
    were reached and ``features`` edges with how often."""

    name: str
    inputs: int = 0
    seconds: int = 0
    seeds: int = 0
    first: int = 0
    cov: int = 0
    features: int = 0
    corpus: int = 0
    memory: int = 0
    findings: int = 0
    alone: int = 0  # reported by the search, and nothing wrong with them alone


def report(folder: Path, targets: list[str]) -> str:
    found = [_read(folder / name) for name in targets]
    setting = (
        f"{processor()}, {os.cpu_count()} cores shared with other work; "
        f"{versions(['atheris', 'pillow', 'numpy', 'scipy'])}. Pictures of up to "
        f"{MOST_PIXELS:,} pixels; each process may hold 1 GiB."
    )
    alone = sum(each.alone for each in found)
    lines = [
        "| target | inputs | seconds | an input, ms | corpus: from, to | edges: seeds, end | "
        "features | MiB at most | findings |",
        "|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {each.name} | {each.inputs:,} | {each.seconds:,} | "
            f"{1000 * each.seconds / max(each.inputs, 1):.0f} | {each.seeds}, {each.corpus} | "
            f"{each.first:,}, {each.cov:,} | {each.features:,} | {each.memory} | {each.findings} |"
            for each in found
        ),
        "",
        *NOTES,
        f"that hold every promise alone, in {PATIENCE} s and {MEMORY >> 20} MiB: {alone}.",
        "",
    ]
    demands = [
        (f"{each.name}: an hour without a finding", f"{each.seconds:,} s, {each.findings} findings",
         each.seconds >= LEAST and not each.findings)
        for each in found
    ]  # fmt: skip
    return page("Fuzzing of decode and hash", setting, [Part(lines, demands)])


def _read(place: Path) -> Found:
    found = Found(place.name)
    found.seeds = len(list((place / "corpus").glob("seed-*")))
    reported = [path for path in (place / "findings").iterdir() if path.name[:5] != "slow-"]
    found.findings = sum(not _holds(place.name, path) for path in reported)
    found.alone = len(reported) - found.findings
    began = max(path.stat().st_mtime for path in (place / "corpus").glob("seed-*"))
    for log in sorted((place / "logs").iterdir()):
        text = log.read_text(errors="replace")
        steps = re.findall(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+).*rss: (\d+)Mb", text)
        if not steps:
            continue
        first, last = (tuple(map(int, step)) for step in (steps[0], steps[-1]))
        found.first = found.first or first[1]
        found.cov, found.features, found.corpus = last[1:4]
        done = re.search(r"Done (\d+) runs in (\d+) second", text)
        found.inputs += int(done[1]) if done else last[0]
        found.seconds += int(log.stat().st_mtime - began)
        began = log.stat().st_mtime
        found.memory = max(found.memory, *(int(step[4]) for step in steps))
    return found


def _holds(name: str, path: Path) -> bool:
    """Whether a reported input does hold the promises, in a process and with time of its own."""
    code = (
        "import resource, sys; from pathlib import Path; from fuzzing.doors import TARGETS; "
        f"resource.setrlimit(resource.RLIMIT_CPU, ({PATIENCE}, {PATIENCE})); "
        f"resource.setrlimit(resource.RLIMIT_DATA, ({MEMORY}, {MEMORY})); "
        "TARGETS[sys.argv[1]](Path(sys.argv[2]).read_bytes())"
    )
    paths = os.pathsep.join(sys.path[:2])
    command = [sys.executable, "-c", code, name, str(path)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True)
    return done.returncode == 0
