"""A real PostgreSQL from Debian's packages for a while, on a socket in a folder of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "postgresql"
USER = "nobody"  # PostgreSQL refuses to run as root


def programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``: Debian keeps it out of PATH."""
    found = shutil.which("postgres")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").is_file()), None)


def missing() -> str:
    """Why no server can run here, "" if one can."""
    if programs() is None:
        return f"needs Debian's package {PACKAGE}"
    if importlib.util.find_spec("psycopg2") is None:
        return "needs psycopg2: pip install '.[server]'"
    return ""


class Postgres:
    """One cluster in ``folder``, which ``USER`` must be able to reach. No port is opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        place = programs()
        assert place is not None, missing()
        self.place = place
        self.process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        # As fast as can be: what a kill -9 of the server may cost is still what it is.
        self._run("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", "mlflow", "--no-sync")

    @property
    def uri(self) -> str:
        return f"postgresql+psycopg2://mlflow@/mlflow?host={self.folder}"

    def start(self) -> None:
        """Returns once it answers, after the recovery that a kill made needful."""
        command = [self._path("postgres"), "-D", str(self.folder / "data")]
        command += ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self.folder}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, **as_user()
            )
        end = time.monotonic() + 120
        while self._sql("SELECT 1").returncode:
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.1)
        if self._sql("SELECT 1", "mlflow").returncode:
            assert self._sql("CREATE DATABASE mlflow").returncode == 0

    @property
    def log(self) -> Path:
        return self.folder / "postgres.log"

    def kill(self) -> None:
        """``kill -9`` for the server and all it has forked, as a power cut would."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            for child in self._forked():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _forked(self) -> list[int]:
        """Every process in the data folder: each of PostgreSQL's own makes itself a session."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and (entry / "cwd").readlink() == self.folder / "data":
                    found.append(int(entry.name))
        return found

    def _path(self, program: str) -> str:
        return str(self.place / program)

    def _run(self, program: str, *arguments: str) -> None:
        command = [self._path(program), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **as_user())

    def _sql(self, statement: str, base: str = "postgres") -> subprocess.CompletedProcess[str]:
        command = [self._path("psql"), "-h", str(self.folder), "-U", "mlflow", "-d", base]
        return subprocess.run(
            [*command, "-Atc", statement], capture_output=True, text=True, check=False
        )


def as_user() -> dict[str, object]:
    """For ``subprocess``: an unprivileged user, where this is root."""
    if os.geteuid() != 0:
        return {}
    return {"user": USER, "group": "nogroup", "extra_groups": []}


@contextlib.contextmanager
def running() -> Iterator[Postgres]:
    """A fresh, empty cluster while the block lasts."""
    # Not pytest's folder: only root may enter that, and a socket's path is 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        server = Postgres(Path(name))
        try:
            server.start()
            yield server
        finally:
            server.kill()
