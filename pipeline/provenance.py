"""Where a run comes from: commit, DVC experiment, process."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from pathlib import Path

from pipeline.workspace import Workspace, git_state

PROCESS_TAG = "pipeline.process"
# What DVC itself rewrites in an experiment; the run records these values. Dirty means: other code.
NOT_CODE = ("params.yaml", "dvc.lock", "reports")


def run_name(workspace: Workspace) -> str:
    """The DVC experiment's name, or ``workspace-<commit>``."""
    commit = git_state(workspace.here).commit
    return os.environ.get("DVC_EXP_NAME") or (f"workspace-{commit[:7]}" if commit else "workspace")


def origin(workspace: Workspace, stage: str) -> dict[str, str]:
    """Tags that tie the run to code and experiment."""
    git = git_state(workspace.here, ignoring=NOT_CODE)
    found = {
        "git.commit": git.commit,
        "git.dirty": str(git.dirty).lower() if git.commit else None,
        f"{stage or 'run'}.git.commit": git.commit,
        "dvc.exp": os.environ.get("DVC_EXP_NAME"),
        "dvc.baseline": os.environ.get("DVC_EXP_BASELINE_REV"),
        "dvc.stage": stage,
        "mlflow.source.git.commit": git.commit,  # shown by the UI as a chip
        "mlflow.source.name": f"stages/{stage}.py" if stage else Path(sys.argv[0]).name,
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _user(),
    }
    return {key: value for key, value in found.items() if value}


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return None


def this_process() -> str:
    """Host, process id and start of this process: a later one may get the same id."""
    return f"{socket.gethostname()} {os.getpid()} {_started(os.getpid())}"


def _started(pid: int) -> str:
    """Clock tick at which ``pid`` started, or '' where there is no /proc or no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_dead(process: str) -> bool:
    """Whether the process of a ``PROCESS_TAG`` is certainly gone (False on another host)."""
    host, _, rest = process.partition(" ")
    pid, _, started = rest.partition(" ")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return bool(started) and _started(int(pid)) != started
