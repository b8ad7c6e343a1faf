"""Nothing that comes from a file is run: read off the code itself, as Python parses it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FILES = sorted(
    path for folder in ("pipeline", "stages") for path in (REPOSITORY / folder).rglob("*.py")
)
# Modules whose loading runs what a file says, and the names that may be taken from them.
RUNNING = {
    "pickle": {"UnpicklingError"},
    "cPickle": set(),
    "_pickle": set(),
    "dill": set(),
    "cloudpickle": set(),
    "joblib": set(),
    "marshal": set(),
    "shelve": set(),
}
CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
SHELLS = {("os", "system"), ("os", "popen"), ("commands", "getoutput"), ("subprocess", "getoutput")}


def name_of(node: ast.AST) -> str:
    """``a.b.c`` of an attribute or name; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = name_of(node.value)
        return f"{before}.{node.attr}" if before else f".{node.attr}"
    return ""


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((one.value for one in call.keywords if one.arg == name), None)


def is_constant(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and repr(node.value) == repr(value)


def faults(tree: ast.AST) -> Iterator[str]:
    """What in a module could run what a file says."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (
                f"{node.lineno}: import {one.name}"
                for one in node.names
                if one.name in RUNNING and not RUNNING[one.name]
            )
        elif isinstance(node, ast.ImportFrom) and node.module in RUNNING:
            yield f"{node.lineno}: from {node.module}"
        elif isinstance(node, ast.Attribute) and name_of(node.value) in RUNNING:
            if node.attr not in RUNNING[name_of(node.value)]:
                yield f"{node.lineno}: {name_of(node)}"
        elif isinstance(node, ast.Call):
            yield from _of_call(node)


def _of_call(call: ast.Call) -> Iterator[str]:
    name = name_of(call.func)
    last = name.rpartition(".")[2]
    here = f"{call.lineno}: {name}"
    if name in CALLS or tuple(name.split(".")) in SHELLS:
        yield here
    if name == "torch.load" and not is_constant(keyword(call, "weights_only"), True):
        yield f"{here} without weights_only"
    if last in ("load", "loadtxt") and name.startswith(("np.", "numpy.")):
        allowed = keyword(call, "allow_pickle")
        if not is_constant(allowed, False):
            yield f"{here} without allow_pickle=False"
    if last in ("read_pickle", "to_pickle", "unsafe_load", "full_load", "jit.load"):
        yield here
    if name in ("yaml.load", "yaml.load_all") and len(call.args) > 1:
        yield f"{here} with a loader"
    if last == "YAML":
        kind = keyword(call, "typ")
        if kind is not None and not is_constant(kind, "safe"):
            yield f"{here} of another kind than safe"
    shell = keyword(call, "shell")
    if shell is not None and not is_constant(shell, False):
        yield f"{here} through a shell"
    if name in ("mlflow.pyfunc.load_model", "torch.hub.load", "importlib.reload"):
        yield here
    if last in ("extractall", "unpack_archive"):
        yield f"{here} writes where an archive says"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_module_runs_nothing_that_a_file_says(path: Path) -> None:
    assert list(faults(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import dill",
        "from pickle import loads",
        "import pickle; pickle.load(f)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "torch.load(f, weights_only=flag)",
        "np.load(f)",
        "np.load(f, allow_pickle=True)",
        "pd.read_pickle(f)",
        "eval(x)",
        "exec(x)",
        "os.system(x)",
        "subprocess.run(x, shell=True)",
        "YAML(typ='unsafe').load(f)",
        "yaml.load(f, Loader)",
        "yaml.unsafe_load(f)",
        "mlflow.pyfunc.load_model(uri)",
        "tar.extractall(x)",
    ],
)
def test_the_search_finds(code: str) -> None:
    assert list(faults(ast.parse(code)))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_templates_are_escaped_wherever_they_are_filled(path: Path) -> None:
    """Every environment of jinja says autoescape=True, and nothing fills a bare template."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            last = name_of(node.func).rpartition(".")[2]
            if last == "Environment":
                assert is_constant(keyword(node, "autoescape"), True), node.lineno
            assert last not in ("Template", "from_string", "SandboxedEnvironment"), node.lineno


TEMPLATES = sorted(
    path for path in (REPOSITORY / "pipeline").rglob("templates/*") if path.suffix == ".html"
)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_lifts_the_escaping(path: Path) -> None:
    """Nor leaves an attribute without quotes, which no escaping protects."""
    from jinja2 import Environment, nodes

    assert len(TEMPLATES) >= 10
    text = path.read_text(encoding="utf-8")
    tree = Environment(autoescape=True, extensions=[]).parse(text)
    lifting = {"safe", "forceescape", "xmlattr", "tojson"}
    filters = {node.name for node in tree.find_all(nodes.Filter)}
    assert not filters & lifting
    assert not list(tree.find_all(nodes.EvalContextModifier))
    assert not re.findall(r"\s[\w:-]+=\{\{.*", text)
