"""How one field is found: ordered alternatives, each a place and filters that mend its text.

In a page the place is ``selector@attribute``, ``selector`` (its text) or ``@attribute`` (of the
tile itself); in the answer of an API it is a dotted path. Filters follow after `` | ``:

* ``json a.b.0``: parse as JSON and take what lies at the path
* ``param imgurl``: a query parameter of an address, decoded
* ``match REGEX``: the first group, or the whole match
* ``replace /REGEX/WITH/``: every match; ``$1`` stands for a group, ``\\/`` for a stroke

Regular expressions are those that Python and JavaScript both understand. A filter that finds
nothing makes way for the next alternative. ``reader.js`` applies the same rules inside a page.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

_FILTER = re.compile(r"\s\|\s+(?=[a-z]+(?:\s|$))")
_PLACE = re.compile(r"(.*?)(?:@([\w:-]+))?")
_REPLACE = re.compile(r"/((?:[^/\\]|\\.)+)/((?:[^/\\]|\\.)*)/")
_FOREIGN = re.compile(r"\(\?(?![:=!]|<[=!])")  # groups that JavaScript writes otherwise, or not


@dataclass(frozen=True)
class Alternative:
    """One way to find a field; ``place`` is a selector or path, ``filters`` (name, *arguments)."""

    text: str
    place: str
    attribute: str
    filters: tuple[tuple[str, ...], ...]


@functools.cache
def parse(text: str, in_page: bool = True) -> Alternative:
    """The parts of an alternative.

    Raises:
        ValueError: a filter nobody knows or one that cannot be applied; the message says which.
    """
    place, *filters = _FILTER.split(f" {text.strip()}")
    place, attribute = place.strip(), ""
    if in_page and (parts := _PLACE.fullmatch(place)):
        place, attribute = parts[1].strip(), parts[2] or ""
    if not place and not attribute:
        raise ValueError(f"{text!r} names no place")
    return Alternative(text, place, attribute, tuple(_filter(item.strip()) for item in filters))


def _filter(text: str) -> tuple[str, ...]:
    name, _, argument = text.partition(" ")
    argument = argument.strip()
    if name not in ("json", "param", "match", "replace"):
        raise ValueError(f"unknown filter {name!r}; known: json, param, match, replace")
    if not argument:
        raise ValueError(f"the filter {name!r} needs an argument")
    if name in ("json", "param"):
        return name, argument
    if name == "match":
        return name, _regex(argument)
    parts = _REPLACE.fullmatch(argument)
    if parts is None:
        raise ValueError(f"{text!r}: expected replace /REGEX/WITH/")
    return name, _regex(parts[1]), parts[2].replace(r"\/", "/")


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression ({error})") from None
    if _FOREIGN.search(text):
        raise ValueError(f"{text!r}: named groups and inline flags are not known to all browsers")
    return text


def at(document: Any, path: str) -> Any:
    """What lies at a dotted path of mappings and lists, or None."""
    for step in path.split(".") if path else ():
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return None
    return document


def read(item: Any, alternatives: Sequence[str]) -> tuple[str, str] | None:
    """(text, the alternative that gave it) from an API's item, or None."""
    for text in alternatives:
        alternative = parse(text, in_page=False)
        value = as_text(at(item, alternative.place))
        for name, *arguments in alternative.filters:
            value = value and _APPLY[name](value, *arguments)
        if value and value.strip():
            return value.strip(), text
    return None


def as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def _json(value: str, path: str) -> str | None:
    try:
        return as_text(at(json.loads(value), path))
    except (ValueError, RecursionError):
        return None


def _param(value: str, name: str) -> str | None:
    try:
        return next(iter(parse_qs(urlsplit(value).query).get(name, ())), None)
    except ValueError:
        return None


def _match(value: str, regex: str) -> str | None:
    found = re.search(regex, value)
    return found and (found[1] if found.re.groups else found[0])


def _replace(value: str, regex: str, with_: str) -> str:
    # JavaScript's form to Python's: $1 is a group, and a backslash stands for itself.
    template = re.sub(r"\$(\d)", r"\\g<\1>", with_.replace("\\", r"\\"))
    return re.sub(regex, template, value)


_APPLY: dict[str, Callable[..., str | None]] = {
    "json": _json,
    "param": _param,
    "match": _match,
    "replace": _replace,
}
