"""How to make a result again: params, commands, versions."""

from __future__ import annotations

import json
import platform
import re
import shlex
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pipeline import __version__
from pipeline.knobs import flatten
from pipeline.params import Params, to_dict

_WORDS = ("true", "false", "null", "nan", "inf")  # texts that would be read as something else
PACKAGES = ("torch", "numpy", "pandas", "pillow", "mlflow", "dvc")


def used_params(params: Params, model: Mapping[str, Any]) -> dict[str, Any]:
    """The params behind the page: those of the training as the model remembers them."""
    document = to_dict(params)
    document.pop("tracking")
    training = model.get("training", {})
    document |= {key: training[key] for key in ("seed", "train") if key in training}
    document["scheduler"] = model.get("architecture", {}).get("schedule", document["scheduler"])
    return document


def params_rows(
    document: Mapping[str, Any],
) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
    """(key, value, default) of changed params, and (key, value) of all."""
    usual = flatten(to_dict(Params()))
    flat = flatten(dict(document))
    changed = [
        (key, plain(value), plain(usual[key]) if key in usual else "–")
        for key, value in flat.items()
        if value != usual.get(key)
    ]
    return changed, [(key, plain(value)) for key, value in flat.items()]


def reproduce(document: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> str:
    """The command that runs this again: every param that differs, by name.

    Args:
        base: the params it is typed on top of, those of the commit; default: the defaults.
    """
    usual = flatten(dict(base) if base else to_dict(Params()))
    wanted = flatten(dict(document))
    words = [
        f"{'' if key in usual else '+'}{key}={_override(value)}"
        for key, value in wanted.items()
        if key not in usual or value != usual[key]
    ]
    # What the base takes from other sources as well has to go.
    gone = [f"~{key}" for key in usual if key.startswith("scrape.sources.") and key not in wanted]
    lines = [f"-S {shlex.quote(word)}" for word in words + gone]
    return " \\\n    ".join(["dvc exp run", *lines]) if lines else "dvc repro"


def _override(value: Any) -> str:
    """A value in the grammar of ``dvc exp run -S`` (Hydra's): what is not one word is quoted."""
    if isinstance(value, list):
        return f"[{','.join(map(_override, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    simple = re.fullmatch(r"[A-Za-z_][\w./:+-]*", value) and value.lower() not in _WORDS
    return value if simple else '"' + re.sub(r'(\\*)"', r'\1\1\\"', value) + '"'


def plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def versions() -> list[tuple[str, str]]:
    found = [("this project", __version__), ("Python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found
