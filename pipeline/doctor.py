"""Is this machine ready? Each check looks at one thing and says how to mend it."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from pipeline import params as schema
from pipeline.doctor_dvc import (
    check_copies,
    check_notes,
    check_objects,
    check_queue,
    params_missing,
)
from pipeline.errors import PipelineError
from pipeline.findings import Finding, bad, few, ok, warn
from pipeline.workspace import Workspace

OLDEST_PYTHON = (3, 11)
LOW_DISK_GB, BAD_DISK_GB = 10, 1
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DRIVER = "chromedriver"


def examine(workspace: Workspace, fix: bool = False, deep: bool = False) -> Iterator[Finding]:
    """Every finding, in order. ``fix`` mends the store after a move, ends runs of the dead,
    removes what they left and drops damaged notes and objects; ``deep`` reads DVC's whole cache for
    the latter."""
    for subject, check in (CHECKS | DEEP if deep else CHECKS).items():
        try:
            found = check(workspace, fix)
        except PipelineError as error:
            found = Finding("", "bad", str(error))
        yield Finding(subject, found.level, found.text, found.mend)


# --------------------------------------------------------------------------- Python and packages


def check_python(_workspace: Workspace, _fix: bool) -> Finding:
    version = platform.python_version()
    if sys.version_info[:2] < OLDEST_PYTHON:
        return bad(version, "install Python 3.11 or newer, then `make setup`")
    inside = sys.prefix != sys.base_prefix
    text = f"{version} at {sys.executable}"
    return ok(text) if inside else warn(f"{text}, no virtual environment", "run `make setup`")


def check_packages(workspace: Workspace, _fix: bool) -> Finding:
    """The lock against what is installed."""
    lock = workspace.here / "requirements.lock"
    if not lock.is_file():
        return warn("no requirements.lock to compare with", "restore it: git checkout .")
    other, missing = [], []
    for line in lock.read_text(encoding="utf-8").splitlines():
        name, _, version = line.partition("==")
        if not version:
            continue
        try:
            have = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if have.partition("+")[0] != version:
            other.append(f"{name} {have} (locked {version})")
    if missing:
        return bad(f"missing: {few(missing)}", "pip install -r requirements.lock")
    if other:
        return warn(f"not as locked: {few(other)}", "pip install -r requirements.lock")
    return ok("as in requirements.lock")


def check_torch(_workspace: Workspace, _fix: bool) -> Finding:
    mend = "pip install -r requirements.lock (torch and torchvision must come from one build)"
    try:
        torch = _import("torch")
    except (ImportError, OSError) as error:
        return bad(f"torch does not import: {_line(error)}", mend)
    try:
        _import("torchvision")
    except ImportError as error:
        return bad(f"torchvision does not import: {_line(error)}", mend)
    except RuntimeError as error:
        # A torchvision built for CUDA beside a CPU-only torch: pip sees no conflict in it.
        return bad(f"torch {torch.__version__} and torchvision do not fit: {_line(error)}", mend)
    return ok(f"torch {torch.__version__}, torchvision {sys.modules['torchvision'].__version__}")


def check_gpu(_workspace: Workspace, _fix: bool) -> Finding:
    try:
        torch = _import("torch")
    except (ImportError, OSError):
        return warn("not looked at: no torch", "see torch")
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name(0)
        free, total = (value / 2**30 for value in torch.cuda.mem_get_info(0))
        return ok(f"{torch.cuda.device_count()} x {name}, {free:.0f} of {total:.0f} GB free")
    if torch.backends.mps.is_available():
        return ok("Apple GPU (mps)")
    if shutil.which("nvidia-smi"):
        return warn(
            "there is an NVIDIA driver, but torch does not see the GPU",
            "compare `nvidia-smi` with torch.version.cuda: the driver may be too old for it",
        )
    return ok(f"none: training runs on the CPU ({torch.get_num_threads()} threads)")


def _import(name: str) -> ModuleType:
    return importlib.import_module(name)


# --------------------------------------------------------------------------- programs


def check_browser(_workspace: Workspace, _fix: bool) -> Finding:
    mend = "apt-get install chromium chromium-driver (both from one source)"
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    driver = shutil.which(DRIVER)
    if browser is None:
        return bad("no Chromium or Chrome found: `scrape` needs one", mend)
    if driver is None:
        return bad(f"{browser}, but no {DRIVER}", mend)
    versions = [_version(browser), _version(driver)]
    if not all(versions):
        broken = browser if not versions[0] else driver
        return bad(f"{broken} --version says no version: it does not start", mend)
    if versions[0].partition(".")[0] != versions[1].partition(".")[0]:
        return bad(f"browser {versions[0]} and driver {versions[1]} do not match", mend)
    return ok(f"{browser} {versions[0]}, {DRIVER} {versions[1]}")


def check_git(workspace: Workspace, _fix: bool) -> Finding:
    version = _version("git")
    if not version:
        return bad("not found", "apt-get install git")
    if not (workspace.here / ".git").exists():
        return warn(f"{version}; {workspace.here} is no repository", "git init && git add -A")
    if _run("git", "-C", str(workspace.here), "rev-parse", "HEAD")[0]:
        return warn(f"{version}; no commit yet", "git commit: `dvc exp run` needs one")
    return ok(version)


def check_dvc(workspace: Workspace, _fix: bool) -> Finding:
    code, text = _run(sys.executable, "-m", "dvc", "--version")
    if code:
        return bad(f"does not start: {text}", "pip install -r requirements.lock")
    if not (workspace.here / ".dvc").is_dir():
        return bad(f"{text}; no .dvc folder here", "git checkout .dvc")
    python = shutil.which("python")
    if python is None or Path(python).parent.resolve() != Path(sys.executable).parent.resolve():
        return warn(
            f"{text}; its stages would run {python or 'no python at all'}",
            f"put {Path(sys.executable).parent} first in PATH (activate the environment)",
        )
    return ok(text)


def _version(program: str) -> str:
    found = re.search(r"\d+(\.\d+)+", _run(program, "--version")[1])
    return found.group() if found else ""


def _run(*command: str) -> tuple[int, str]:
    """Exit code and first line of what a program prints; (127, reason) if it does not start."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, _line(error)
    text = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return done.returncode, text[0] if text else ""


