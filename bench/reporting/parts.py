"""What reports of several benches share: sections with their demands, versions, the processor."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "results"


@dataclass(frozen=True)
class Part:
    """A section of the report, and what it says about the demands: (what, how much, met)."""

    lines: list[str]
    demands: list[tuple[str, str, bool]]


def report(title: str, setting: str, parts: list[Part]) -> str:
    """Title with today's date, what it was measured on, the demands, then the sections."""
    return "\n".join(
        [
            f"# {title}, {date.today()}",
            "",
            setting,
            "",
            "| demand | measured | met |",
            "|---|---|---|",
            *(
                f"| {what} | {value} | {'yes' if met else '**no**'} |"
                for part in parts
                for what, value, met in part.demands
            ),
            "",
            *(line for part in parts for line in part.lines),
        ]
    )


def show(text: str, name: str, keep: bool) -> None:
    """Print a report and, where it is to be kept, write it to bench/results/, dated."""
    print(text)
    if keep:
        (RESULTS / f"{date.today()}-{name}.md").write_text(text)


def versions(packages: Iterable[str]) -> str:
    """Of Python and of those packages that are installed."""
    found = [f"Python {platform.python_version()}"]
    for name in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return ", ".join(found)


def processor() -> str:
    """Its name, as the system gives it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
