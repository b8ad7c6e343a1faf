"""breeds.yaml: which breeds there are, in which order, and what is typed to find each."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ParamsError
from pipeline.knobs import read_document, shown

_SLUG = re.compile(r"[a-z0-9_]{1,100}")  # it names a folder


@dataclass(frozen=True)
class Breed:
    """``name`` names folders and classes; ``queries`` are tried in order until there is enough."""

    name: str
    queries: tuple[str, ...]


def load_breeds(path: Path) -> list[Breed]:
    """All breeds of the file, in its order.

    Raises:
        ParamsError: naming file and key.
    """
    document = read_document(path)
    if not document:
        raise ParamsError(f"{path.name}: lists no breed; expected lines as beagle: beagle dog")
    return [_breed(name, value, path.name) for name, value in document.items()]


def _breed(name: Any, value: Any, file: str) -> Breed:
    if not isinstance(name, str) or not _SLUG.fullmatch(name):
        raise ParamsError(
            f"{file}: {str(name)[:120]}: a breed's name is made of a-z, 0-9 and _ only (1 to 100)"
        )
    queries = [value] if isinstance(value, str) else value
    texts = isinstance(queries, list) and all(isinstance(query, str) for query in queries)
    if not queries or not texts or not all(query.strip() for query in queries):
        raise ParamsError(
            f"{file}: {name}: got {shown(value)}, expected a search text or a list of them"
        )
    return Breed(name, tuple(query.strip() for query in queries))


def choose_breeds(known: list[Breed], wanted: int | list[str]) -> list[Breed]:
    """The first ``wanted`` breeds, or those named, in the order given.

    Raises:
        ParamsError: fewer known than asked for, an unknown name, or a name given twice.
    """
    if isinstance(wanted, int):
        if wanted > len(known):
            raise ParamsError(
                f"scrape.breeds: got {wanted}, but breeds.yaml lists {len(known)}: "
                "add some there or ask for fewer"
            )
        return known[:wanted]
    if not wanted:
        raise ParamsError("scrape.breeds: got an empty list, expected a number or names")
    by_name = {breed.name: breed for breed in known}
    for name in wanted:
        if name not in by_name:
            close = difflib.get_close_matches(name, by_name, n=1)
            hint = f"did you mean {close[0]}?" if close else "breeds.yaml lists the known ones"
            raise ParamsError(f"scrape.breeds: unknown breed {name}; {hint}")
    if len(set(wanted)) < len(wanted):
        twice = next(name for name in wanted if wanted.count(name) > 1)
        raise ParamsError(f"scrape.breeds: {twice} is named twice")
    return [by_name[name] for name in wanted]
