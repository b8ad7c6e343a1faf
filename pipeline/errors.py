"""The one kind of error a user sees: a line that says what is wrong, where, and what to do."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}
# What the machine refuses, and no code can help. Any other OSError is a fault of the program.
_REFUSALS = _FULL | _FORBIDDEN | {errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE}
_LONGEST = 4_000  # characters of a message: what it quotes may be of any length


class PipelineError(Exception):
    """Something the user can mend. Its text is printed as one line; no traceback follows."""

    exit_code = 1


class ParamsError(PipelineError):
    """A parameter, option or file that was given is not acceptable. Nothing was touched."""

    exit_code = 2


class Interrupted(PipelineError):
    """A signal stopped the work after its state was saved.

    The exit code is the shell's convention (130 for SIGINT, 143 for SIGTERM): with a non-zero exit
    DVC does not record a half-made result as done.
    """

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


def run_cleanly(main: Callable[[], None]) -> None:
    """Run ``main`` and leave the process with one line and the right exit code on failure."""
    # In a log file too, lines then come in the order in which they were said.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    # Without a handler SIGTERM would skip every `finally`: browsers would stay, runs stay RUNNING.
    signal.signal(signal.SIGTERM, _raise_interrupted)
    try:
        main()
    except PipelineError as error:
        fail(str(error), error.exit_code)
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        fail(refused(error), 1)
    except KeyboardInterrupt:
        fail("stopped by Ctrl-C", 130)


def refused(error: OSError) -> str:
    """What the disk refused, in one line: where, why, and what to do."""
    where = os.fsdecode(error.filename) if error.filename else "a file"
    why = error.strerror or str(error)
    if error.errno in _FULL:
        return (
            f"{where}: cannot be written ({why}, {_room(Path(where))}): make room, as "
            "`dvc gc -w` does, and run the same command again"
        )
    if error.errno in _FORBIDDEN:
        return (
            f"{where}: cannot be written or read ({why}): give this user the right to it and run "
            "the same command again"
        )
    if error.errno == errno.EFBIG:
        return (
            f"{where}: cannot be written ({why}): see `ulimit -f`, then run the same command again"
        )
    return f"{where}: cannot be written or read ({why})"


def _room(path: Path) -> str:
    """What is left where ``path`` is, or would be."""
    place = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    return f"{shutil.disk_usage(place).free / 1e6:.1f} MB free"


def fail(message: str, exit_code: int) -> None:
    """Print ``message`` as one line on standard error and exit."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is leaving already
    sys.stdout.flush()
    line = printable(" ".join(message.split()))
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}"
    print(f"error: {line}", file=sys.stderr)
    sys.exit(exit_code)


def printable(text: str) -> str:
    """``text`` without what would steer a terminal: file names, sites and models of others speak.

    Control characters, escape sequences and marks of writing direction become U+FFFD; the breaks
    between lines stay.
    """
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _raise_interrupted(signum: int, _frame: FrameType | None) -> None:
    raise Interrupted(signum, f"stopped by {signal.Signals(signum).name}")
