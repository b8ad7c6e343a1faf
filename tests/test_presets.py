"""The ready params files, and changes to params.yaml."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from pipeline import presets
from pipeline.errors import ParamsError
from pipeline.knobs import flatten, parse_yaml, set_in_text
from pipeline.params import Params, from_document, load, to_dict
from pipeline.workspace import Workspace

REPOSITORY = Path(__file__).parents[1]
PRESETS = sorted((REPOSITORY / "presets").glob("*.yaml"))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    shutil.copytree(REPOSITORY / "presets", tmp_path / "presets")
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    return Workspace(tmp_path, tmp_path)


def test_params_yaml_is_the_demo_preset_byte_for_byte() -> None:
    demo = REPOSITORY / "presets" / "demo.yaml"
    assert (REPOSITORY / "params.yaml").read_bytes() == demo.read_bytes()


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_is_allowed_names_every_knob_and_is_in_ruamels_style(path: Path) -> None:
    """`dvc exp run -S` refuses keys that are not written, and reformats other styles."""
    text = path.read_text()
    load(path)
    written = [flatten(document) for document in (parse_yaml(text, path.name), to_dict(Params()))]
    keys, known = ({re.sub(r"(sources)\..*", r"\1", key) for key in flat} for flat in written)
    assert keys == known
    assert set_in_text(text, {}) == text


def test_applying_shows_the_difference_and_the_file_is_the_preset(workspace: Workspace) -> None:
    diff = presets.apply(workspace, "tiny")
    assert "-  breeds: 6" in diff.splitlines() and "+  breeds: 2" in diff.splitlines()
    assert workspace.params.read_bytes() == presets.find(workspace, "tiny").read_bytes()
    assert presets.apply(workspace, "tiny") == ""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("demoo", "did you mean demo?"),
        ("zzz", "there are demo"),
        ("../params", "unknown"),
        ("", "unknown"),
    ],
)
def test_an_unknown_preset_names_those_there_are(
    workspace: Workspace, name: str, says: str
) -> None:
    before = workspace.params.read_bytes()
    with pytest.raises(ParamsError, match=f"preset '{name}'") as caught:
        presets.apply(workspace, name)
    assert says in str(caught.value)
    assert workspace.params.read_bytes() == before


def test_a_preset_that_does_not_fit_replaces_nothing(workspace: Workspace) -> None:
    before = workspace.params.read_bytes()
    (workspace.here / "presets" / "old.yaml").write_text("epochs: 3\n")
    with pytest.raises(ParamsError, match=r"old\.yaml: epochs: unknown"):
        presets.apply(workspace, "old")
    assert workspace.params.read_bytes() == before


def test_setting_params_is_one_line_or_nothing(workspace: Workspace) -> None:
    diff = presets.set_params(workspace, {"scrape.import_path": "dogs.tar"})
    changed = [line for line in diff.splitlines()[2:] if line[0] in "+-"]
    assert changed == ["-  import_path:", "+  import_path: dogs.tar"]
    before = workspace.params.read_bytes()
    with pytest.raises(ParamsError, match=r"params.yaml: seed: got 'x'"):
        presets.set_params(workspace, {"seed": "x"})
    assert workspace.params.read_bytes() == before


def test_every_knob_is_listed_with_value_default_and_meaning() -> None:
    params = from_document({"train": {"lr": 0.5}})
    listed = {knob.key: knob for knob in presets.every_knob(params)}
    # These are one knob each, with a mapping as its value.
    assert set(listed) - {"scrape.sources", "scrape.bases"} == {
        key for key in flatten(to_dict(params)) if not key.startswith("scrape.sources")
    }
    assert (listed["train.lr"].value, listed["train.lr"].default) == (0.5, 0.002)
    assert listed["scheduler"].allowed == "one of linear, cosine, sigmoid, karras"
    assert listed["train.net.multipliers"].default == [1, 2]
    assert all(knob.help and knob.allowed for knob in listed.values())


def test_the_summary_tells_presets_apart() -> None:
    lines = {path.stem: presets.summary(load(path)) for path in PRESETS}
    assert len(set(lines.values())) == len(lines)
    own = from_document({"scrape": {"import_path": "dogs.tar"}})
    assert presets.summary(own).startswith("import of dogs.tar;")
