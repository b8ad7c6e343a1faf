"""Bytes that no camera wrote, for as long as asked: coverage-guided fuzzing of decode and hash.

    pip install -e '.[fuzz]'
    python bench/fuzzing/fuzz.py [--target decode measure] [--seconds 3700] [--folder DIR]
    python bench/fuzzing/fuzz.py --report [--folder DIR]

atheris changes the pictures of ``hostile_pictures`` (and what it made of them before: the corpus
stays in the folder) and keeps what reaches new lines of ``pipeline`` and Pillow. The targets and
what they promise are in ``doors.py``: a picture within its limits or a refusal in one line,
within ``--patience`` seconds and ``--megabytes`` of memory; all else is a finding, is kept in
DIR/<target>/findings, and the search goes on. The decoders themselves (libjpeg-turbo, zlib,
libwebp) are not instrumented: a crash or a hang in them is found, but nothing leads there.
``--report`` adds a dated file to bench/results/ from the logs in the folder.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]
_LONGEST_INPUT = 1 << 16  # bytes


def main() -> None:
    if "--worker" in sys.argv:
        work(*sys.argv[2:])
        return
    options = arguments()
    if options.report:
        from reporting.parts import show

        from fuzzing.report import report

        show(report(options.folder, options.target), "fuzzing", keep=True)
        return
    searches = [Search(name, options) for name in options.target]
    with contextlib.ExitStack() as stack:
        for search in searches:
            stack.callback(search.stop)
        while [search for search in searches if search.going()]:
            time.sleep(1)
    print(*(f"{each.name}: {each.found()} findings in {each.findings}" for each in searches))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--target", nargs="+", choices=("decode", "measure"))
    parser.add_argument("--seconds", type=int, default=3700, help="for each target")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "breed-fuzz"))
    parser.add_argument("--patience", type=int, default=60, help="seconds for one input")
    parser.add_argument("--megabytes", type=int, default=1024, help="memory of the process")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    options.target = options.target or ["decode", "measure"]
    return options


class Search:
    """One target's search: a process, started anew after each finding until the time is up."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.name, self.options = name, options
        place = options.folder / name
        self.corpus, self.findings = place / "corpus", place / "findings"
        self.logs = place / "logs"
        for folder in (self.corpus, self.findings, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self.ends = time.monotonic() + options.seconds
        self.process: subprocess.Popen[bytes] | None = None
        self._seed()

    def going(self) -> bool:
        """Whether it goes on; starts the process where it has to."""
        if self.process is not None and self.process.poll() is None:
            return True
        left = int(self.ends - time.monotonic())
        if left < 1 or (self.process is not None and self.process.returncode == 0):
            return False
        number = len(list(self.logs.iterdir()))
        with (self.logs / f"{number:04}.log").open("wb") as log:
            self.process = subprocess.Popen(self._command(left), stdout=log, stderr=log)
        return True

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()

    def found(self) -> int:
        """Slow ones are kept too, and are none: on a busy machine anything takes long."""
        return len([path for path in self.findings.iterdir() if path.name[:5] != "slow-"])

    def _seed(self) -> None:
        from hostile_pictures.kinds import small_pictures

        from fuzzing.mutate import WORDS

        for number, data in enumerate(small_pictures()):
            if len(data) <= _LONGEST_INPUT:
                (self.corpus / f"seed-{number:03}").write_bytes(data)
        quoted = ("".join(f"\\x{byte:02x}" for byte in word) for word in WORDS)
        (self.options.folder / "words.dict").write_text("".join(f'"{w}"\n' for w in quoted))

    def _command(self, seconds: int) -> list[str]:
        flags = [
            f"-max_total_time={seconds}",
            f"-timeout={self.options.patience}",
            f"-rss_limit_mb={self.options.megabytes}",
            f"-max_len={_LONGEST_INPUT}",
            f"-dict={self.options.folder / 'words.dict'}",
            f"-artifact_prefix={self.findings}/",
            "-print_final_stats=1",
        ]
        return [sys.executable, __file__, "--worker", self.name, *flags, str(self.corpus)]


def work(name: str, *flags: str) -> None:
    """The process that searches."""
    import atheris

    with atheris.instrument_imports(include=["pipeline", "PIL"]):
        from PIL import (  # noqa: F401 - so that they are instrumented before the first picture
            BmpImagePlugin,
            GifImagePlugin,
            JpegImagePlugin,
            MpoImagePlugin,
            PngImagePlugin,
            WebPImagePlugin,
        )

        from fuzzing.doors import TARGETS
    from fuzzing.mutate import mutate

    def change(data: bytes, most: int, seed: int) -> bytes:
        return mutate(data, most, seed, atheris.Mutate)

    atheris.Setup([sys.argv[0], *flags], TARGETS[name], custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
