"""What a scrape came to, in words: a table by breed, the sources, the failures by reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_COLUMNS = ("wanted", "found", "fetched", "duplicates", "failed")


def summary(metrics: dict[str, Any]) -> str:
    """The metrics of ``scrape`` or ``import_datasets`` as a few lines of text."""
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
        lines.append("failed downloads: " + ", ".join(reasons))
    if metrics.get("unlicensed"):
        lines.append(f"{metrics['unlicensed']:,} left out: not said to be under Creative Commons")
    if metrics["missing"]:
        lines.append(f"{metrics['missing']:,} pictures short of what was wanted: results ended")
    lines += _by_source(metrics.get("sources", {}), metrics.get("table", []))
    lines += [f"{name} was left alone: {why}" for name, why in metrics.get("stopped", {}).items()]
    return "\n".join(lines)


def _by_source(
    sources: Mapping[str, Mapping[str, int]], table: Sequence[Mapping[str, Any]]
) -> list[str]:
    lines = []
    for name, mine in sources.items() if len(sources) > 1 else ():
        lines.append(
            f"{name}: {mine['fetched']:,} pictures, {mine['with_licence']:,} with a licence, "
            f"{mine['with_author']:,} with an author"
        )
    barren = [row for row in table if not row["fetched"]]
    lines += [
        f"{row['source']} gave nothing for {row['breed']} ({row['searches']})"
        for row in barren[:10]
    ]
    if len(barren) > 10:
        lines.append(f"… and {len(barren) - 10} more without a picture: reports/scrape.csv")
    return lines