def _line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__


# --------------------------------------------------------------------------- files and MLflow


def check_params(workspace: Workspace, _fix: bool) -> Finding:
    try:
        schema.load(workspace.params)
    except PipelineError as error:
        return bad(str(error), "`pipeline params` lists what is allowed")
    if missing := params_missing(workspace):
        # The pipeline has a default for each; DVC wants to see what its stages depend on.
        return bad(f"no {few(missing)}, which dvc.yaml names", "git checkout params.yaml")
    return ok("every value is allowed")


def check_moved(workspace: Workspace, fix: bool) -> Finding:
    """Artifact locations are absolute in MLflow: did the repository move?"""
    from pipeline import tracking_store as store

    if not store.is_own_store(workspace):
        return ok("kept by the tracking server")
    try:
        places = store.relocate(workspace) if fix else store.moved_from(workspace)
    except sqlite3.Error as error:
        return bad(f"{store.database(workspace)}: {_line(error)}", _SET_ASIDE)
    if not places:
        return ok("inside this repository")
    if fix:
        return ok(f"mended: moved here from {few(places)}")
    return bad(f"the store still points to {few(places)}", "pipeline doctor --fix")


_SERVER = "start that server, or unset MLFLOW_TRACKING_URI; until then runs wait in .cache/spool"
_SET_ASIDE = "move mlruns/mlflow.db aside: the next run makes a new one (DVC keeps the results)"


def check_store(workspace: Workspace, _fix: bool) -> Finding:
    from pipeline import tracking_store as store

    if store.is_own_store(workspace) and not store.database(workspace).is_file():
        return ok("none yet: the first training makes it")
    try:
        runs = store.last_runs(workspace, 1000)
    except ImportError as error:
        return warn(f"MLflow does not import: {_line(error)}", "pip install -r requirements.lock")
    except Exception as error:  # whatever a broken file or an absent server raises
        mend = _SET_ASIDE if store.is_own_store(workspace) else _SERVER
        return bad(f"{store.store_uri(workspace)}: {_line(error)}", mend)
    return ok(f"{store.store_uri(workspace)}, {len(runs)} runs")


def check_zombies(workspace: Workspace, fix: bool) -> Finding:
    from pipeline import tracking_store as store

    if store.is_own_store(workspace) and not store.database(workspace).is_file():
        return ok("none")
    try:
        found = store.zombies(workspace, end=fix)
    except Exception as error:  # check_store has said what is wrong with it
        return warn(f"not looked at: {_line(error)}", "see MLflow store")
    if not found:
        return ok("none")
    if fix:
        return ok(f"marked KILLED: {few(found)}")
    return warn(f"RUNNING, but their process is gone: {few(found)}", "pipeline doctor --fix")


def check_spool(workspace: Workspace, _fix: bool) -> Finding:
    """Do runs wait here that MLflow has not got?"""
    from pipeline import spool

    waiting = [
        path
        for path in spool.spools(spool.home(workspace))
        if not spool.is_delivered(path) and not spool.is_written(path)
    ]
    if not waiting:
        return ok("every run is delivered")
    return warn(f"not in MLflow yet: {few([path.name for path in waiting])}", "pipeline deliver")


def check_disk(workspace: Workspace, _fix: bool) -> Finding:
    free = shutil.disk_usage(workspace.shared).free / 1e9
    text = f"{free:.0f} GB free at {workspace.shared}"
    if free < BAD_DISK_GB:
        return bad(text, "make room: `dvc gc -w` drops what no stage uses now")
    if free < LOW_DISK_GB:
        return warn(text, "`dvc gc -w` drops what no stage uses now")
    return ok(text)


CHECKS: dict[str, Callable[[Workspace, bool], Finding]] = {
    "Python": check_python,
    "packages": check_packages,
    "torch": check_torch,
    "GPU": check_gpu,
    "browser": check_browser,
    "git": check_git,
    "DVC": check_dvc,
    "DVC's notes": check_notes,
    "params.yaml": check_params,
    "artifacts": check_moved,
    "MLflow store": check_store,
    "dead runs": check_zombies,
    "dead queue": check_queue,
    "spool": check_spool,
    "experiments": check_copies,
    "disk": check_disk,
}
# What takes as long as reading everything.
DEEP = {"DVC cache": check_objects}
