"""Is this machine ready? Each check looks at one thing and says how to mend it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from pipeline import params as schema
from pipeline.errors import PipelineError
from pipeline.workspace import Workspace

OLDEST_PYTHON = (3, 11)
LOW_DISK_GB, BAD_DISK_GB = 10, 1
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DRIVER = "chromedriver"


@dataclass(frozen=True)
class Finding:
    """What a check found: ``ok``, ``warn`` (works, but) or ``bad`` (will not work)."""

    subject: str
    level: str
    text: str
    mend: str = ""


def examine(workspace: Workspace, fix: bool = False, deep: bool = False) -> Iterator[Finding]:
    """Every finding, in order. ``fix`` mends the store after a move, ends runs of the dead,
    removes what they left and drops damaged objects; ``deep`` reads DVC's whole cache for these."""
    for subject, check in (CHECKS | DEEP if deep else CHECKS).items():
        try:
            found = check(workspace, fix)
        except PipelineError as error:
            found = Finding("", "bad", str(error))
        yield Finding(subject, found.level, found.text, found.mend)


def ok(text: str) -> Finding:
    return Finding("", "ok", text)


def warn(text: str, mend: str) -> Finding:
    return Finding("", "warn", text, mend)


def bad(text: str, mend: str) -> Finding:
    return Finding("", "bad", text, mend)


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
        return bad(f"missing: {_few(missing)}", "pip install -r requirements.lock")
    if other:
        return warn(f"not as locked: {_few(other)}", "pip install -r requirements.lock")
    return ok("as in requirements.lock")


def _few(names: list[str], most: int = 4) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


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
        return ok(f"mended: moved here from {_few(places)}")
    return bad(f"the store still points to {_few(places)}", "pipeline doctor --fix")


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
        return ok(f"marked KILLED: {_few(found)}")
    return warn(f"RUNNING, but their process is gone: {_few(found)}", "pipeline doctor --fix")


def check_queue(workspace: Workspace, _fix: bool) -> Finding:
    """Does DVC wait for experiments that were killed?"""
    from pipeline.queued import killed

    found = list(killed(workspace))
    if not found:
        return ok("none")
    names = _few([experiment.name for experiment in found])
    return warn(
        f"Running for DVC, but their process is gone: {names}",
        "; ".join(experiment.again for experiment in found),
    )


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
    return warn(f"not in MLflow yet: {_few([path.name for path in waiting])}", "pipeline deliver")


def check_copies(workspace: Workspace, fix: bool) -> Finding:
    """Checkouts that DVC made for queued or ``--temp`` experiments and, killed, did not remove."""
    folder = workspace.shared / ".dvc" / "tmp" / "exps"
    copies = sorted([*folder.glob("tmp*"), *folder.glob("standalone/tmp*")])
    if not copies:
        return ok("none left behind")
    if _dvc_works(workspace.shared):
        return ok(f"{len(copies)}, and DVC is at work here")
    text = f"a killed DVC left {_few([copy.name for copy in copies])} in {folder}"
    if not fix:
        return warn(text, "pipeline doctor --fix")
    for copy in copies:
        shutil.rmtree(copy, ignore_errors=True)
    return ok(f"mended: {text}")


def _dvc_works(root: Path) -> bool:
    """Whether a process runs DVC, or a stage, in or below ``root``."""
    import psutil  # which comes with DVC

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            words = process.cmdline()
            dvc = any(Path(word).name == "dvc" for word in words[:3]) or "stages." in str(words[:3])
            if dvc and Path(process.cwd()).is_relative_to(root):
                return True
    return False


def check_disk(workspace: Workspace, _fix: bool) -> Finding:
    free = shutil.disk_usage(workspace.shared).free / 1e9
    text = f"{free:.0f} GB free at {workspace.shared}"
    if free < BAD_DISK_GB:
        return bad(text, "make room: `dvc gc -w` drops what no stage uses now")
    if free < LOW_DISK_GB:
        return warn(text, "`dvc gc -w` drops what no stage uses now")
    return ok(text)


def check_objects(workspace: Workspace, fix: bool) -> Finding:
    """Is every object in DVC's cache what its name says? DVC itself does not look."""
    from pipeline import dvc_cache

    cache = dvc_cache.cache_folder(workspace)
    found = dvc_cache.damaged(workspace, cache)
    if not found:
        return ok(f"{len(dvc_cache.objects(cache)):,} objects are sound")
    names = _few([str(item) for item in found])
    if fix:
        for item in found:
            item.path.unlink()
        return warn(f"dropped, for they were damaged: {names}", "`dvc repro` makes them again")
    return bad(
        f"damaged in {cache}: {names}",
        "pipeline doctor --deep --fix, then `dvc repro` or `dvc pull`",
    )


CHECKS: dict[str, Callable[[Workspace, bool], Finding]] = {
    "Python": check_python,
    "packages": check_packages,
    "torch": check_torch,
    "GPU": check_gpu,
    "browser": check_browser,
    "git": check_git,
    "DVC": check_dvc,
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
