"""A real MLflow server for a while."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from pipeline.tracking_store import artifacts, database, ui_command, ui_environment
from pipeline.workspace import Workspace

PAGE = Path(__file__).parents[1] / "docs/scaling.md"


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """``mlflow server`` on the workspace's own SQLite file, answering while the block lasts.

    Args:
        command: another one, that listens on ``port``.
    """

    def __init__(self, workspace: Workspace, port: int, command: list[str] | None = None) -> None:
        self.port = port
        self.command = command or ui_command(workspace, port)
        if command is None:
            self.command[self.command.index("--backend-store-uri") + 1] = (
                f"sqlite:///{database(workspace)}"
            )
        self.log = artifacts(workspace).parent / "server.log"

    def __enter__(self) -> Server:
        environment = ui_environment()
        environment.pop("MLFLOW_TRACKING_URI", None)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + 120
        while not self._answers():
            assert time.monotonic() < end and self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)
        return self

    def _answers(self) -> bool:
        with contextlib.closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def documented(database: str, files: Path, port: int) -> list[str]:
    """The command of docs/scaling.md, with this machine's address, port, database and folder."""
    text = PAGE.read_text("utf-8").replace("\\\n", " ")
    [line] = re.findall(r"^mlflow server .*$", text, re.MULTILINE)
    here = {
        "--host": "127.0.0.1",
        "--port": str(port),
        "--allowed-hosts": f"127.0.0.1:{port}",
        "--backend-store-uri": database,
        "--artifacts-destination": str(files),
    }
    words = shlex.split(line)
    for option, value in here.items():
        words[words.index(option) + 1] = value
    return [sys.executable, "-m", *words]
