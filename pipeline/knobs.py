"""Knobs: typed, bounded values read out of YAML, with one clear line for what does not fit.

The machinery under ``pipeline.params``; it knows no parameter by name.
"""

from __future__ import annotations

import dataclasses
import difflib
import io
import math
import reprlib
import types
import typing
from dataclasses import field
from pathlib import Path
from typing import Any

from pipeline.errors import ParamsError
from pipeline.workspace import read_bounded


def knob(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """A field of the schema: default, one line of help, and what is allowed (bounds included)."""
    metadata = {"help": help, "low": low, "high": high, "choices": choices}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def check_section(
    schema: type, document: Any, prefix: str, name: str, origin: dict[str, str]
) -> Any:
    """A ``schema`` (dataclass of knobs) from a plain mapping; missing keys take their defaults.

    Args:
        prefix: dotted path of the section with its final dot, empty at the top.
        name: the file that messages name; ``origin`` names other places by dotted key.

    Raises:
        ParamsError: unknown key, or a value that is not allowed.
    """
    if not isinstance(document, dict):
        key = prefix.rstrip(".")
        where = origin.get(key, name)
        raise ParamsError(f"{where}: {key}: got {shown(document)}, expected a section with keys")
    hints = typing.get_type_hints(schema)
    fields = {item.name: item for item in dataclasses.fields(schema)}
    values = {}
    for key, value in document.items():
        where = _place(f"{prefix}{key}", name, origin)
        if key not in fields:
            text = key if isinstance(key, str) and len(key) < _SHOWN else shown(key)
            raise ParamsError(
                f"{where}: {prefix}{text}: unknown parameter"
                + _suggest(text, fields, f"; known here: {', '.join(fields)}")
            )
        if dataclasses.is_dataclass(hints[key]):
            values[key] = check_section(hints[key], value, f"{prefix}{key}.", name, origin)
        else:
            values[key] = _check(value, hints[key], fields[key].metadata, f"{prefix}{key}", where)
    return schema(**values)


def _place(key: str, name: str, origin: dict[str, str]) -> str:
    """Where ``key``, or what lies under it, was given."""
    return next((origin[k] for k in origin if k == key or k.startswith(f"{key}.")), name)


def _suggest(key: str, known: typing.Iterable[str], otherwise: str) -> str:
    close = difflib.get_close_matches(key, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else otherwise


def _check(value: Any, hint: Any, rule: typing.Mapping[str, Any], key: str, where: str) -> Any:
    """``value`` as ``hint`` wants it, within the bounds of ``rule``."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for kind in kinds:
        result = _convert(value, kind)
        if result is not _MISFIT and _within(result, rule):
            return result
    raise ParamsError(f"{where}: {key}: got {shown(value)}, expected {allowed(kinds, rule)}")


def shown(value: Any) -> str:
    """``repr`` for a message: a value from a file may be of any size."""
    text = _Repr().repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 2]} …"


_SHOWN = 200


class _Repr(reprlib.Repr):
    """Short whatever it is given; of ``reprlib``'s own the integer has no bound before 3.12."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxdict = self.maxset = self.maxtuple = 20
        self.maxstring = self.maxother = _SHOWN

    def repr_int(self, value: int, _level: int) -> str:
        bits = value.bit_length()
        return repr(value) if bits < 256 else f"an integer of {bits} bits"


_MISFIT = object()


def _convert(value: Any, kind: Any) -> Any:
    """``value`` as a ``kind``, or ``_MISFIT``. Never guesses: 'yes' is no bool, 1.5 no int."""
    outer, inner = typing.get_origin(kind), typing.get_args(kind)
    if outer is list:
        items = [_convert(item, inner[0]) for item in value] if isinstance(value, list) else None
        return _MISFIT if items is None or _MISFIT in items else items
    if outer is dict:
        if not isinstance(value, dict):
            return _MISFIT
        pairs = {str(name): _convert(item, inner[1]) for name, item in value.items()}
        return _MISFIT if any(item is _MISFIT for item in pairs.values()) else pairs
    if kind is float:
        return _number(value)
    if kind is int:
        number = _number(value)
        return int(number) if number is not _MISFIT and number.is_integer() else _MISFIT
    return value if type(value) is kind else _MISFIT  # bool, str, NoneType


def _number(value: Any) -> Any:
    """A finite float; also from the text '1e-05', as YAML 1.1 reads that (it wants 1.0e-05)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return _MISFIT
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return _MISFIT
    return number if math.isfinite(number) else _MISFIT


def _within(value: Any, rule: typing.Mapping[str, Any]) -> bool:
    if isinstance(value, list):
        return all(_within(item, rule) for item in value)
    if isinstance(value, dict):
        return all(_within(item, rule) for item in value.values())
    if rule["choices"] is not None:
        return value in rule["choices"]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = rule["low"], rule["high"]
        return (low is None or value >= low) and (high is None or value <= high)
    return True


def allowed(kinds: tuple[Any, ...], rule: typing.Mapping[str, Any]) -> str:
    """What may be given, in words: 'an integer from 1 to 64'."""
    if rule["choices"] is not None:
        return "one of " + ", ".join(rule["choices"])
    names = {
        int: "an integer",
        float: "a number",
        bool: "true or false",
        str: "text",
        types.NoneType: "null",
    }
    words = []
    for kind in kinds:
        if typing.get_origin(kind) is list:
            item = names[typing.get_args(kind)[0]].split()[-1]
            words.append(f"a list of {item}{'' if item == 'text' else 's'}")
        elif typing.get_origin(kind) is dict:
            integers = typing.get_args(kind)[1] is int
            words.append("names with integers, as gallery: 80" if integers else "names with texts")
        else:
            words.append(names[kind])
    low, high = rule["low"], rule["high"]
    bounds = ""
    if low is not None and high is not None:
        bounds = f" from {low:g} to {high:g}" if high < 1e6 else f" from {low} to {high}"
    elif low is not None:
        bounds = f" of at least {low:g}"
    elif high is not None:
        bounds = f" of at most {high:g}"
    numeric = any(kind in (int, float) or typing.get_args(kind) for kind in kinds)
    return " or ".join(words) + (bounds if numeric else "")


# --------------------------------------------------------------------------- YAML


def read_document(path: Path) -> dict[str, Any]:
    """The plain mapping in a YAML file, before any check of its keys."""
    try:
        text = read_bounded(path, MOST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    return parse_yaml(text, path.name)


MOST_BYTES = 1 << 20  # ten thousand breeds take half of it; a YAML reader takes seconds
_DEEPEST, _MOST_REPEATED = 32, 10_000  # nested levels; values that aliases stand for


def parse_yaml(text: str, name: str) -> dict[str, Any]:
    """The mapping in a YAML text; ``name`` is the file that messages name."""
    try:
        value = _yaml(text)
    except Exception as error:  # the two parsers share no base class
        raise ParamsError(f"{name}: is not YAML: {' '.join(str(error).split())}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ParamsError(f"{name}: expected keys and values, got {type(value).__name__}")
    return value


def _yaml(text: str) -> Any:
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.composer import Composer
        from ruamel.yaml.events import AliasEvent
    except ImportError:  # a bare GPU image
        from pipeline import plain_yaml

        return plain_yaml.read(text)

    class Bounded(Composer):
        """No small text makes a large document, or one without end: an alias (``*name``) stands for
        any number of values, and through others for billions."""

        depth = values = repeated = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.parser.peek_event()
            sizes = self.__dict__.setdefault("sizes", {})
            before = self.values
            self.depth += 1
            if isinstance(event, AliasEvent):
                # Where no size is known it means what it stands in, or nothing.
                self.repeated += sizes.get(event.anchor, _MOST_REPEATED + 1)
                self.values += sizes.get(event.anchor, 0)
            if self.depth > _DEEPEST or self.repeated > _MOST_REPEATED:
                deep = self.depth > _DEEPEST
                what = f"nested over {_DEEPEST} levels" if deep else "an alias too many"
                raise ValueError(f"line {event.start_mark.line + 1}: {what}")
            node = super().compose_node(parent, index)
            self.depth -= 1
            self.values += 1
            if event.anchor is not None:
                sizes[event.anchor] = self.values - before
            return node

    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = Bounded
    return yaml.load(text)


def parse_assignment(text: str) -> tuple[str, Any]:
    """``train.lr=1e-4`` as (key, value); the value is read as YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ParamsError(f"command line: got {text!r}, expected key=value, as train.lr=1e-4")
    return key.strip(), parse_yaml(f"value: {value}", f"command line, {key}")["value"]


def assign(document: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in nested mappings, making sections on the way."""
    *parents, leaf = key.split(".")
    for name in parents:
        inner = document.setdefault(name, {})
        if not isinstance(inner, dict):
            raise ParamsError(f"command line: {key}: {name} is a value, not a section")
        document = inner
    document[leaf] = value


def flatten(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mapping to dotted keys: {'train': {'lr': 1}} -> {'train.lr': 1}."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def set_in_text(text: str, assignments: dict[str, Any]) -> str:
    """The YAML ``text`` with some dotted keys set; comments and all other lines stay as they are.

    ``text`` is taken to be in ruamel's own style (two spaces, no quotes), as ``dvc exp run -S``
    leaves it, so the difference is one line a key.
    """
    from ruamel.yaml import YAML

    yaml = YAML()
    document = yaml.load(text) or {}
    for key, value in assignments.items():
        assign(document, key, value)
    out = io.StringIO()
    yaml.dump(document, out)
    return out.getvalue()
