"""For tests of crashes: a ``sitecustomize`` that makes the decoder fall over marked pictures.

With its folder on PYTHONPATH it works in every process that is started, whoever starts it. Bytes
after the end of a JPEG are the marks. Each decode is also written to a log, one line each:
the name of the machine, if it has one, and the sha256 of the file.
"""

from __future__ import annotations

import os
from pathlib import Path

CRASH = b"-crash"
HANG = b"-hang"
FELL = b"-fell the machine"

_CODE = """
import hashlib, os, signal, time
from pathlib import Path
from PIL import Image

open_ = Image.open

def opened(file, *arguments, **options):
    data = file.getvalue()
    name = os.environ.get("TRIPWIRE_NAME", "")
    log = os.open(os.environ["TRIPWIRE_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"{name} {hashlib.sha256(data).hexdigest()}\\n".encode())
    os.close(log)
    time.sleep(float(os.environ.get("TRIPWIRE_SLOW", "0")))
    if data.endswith(b"-fell the machine") and name:
        server = Path(f"/proc/{os.getppid()}/stat").read_text()
        os.kill(int(server.rpartition(")")[2].split()[1]), signal.SIGKILL)
        time.sleep(5)
    if data.endswith((b"-crash", b"-fell the machine")):
        os.kill(os.getpid(), signal.SIGSEGV)
    if data.endswith(b"-hang"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        while True:
            pass
    return open_(file, *arguments, **options)

Image.open = opened
"""


def set_up(folder: Path, **settings: object) -> dict[str, str]:
    """The environment of processes in which it works; its log is ``folder/log``."""
    (folder / "trip").mkdir(exist_ok=True)
    (folder / "trip" / "sitecustomize.py").write_text(_CODE)
    here = Path(__file__).parents[2]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder / "trip"), str(here)]),
        "TRIPWIRE_LOG": str(folder / "log"),
        **{f"TRIPWIRE_{name.upper()}": str(value) for name, value in settings.items()},
    }


def decodes(folder: Path, name: str | None = None) -> list[str]:
    """The sha256 of what was decoded so far, in order; on one machine or on all."""
    log = folder / "log"
    lines = [line.split(" ") for line in log.read_text().splitlines()] if log.exists() else []
    return [sha for machine, sha in lines if name in (None, machine)]
