"""What a repository holds in the end: the results to the bit, MLflow's rows, and nothing else."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clone import Project

from pipeline.knobs import parse_yaml

RESULTS = ("data", "models", "reports")
# Names what differs between any two runs: MLflow's random ids, commits that hold their own time.
OF_ITS_OWN = {"models/run.json"}
_IDS = re.compile(rb"\b([0-9a-f]{40}|[0-9a-f]{32}|[0-9a-f]{7})\b")
# How long an evaluation took: one that is killed at its end and made again took two times.
_TIMES = re.compile(r"eval/(seconds/.*|images_per_second)")
_SCRAPS = re.compile(r"\.(tmp|part|new|partial|lock-journal|sqlite-journal)$|~$")


def results(project: Project) -> dict[str, str]:
    """sha256 of every file of the results by its path; without the ids in the page."""
    found = {}
    for folder in RESULTS:
        for path in sorted((project.root / folder).rglob("*")):
            name = path.relative_to(project.root).as_posix()
            if path.is_file() and name not in OF_ITS_OWN:
                data = path.read_bytes()
                if name == "reports/index.html":
                    data = _IDS.sub(b"id", data)
                found[name] = hashlib.sha256(data).hexdigest()
    return found


def recorded(project: Project) -> dict[str, str]:
    """The md5 of every out in dvc.lock that depends on params and data alone."""
    stages = parse_yaml((project.root / "dvc.lock").read_text(), "dvc.lock")["stages"]
    outs = {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}
    return {path: md5 for path, md5 in outs.items() if path not in ("models", "reports/index.html")}


def damaged_objects(project: Project) -> list[str]:
    """Files of DVC's cache whose content is not what their name says."""
    bad = []
    cache = project.root / ".dvc" / "cache" / "files" / "md5"
    for path in cache.rglob("*"):
        if path.is_file():
            digest = path.parent.name + path.name.removesuffix(".dir")
            if hashlib.md5(path.read_bytes()).hexdigest() != digest:
                bad.append(str(path.relative_to(cache)))
    return bad


def litter(project: Project, scratch: Path) -> list[str]:
    """Files that no undisturbed run leaves: scraps by their names, work of the dead, copies."""
    found = [*_scraps(project.root), *_scraps(scratch / "tmp")]
    work = project.root / ".cache"
    for pattern in (
        "train/*",
        "spool/*",
        "scrape/browsers/*",
        "scrape/store/.*",
        "scrape/.partial/*",
    ):
        found += [str(path) for path in work.glob(pattern)]
    experiments = project.root / ".dvc" / "tmp" / "exps"
    found += [str(path) for path in experiments.glob("tmp*")]
    found += [str(path) for path in experiments.glob("standalone/*")]
    # torch's own cache of compiled code, and of everything else a program leaves in TMPDIR nothing.
    lost = [path for path in (scratch / "tmp").iterdir() if "torchinductor" not in path.name]
    return sorted({*found, *map(str, lost)})


def _scraps(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if _SCRAPS.search(path.name) and "torchinductor" not in str(path):
            yield str(path)


def doubled(project: Project) -> list[str]:
    """What MLflow holds twice: steps of a metric, checkpoints, versions of one model."""
    client, found = project.client, []
    for run in project.runs():
        for key in (key for key in run.data.metrics if not _TIMES.fullmatch(key)):
            history = client.get_metric_history(run.info.run_id, key)
            steps = Counter(entry.step for entry in history)
            found += [f"{key} at {step}: {n} times" for step, n in steps.items() if n > 1]
        outputs = run.outputs.model_outputs if run.outputs else []
        kinds = Counter((client.get_logged_model(one.model_id).name, one.step) for one in outputs)
        found += [f"{name} at {step}: {n} times" for (name, step), n in kinds.items() if n > 1]
    versions = client.search_model_versions("name = 'dogs'")
    sums = Counter(version.tags.get("weights_sha256") for version in versions)
    return found + [f"version of {sha}: {n} times" for sha, n in sums.items() if n > 1]


def curve(project: Project, run: Any) -> list[int]:
    history = project.client.get_metric_history(run.info.run_id, "train/loss")
    return [entry.step for entry in history]
