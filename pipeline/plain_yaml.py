"""A reader for the YAML that params files are written in, where no YAML package is installed.

It knows what ``pipeline.knobs`` writes and no more: nested keys, lists of plain values, comments;
and JSON, which is YAML too. Anything else is refused, never guessed.
"""

from __future__ import annotations

import json
import re
from typing import Any

_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]+)?")
_KEY = re.compile(r"([A-Za-z0-9_][^:#]*):(?: +(.*))?")
_CONSTANTS = {"": None, "null": None, "~": None, "true": True, "false": False}
_EMPTY: dict[str, type] = {"[]": list, "{}": dict}


def read(text: str) -> Any:
    """The value of a document.

    Raises:
        ValueError: a line is of another form.
    """
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text, object_pairs_hook=no_key_twice)
        except RecursionError:
            raise ValueError("nested too deeply") from None
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        content = _without_comment(line)
        if content.strip():
            lines.append((len(content) - len(content.lstrip()), content.strip(), number))
    value, rest = _block(lines, 0) if lines else (None, [])
    if rest:
        raise _refused(rest[0])
    return value


def no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs, for ``json.loads``. Raises ValueError where a key comes again."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


_Line = tuple[int, str, int]  # indent, content, number


def _block(lines: list[_Line], indent: int) -> tuple[Any, list[_Line]]:
    """The list or mapping that starts at ``indent``, and the lines after it."""
    items: list[Any] = []
    if lines[0][1].startswith("- "):
        while lines and lines[0][0] == indent and lines[0][1].startswith("- "):
            items.append(_scalar(lines[0][1][2:], lines[0]))
            lines = lines[1:]
        return items, lines
    mapping: dict[str, Any] = {}
    while lines and lines[0][0] == indent and not lines[0][1].startswith("- "):
        line, lines = lines[0], lines[1:]
        match = _KEY.fullmatch(line[1])
        if match is None or match[1] in mapping:
            raise _refused(line)
        deeper = bool(lines) and (
            lines[0][0] > indent or (lines[0][0] == indent and lines[0][1].startswith("- "))
        )
        if match[2] is None and deeper:
            mapping[match[1]], lines = _block(lines, lines[0][0])
        else:
            mapping[match[1]] = _scalar(match[2] or "", line)
    if lines and lines[0][0] > indent:
        raise _refused(lines[0])
    return mapping, lines


def _scalar(text: str, line: _Line) -> Any:
    text = text.strip()
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text in _EMPTY:
        return _EMPTY[text]()
    if text.startswith("[") and text.endswith("]"):
        return [_scalar(item, line) for item in text[1:-1].split(",")]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" and "\\" not in text:
        return text[1:-1]
    if text[0] in "[]{}&*!|>%@`'\"," or text.startswith(("- ", "? ")) or ": " in text:
        raise _refused(line)
    return text


def _without_comment(line: str) -> str:
    return re.sub(r"(^|\s)#.*$", "", line).rstrip()


def _refused(line: _Line) -> ValueError:
    return ValueError(
        f"line {line[2]}: {line[1]!r} is more than the built-in reader knows; install ruamel.yaml"
    )
