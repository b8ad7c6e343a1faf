"""A GPU image has torch and little else: training, sampling and measuring must run on it."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pipeline import knobs, plain_yaml

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = [REPOSITORY / "params.yaml", *sorted((REPOSITORY / "presets").glob("*.yaml"))]

# What such an image has, and what these bring along themselves.
BLOCK = """
import importlib.machinery, sys
THERE = set(sys.stdlib_module_names) | {
    "torch", "torchvision", "numpy", "PIL", "pandas", "safetensors", "tqdm", "pipeline", "bench",
    "typing_extensions", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec",
    "filelock", "setuptools", "dateutil", "six", "pytz", "tzdata", "packaging", "triton",
    "torchgen", "functorch", "_distutils_hack",
}
class Bare(importlib.machinery.PathFinder):
    '''Finds what the image has; the rest is not there.'''
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in THERE or name.startswith("_sysconfigdata"):
            return super().find_spec(name, path, target)
BUILT_IN = (importlib.machinery.BuiltinImporter, importlib.machinery.FrozenImporter)
sys.meta_path[:] = [*BUILT_IN, Bare]
"""


def bare(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCK + textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        check=False,
    )


@pytest.mark.parametrize("name", ["ruamel.yaml", "yaml", "scipy", "sklearn", "mlflow", "click"])
def test_the_block_blocks(name):
    done = bare(f"import {name}")
    assert f"No module named '{name.split('.')[0]}" in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "pipeline.training.loop",
        "pipeline.training.posthoc",
        "pipeline.model",
        "pipeline.diffusion.sampling",
        "pipeline.evaluation.metrics",
        "pipeline.evaluation.montage",
        "pipeline.dataset.dataset",
        "pipeline.dataset.split",
        "pipeline.images",
        "pipeline.params",
        "pipeline.progress",
    ],
)
def test_what_trains_imports_nothing_else(name):
    done = bare(f"import {name}")
    assert done.returncode == 0, done.stderr


def test_the_bench_of_the_flagship_runs_there(tmp_path):
    """Pictures in folders of classes, to a table of results: training, guide, samples, figures."""
    done = bare(
        """
        import runpy
        from pathlib import Path
        import numpy as np
        from PIL import Image
        root = Path(sys.argv[1])
        rng = np.random.default_rng(0)
        for breed in ("pug", "beagle"):
            (root / "data" / breed).mkdir(parents=True)
            for k in range(24):
                pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / "data" / breed / f"{k}.png")
        sys.argv = ["bench/flagship.py", "--data", str(root / "data"), "--minutes", "0.02",
                    "--small", "--size", "16", "--samples", "8", "--device", "cpu",
                    "--work", str(root / "work"), "--output", str(root / "out")]
        runpy.run_path("bench/flagship.py", run_name="__main__")
        """,
        str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    (table,) = (tmp_path / "out").glob("*flagship*.md")
    text = table.read_text()
    for name in ("dogs", "dogs-full", "dogs-patch4"):
        assert f"| {name} |" in text
        assert list((tmp_path / "out").glob(f"*{name}*.png"))


# --------------------------------------------------------------------------- params without YAML


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_params_files_are_read_the_same_without_a_yaml_package(path):
    text = path.read_text()
    assert plain_yaml.read(text) == knobs.parse_yaml(text, path.name)


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: [0.05, 0.10]\nc: [x]\n",
        "value: 1e-4\n",
        "value: searxng.example:8080\n",
        "a:\n  b:\n    - 1\n    - 2.5\n  c: 'quoted # not a comment'\n".replace(" #", ""),
        "a:  # why\nb: true # so\nc:\n",
        "",
    ],
)
def test_the_plain_reader_reads_what_it_knows_as_yaml_does(text):
    assert (plain_yaml.read(text) or {}) == knobs.parse_yaml(text, "x")


@pytest.mark.parametrize(
    "text",
    ["a: {b: 1}", "a: &x 1", "a: |\n  text", "- - 1", "a: 1\n  b: 2", "just text", "a: 1\na: 2"],
)
def test_the_plain_reader_refuses_what_it_does_not_know(text):
    with pytest.raises(ValueError, match="more than the built-in reader knows"):
        plain_yaml.read(text)
