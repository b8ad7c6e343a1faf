"""What a scrape came to, in words: a table by breed, then the failures by reason."""

from __future__ import annotations

from typing import Any

_COLUMNS = ("wanted", "found", "fetched", "duplicates", "failed")


def summary(metrics: dict[str, Any]) -> str:
    """The metrics of ``scrape`` or ``import_dataset`` as a few lines of text."""
    by_breed: dict[str, dict[str, int]] = metrics["by_breed"]
    columns = [key for key in _COLUMNS if any(key in mine for mine in by_breed.values())]
    width = max(len("total"), *map(len, by_breed)) + 2
    lines = ["".ljust(width) + "".join(f"{key:>12}" for key in columns)]
    for breed, mine in [*by_breed.items(), ("total", metrics)]:
        lines.append(breed.ljust(width) + "".join(f"{mine[key]:>12,}" for key in columns))
    size = metrics["bytes"] / 1e6
    lines.append(f"{metrics['files']:,} files, {size:,.1f} MB, in data/raw")
    if metrics["not_pictures"]:
        lines.append(f"{metrics['not_pictures']:,} of them do not decode (dedupe names them)")
    if metrics["failures"]:
        reasons = (f"{reason} {count:,}" for reason, count in metrics["failures"].items())
        lines.append("failed: " + ", ".join(reasons))
    if metrics["missing"]:
        lines.append(f"{metrics['missing']:,} pictures short of what was wanted: results ended")
    return "\n".join(lines)
