"""What a check of the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What a check found: ``ok``, ``warn`` (works, but) or ``bad`` (will not work)."""

    subject: str
    level: str
    text: str
    mend: str = ""


def ok(text: str) -> Finding:
    return Finding("", "ok", text)


def warn(text: str, mend: str) -> Finding:
    return Finding("", "warn", text, mend)


def bad(text: str, mend: str) -> Finding:
    return Finding("", "bad", text, mend)


def few(names: list[str], most: int = 4) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
