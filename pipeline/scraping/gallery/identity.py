"""Which gallery this is: a digest that stays as long as pages and files do."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path


def digest(identity: object) -> str:
    """``identity`` (plain values) as a short text."""
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@cache
def code_version() -> str:
    """A digest of the gallery's code: the pictures are what it draws."""
    together = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        together.update(f"{file.name}\0".encode() + file.read_bytes())
    return together.hexdigest()
