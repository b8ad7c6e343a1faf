"""The doctor on DVC: its notes, its queue, its cache."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

from pipeline.errors import ParamsError
from pipeline.findings import Finding, bad, few, ok, warn
from pipeline.knobs import read_document
from pipeline.workspace import Workspace


def check_notes(workspace: Workspace, fix: bool) -> Finding:
    """Can DVC read what it wrote? Killed while it writes a note, it leaves a part of it, and no
    ``dvc repro`` starts again."""
    locks = workspace.shared / ".dvc" / "tmp" / "rwlock"
    results = workspace.here / "dvc.lock"
    said = _dvc_says(workspace.here)
    broken = [locks] * (not _is_json(locks)) + [results] * (results.name in said)
    if not broken:
        return bad(said, "git checkout dvc.yaml .dvc") if said else ok("readable")
    text = f"cut short: {few([path.name for path in broken])}"
    if not fix:
        return bad(text, "pipeline doctor --fix, then `dvc repro`")
    if _dvc_works(workspace.shared):
        return bad(f"{text}; DVC is at work here", "when it has ended: pipeline doctor --fix")
    if locks in broken:
        locks.unlink()  # it names processes that hold an out, and none is left
    if results in broken:
        # Not removed: it may be a merge that is not settled.
        workspace.cache.mkdir(exist_ok=True)
        results.replace(workspace.cache / "dvc.lock.broken")
        text += ", which is now .cache/dvc.lock.broken"
    return ok(f"mended: {text}; `dvc repro` finds the results again in its cache")


def _is_json(path: Path) -> bool:
    try:
        return not path.exists() or isinstance(json.loads(path.read_bytes()), dict)
    except ValueError:
        return False


def _dvc_says(root: Path) -> str:
    """Why it cannot read the pipeline, in one line; nothing if it can."""
    from pipeline import dvc_cache

    done = dvc_cache.ask(root, "stage", "list", "--fail")
    return " ".join(done.stderr.split()) if done.returncode else ""


def params_missing(workspace: Workspace) -> list[str]:
    """Groups of params.yaml that stages of dvc.yaml depend on and DVC would not find."""
    try:
        stages = read_document(workspace.here / "dvc.yaml")["stages"].values()
        listed = [name for stage in stages for name in stage.get("params", [])]
    except (ParamsError, LookupError, AttributeError, TypeError):
        return []  # ``check_notes`` lets DVC say what is wrong with its file
    names = {name for name in listed if isinstance(name, str)}  # others are of other files
    return sorted(names - read_document(workspace.params).keys())


def check_queue(workspace: Workspace, _fix: bool) -> Finding:
    """Does DVC wait for experiments that were killed?"""
    from pipeline.queued import killed

    found = list(killed(workspace))
    if not found:
        return ok("none")
    names = few([experiment.name for experiment in found])
    return warn(
        f"Running for DVC, but their process is gone: {names}",
        "; ".join(experiment.again for experiment in found),
    )


def check_copies(workspace: Workspace, fix: bool) -> Finding:
    """Checkouts that DVC made for queued or ``--temp`` experiments and, killed, did not remove."""
    folder = workspace.shared / ".dvc" / "tmp" / "exps"
    copies = sorted([*folder.glob("tmp*"), *folder.glob("standalone/tmp*")])
    if not copies:
        return ok("none left behind")
    if _dvc_works(workspace.shared):
        return ok(f"{len(copies)}, and DVC is at work here")
    text = f"a killed DVC left {few([copy.name for copy in copies])} in {folder}"
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


def check_objects(workspace: Workspace, fix: bool) -> Finding:
    """Is every object in DVC's cache what its name says? DVC itself does not look."""
    from pipeline import dvc_cache

    cache = dvc_cache.cache_folder(workspace)
    found = dvc_cache.damaged(workspace, cache)
    if not found:
        return ok(f"{len(dvc_cache.objects(cache)):,} objects are sound")
    names = few([str(item) for item in found])
    if fix:
        for item in found:
            item.path.unlink()
        return warn(f"dropped, for they were damaged: {names}", "`dvc repro` makes them again")
    return bad(
        f"damaged in {cache}: {names}",
        "pipeline doctor --deep --fix, then `dvc repro` or `dvc pull`",
    )
