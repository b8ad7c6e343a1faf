"""A real MLflow server for a while."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from types import TracebackType

from pipeline.tracking_store import artifacts, database, ui_command, ui_environment
from pipeline.workspace import Workspace


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """``mlflow server`` on the workspace's own SQLite file, answering while the block lasts."""

    def __init__(self, workspace: Workspace, port: int) -> None:
        self.port = port
        self.command = ui_command(workspace, port)
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
