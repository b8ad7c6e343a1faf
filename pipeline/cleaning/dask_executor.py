"""The shards of ``shards.measure_shard`` on a Dask cluster.

Files do not travel, tables do: every worker must see the pictures under the paths they have here,
and must run the same code and decoders, which each shard makes sure of. A shard whose worker died
is run again by the scheduler; one that keeps ending workers comes back and is halved until a single
picture is left. That is tried again alone, after all others, as the scheduler also blames what
merely waited for a worker that died; if it ends that worker too, it is given up.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import multiprocessing
import queue
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

import pipeline.images
from pipeline.cleaning import parts
from pipeline.cleaning.files import read_file
from pipeline.cleaning.measure import faulty
from pipeline.cleaning.shards import GIVEN_UP, Shard, measure_shard, recipe
from pipeline.errors import PipelineError
from pipeline.progress import bar
from pipeline.workspace import digest_of_files

SECONDS_TO_CONNECT = 15.0
SECONDS_WITHOUT_WORKERS = 60.0
_LEAST = 64  # files that are worth starting a process for
_KEPT = "shards that are done are kept: start again to go on"


def measure_on_dask(
    shard: Shard, size: int, address: str, keep: Callable[[pd.DataFrame], None]
) -> None:
    """``measure_shard`` for a large shard: ``keep`` is given the table of every piece of it.

    A piece has at most ``size`` files, and few enough that every worker gets some. Only the pieces
    in work, and some more that wait for a worker, are held at any time.

    Raises:
        PipelineError: there is no cluster to work with, or a worker must not be worked with.
    """
    with _connected(address) as client:
        threads = _wait_for_workers(client, address)
        size = min(size, max(_LEAST, len(shard) // (4 * threads)))
        waiting = list(reversed(shard.cut(size)))
        with bar(len(shard), "measure", "pictures") as shown:
            for piece, rows in _results(client, waiting):
                keep(rows)
                shown.update(len(piece))


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    """A client of the scheduler; leaving it takes back what was asked for."""
    try:
        from distributed import Client
    except ImportError:
        raise PipelineError(
            "executor dask needs the extra `scale`: pip install 'breed-diffusion[scale]'"
        ) from None
    # It logs tracebacks of its own beside what it raises.
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise PipelineError(
            f"dedupe.scheduler {address}: no Dask scheduler answers there "
            f"({type(error).__name__}): start one with `dask scheduler`, which prints its address"
        ) from None
    try:
        yield client
    finally:
        client.close(timeout=5)


def _wait_for_workers(client: Any, address: str) -> int:
    """How many threads the workers have, as soon as there are any."""
    end = time.monotonic() + SECONDS_WITHOUT_WORKERS
    while not (threads := _threads(client)):
        if time.monotonic() > end:
            raise PipelineError(
                f"the Dask scheduler {address} has had no workers for "
                f"{SECONDS_WITHOUT_WORKERS:.0f} s: start some with `dask worker {address}`"
            )
        time.sleep(0.2)
    return threads


def _results(client: Any, waiting: list[Shard]) -> Iterator[tuple[Shard, pd.DataFrame]]:
    """(shard, table) as they get done; ``waiting`` is worked off from its end."""
    from distributed import CancelledError, KilledWorker
    from distributed.comm import CommClosedError

    done: queue.SimpleQueue[Any] = queue.SimpleQueue()
    flying: dict[str, tuple[Any, Shard]] = {}
    suspects: list[Shard] = []
    alone = False
    started = 0
    while waiting or flying or suspects:
        if not (waiting or flying):
            waiting, alone = [suspects.pop()], True
        # As workers come and go, so does what is asked of them at once.
        window = 2 * _threads(client) + 2 if waiting else 0
        while waiting and len(flying) < window:
            shard = waiting.pop()
            started += 1
            # A result is never another run's: the key is new.
            key = f"measure-{client.id}-{started}"
            future = client.submit(_on_worker, shard, _expected(shard), key=key)
            flying[future.key] = future, shard
            future.add_done_callback(done.put)
        future, shard = flying.pop(_next(client, done).key)
        try:
            yield shard, parts.from_bytes(future.result())
        except KilledWorker:
            if len(shard) == 1 and alone:
                yield shard, parts.table([(shard.files[0][0], faulty(GIVEN_UP))])
            elif len(shard) == 1:
                suspects.append(shard)
            else:
                waiting += reversed(shard.cut(-(-len(shard) // 2)))
        except (CancelledError, CommClosedError):
            raise _lost(client) from None
        except (ImportError, RuntimeError) as error:
            # What a scheduler or worker says that cannot load the function it is sent.
            if isinstance(error, ImportError) or "deserialization" in str(error):
                raise PipelineError(
                    f"the Dask scheduler or a worker of {client.scheduler.address} cannot load the "
                    f"project: every machine needs it, at the same version"
                ) from None
            raise
        future.release()


def _next(client: Any, done: queue.SimpleQueue[Any]) -> Any:
    """The next future that is done, as long as there is somebody to do it."""
    while True:
        end = time.monotonic() + SECONDS_WITHOUT_WORKERS
        while time.monotonic() < end:
            try:
                return done.get(timeout=1.0)
            except queue.Empty:
                if client.status != "running":
                    raise _lost(client) from None
                if _threads(client):
                    break
        else:
            raise PipelineError(
                f"the Dask scheduler {client.scheduler.address} has had no workers for "
                f"{SECONDS_WITHOUT_WORKERS:.0f} s (they ended, or cannot load the project: their "
                f"logs say); {_KEPT}"
            )


def _threads(client: Any) -> int:
    """How many threads all workers have together."""
    try:
        return sum(client.nthreads().values())
    except OSError:
        raise _lost(client) from None


def _lost(client: Any) -> PipelineError:
    return PipelineError(f"the Dask scheduler {client.scheduler.address} is gone; {_KEPT}")


def _expected(shard: Shard) -> dict[str, Any]:
    return recipe(shard.max_pixels) | {"the project's code": _code()}


@functools.cache
def _code() -> str:
    """Digest of the code that measures, as it lies beside this file."""
    files = [*Path(__file__).parent.glob("*.py"), Path(pipeline.images.__file__)]
    return digest_of_files(files)[:12]


def _on_worker(shard: Shard, expected: dict[str, Any]) -> bytes:
    """``measure_shard`` as a parquet file, on a worker that was found fit for it.

    Raises:
        PipelineError: other versions than expected, or other files than named.
    """
    from distributed import get_worker

    name = f"Dask worker {get_worker().address} on {socket.gethostname()}"
    for what, here in _expected(shard).items():
        if here != expected[what]:
            raise PipelineError(
                f"{name}: {what} is {here}, but {expected[what]} where the run was started; "
                f"its results would differ: install the same versions (requirements.lock)"
            )
    for sha, path in shard.files:
        if fault := _unlike(sha, Path(path)):
            raise PipelineError(
                f"{name}: {path} {fault}: workers must see the pictures under the same path as "
                f"where the run was started (a shared file system); if it has only just changed, "
                f"start again"
            )
    # Processes that Dask's nanny starts may have no children, lest these outlive them. Those of
    # the pool end with their parent, however it ends.
    multiprocessing.current_process().daemon = False
    return parts.to_bytes(measure_shard(shard))


def _unlike(sha: str, path: Path) -> str | None:
    """What keeps the file from being the one that was hashed."""
    found = read_file(path.name, path)
    return found.fault if found.sha256 in (None, sha) else "has another content there"
