"""overrides.csv: what a person decided. It wins over every automatic decision.

Columns ``item,decision,why``: item is a path (as in the decisions) or a sha256, or at least its
first 8 digits; decision is keep or drop.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError

HEADER = ["item", "decision", "why"]
_DIGEST = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True)
class Override:
    """One line: the wish, its reason, and the line's number for messages."""

    item: str
    keep: bool
    why: str
    line: int


def read_overrides(path: Path) -> list[Override]:
    """The lines of the file; none if there is no file.

    Raises:
        PipelineError: naming the line that cannot be understood.
    """
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path.name}: cannot be read as UTF-8 text ({error})") from None
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    found = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if reader.line_num == 1 and cells == HEADER:
                continue
            found.append(_parse(cells, path.name, reader.line_num))
    except csv.Error as error:
        raise PipelineError(f"{path.name}, line {reader.line_num}: {error}") from None
    return found


def _parse(cells: list[str], name: str, line: int) -> Override:
    if len(cells) < 2 or len(cells) > 3:
        raise PipelineError(
            f"{name}, line {line}: got {len(cells)} columns, expected item,decision,why "
            "(quote a text that has a comma)"
        )
    item, decision, why = (*cells, "")[:3]
    item = item.removeprefix("data/raw/")
    if decision not in ("keep", "drop"):
        raise PipelineError(f"{name}, line {line}: decision is {decision!r}, expected keep or drop")
    if not item:
        raise PipelineError(f"{name}, line {line}: item is empty, expected a path or a sha256")
    return Override(item, decision == "keep", why, line)


def match(
    overrides: list[Override], names: list[str], shas: list[str | None]
) -> tuple[dict[int, Override], list[Override]]:
    """Which file each override means, and the overrides that mean none.

    A line that names a path is about that file; one that names a sha256 is about every file with
    that content. Two lines that contradict each other: the later one wins, a path over a sha256.
    """
    by_name = {name: index for index, name in enumerate(names)}
    chosen: dict[int, Override] = {}
    idle = []
    paths = [override for override in overrides if override.item in by_name]
    digests = [override for override in overrides if override.item not in by_name]
    for override in digests:
        digest = override.item.lower()
        hits = []
        if _DIGEST.fullmatch(digest):
            hits = [k for k, sha in enumerate(shas) if sha is not None and sha.startswith(digest)]
        chosen.update(dict.fromkeys(hits, override))
        if not hits:
            idle.append(override)
    chosen.update({by_name[override.item]: override for override in paths})
    return chosen, idle
