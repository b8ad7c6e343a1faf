"""A model folder made by someone else is drawn from or refused in one line: nothing else."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import torch
from command_line import Pipeline
from hostile import (
    FORGED,
    MIB,
    NO_FILES,
    VALUES,
    Evil,
    memory_within,
    no_file,
    one_line,
    steers,
    tree,
)  # fmt: skip
from tiny_model import make_model

from pipeline.commands.compare import side
from pipeline.diffusion.sampling import Sampling
from pipeline.errors import ParamsError, PipelineError
from pipeline.evaluation.features import LocalFeatures
from pipeline.evaluation.weights import UNFIT, checked, tensors_in
from pipeline.model import load_model, read_info
from pipeline.stamp import note_of, trained_by
from pipeline.tracking_store import RunSummary
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.posthoc import read_snapshots
from pipeline.workspace import Workspace

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_model(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "foreign"))


def refused(folder: Path, *names: str) -> None:
    with memory_within(MIB), pytest.raises(PipelineError) as caught:
        load_model(folder, "cpu")
    one_line(caught.value, *names)


# --------------------------------------------------------------------------- model.json


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a document, sections included."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))


def changed(document: dict[str, Any], path: tuple[Any, ...], change: Callable[..., None]) -> Any:
    document = copy.deepcopy(document)
    section = document
    for key in path[:-1]:
        section = section[key]
    change(section, path[-1])
    return document


def use(folder: Path) -> None:
    """What commands do with a model that was let in: nothing of it may be other than it seems."""
    model = load_model(folder, "cpu")
    assert type(model.size) is int and 8 <= model.size <= 512
    assert model.classes and not steers("".join(model.classes))
    assert max(map(len, model.classes)) <= 200 and len(set(model.classes)) == len(model.classes)
    note = note_of(model.info, trained_by(folder), model.classes[0], 0, Sampling())
    json.dumps(note)
    side(RunSummary("", "", "foreign", "no run", 0, {}), model, None)
    int(model.info.get("training", {}).get("images", 0))


def test_every_value_of_model_json_may_be_anything(folder: Path) -> None:
    """Each in turn: let in and usable, or one line."""
    info = json.loads((folder / "model.json").read_text())
    fates = {True: 0, False: 0}
    for path in places(info):
        for value in VALUES:

            def put(section: Any, key: Any, value: Any = value) -> None:
                section[key] = value

            (folder / "model.json").write_text(json.dumps(changed(info, path, put)))
            try:
                use(folder)
                fates[True] += 1
            except PipelineError as error:
                fates[False] += 1
                assert len(str(error)) < 5_000, (path, str(value)[:80])
    assert fates[False] > 5 * fates[True] > 0


def test_every_key_of_model_json_may_be_missing_or_new(folder: Path) -> None:
    info = json.loads((folder / "model.json").read_text())
    for path in places(info):

        def drop(section: Any, key: Any) -> None:
            del section[key]

        def add(section: Any, key: Any) -> None:
            section[f"__class__ {key}"] = 1

        for change in (drop, add):
            (folder / "model.json").write_text(json.dumps(changed(info, path, change)))
            try:
                use(folder)
            except PipelineError as error:
                assert len(str(error)) < 5_000


ARCHITECTURES = {
    "a trillion parameters": {"net": {"width": 10**6}},
    "as much as the schema lets in": {
        "net": {"width": 1024, "multipliers": [16] * 6, "blocks": 8, "patch": 1},
        "size": 512,
    },
    "pictures a kilometre wide": {"size": 10**6},
    "steps without end": {"timesteps": 10**9},
    "a name a million long": {"classes": ["x" * 10**6]},
    "a name of two lines": {"classes": ["a\nb"]},
    "a name that steers": {"classes": ["\x1b]0;owned\x07"]},
    "a name from right to left": {"classes": ["\u202egod"]},
    "a name that is no text": {"classes": ["\ud800"]},
    "a million names": {"classes": [str(k) for k in range(10**6)]},
    "a name twice": {"classes": ["dog", "dog"]},
    "numbers for names": {"classes": [1, 2, 3]},
    "text for names": {"classes": "beagle"},
}


@pytest.mark.parametrize("case", ARCHITECTURES)
def test_an_architecture_that_asks_too_much(folder: Path, case: str) -> None:
    info = json.loads((folder / "model.json").read_text())
    for key, value in ARCHITECTURES[case].items():
        known = info["architecture"][key]
        info["architecture"][key] = {**known, **value} if isinstance(known, dict) else value
    (folder / "model.json").write_text(json.dumps(info))
    refused(folder)


TEXTS = {
    "deep": (b'{"format": 2, "a":' + b"[" * 100_000, "nested too deeply"),
    "deep but whole": (b'{"format": 2, "a":' + b"[" * 200 + b"]" * 200 + b"}", "levels deep"),
    "twice": (b'{"format": 2, "format": 2}', "given twice"),
    "many digits": (b'{"format": ' + b"9" * 5_000 + b"}", "cannot be read"),
    "no number": (b'{"format": NaN}', "format"),
    "no text": (b"\xff\xfe{}", "cannot be read"),
    "mark": (b"\xef\xbb\xbf{}", "cannot be read"),
    "nul": (b"\0" * 64, "cannot be read"),
    "empty": (b"", "cannot be read"),
    "null": (b"null", "cannot be read"),
    "list": (b"[2]", "cannot be read"),
    "pickle": (pickle.dumps({"format": 2}), "cannot be read"),
    "long": (b'{"a": "' + b"x" * (20 << 20) + b'"}', "bytes"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_model_json_that_is_none(folder: Path, case: str) -> None:
    content, word = TEXTS[case]
    (folder / "model.json").write_bytes(content)
    refused(folder, "model.json", word)


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", ["model.json", "weights.safetensors", "guide.safetensors"])
def test_something_else_in_place_of_a_file(folder: Path, name: str, kind: str) -> None:
    info = json.loads((folder / "model.json").read_text())
    if name == "guide.safetensors":
        (folder / "model.json").write_text(json.dumps(info | {"guide_sha256": "0" * 64}))
    no_file(folder / name, kind)
    with memory_within(MIB), pytest.raises(PipelineError) as caught:
        load_model(folder, "cpu")
    one_line(caught.value)
    assert "root:" not in str(caught.value)  # nothing of a file that a link led to is told


# --------------------------------------------------------------------------- weights


def sealed(folder: Path, content: bytes, name: str = "weights") -> None:
    """Weights that model.json was written for."""
    (folder / f"{name}.safetensors").write_bytes(content)
    info = json.loads((folder / "model.json").read_text())
    info[f"{name}_sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "model.json").write_text(json.dumps(info))


@pytest.mark.parametrize("case", FORGED)
def test_a_file_of_weights_that_lies(folder: Path, case: str) -> None:
    sealed(folder, FORGED[case])
    refused(folder)


def smaller(tensors: dict[str, torch.Tensor]) -> None:
    tensors["head.weight"] = tensors["head.weight"][:1].contiguous()


def typed(dtype: torch.dtype) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors.update({name: value.to(dtype) for name, value in tensors.items()})

    return change


def filled(value: float) -> Callable[[dict[str, torch.Tensor]], None]:
    return lambda tensors: tensors["head.weight"].view(-1)[3:4].fill_(value) and None


TENSORS: dict[str, tuple[Callable[[dict[str, torch.Tensor]], object], str]] = {
    "one missing": (lambda tensors: tensors.pop("head.bias"), "head.bias"),
    "one more": (lambda tensors: tensors.update(evil=torch.zeros(1)), "evil"),
    "another shape": (smaller, "head.weight"),
    "half": (typed(torch.float16), "float16"),
    "double": (typed(torch.float64), "bytes"),
    "integers": (typed(torch.int32), "int32"),
    "bits": (typed(torch.bool), "bool"),
    "complex": (typed(torch.complex64), "bytes"),
    "no numbers": (filled(float("nan")), "no numbers"),
    "without bound": (filled(float("inf")), "no numbers"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_weights_of_something_else(folder: Path, case: str) -> None:
    change, word = TENSORS[case]
    tensors = safetensors.torch.load_file(folder / "weights.safetensors")
    change(tensors)
    sealed(folder, safetensors.torch.save(tensors))
    refused(folder, word)


def pickles(place: Path) -> dict[str, bytes]:
    """Files that make a folder if they are unpickled, bare and as torch writes them."""
    new, old = io.BytesIO(), io.BytesIO()
    torch.save(Evil(place), new)
    torch.save(Evil(place), old, _use_new_zipfile_serialization=False)
    bare = pickle.dumps(Evil(place))
    return {"bare": bare, "zip": new.getvalue(), "old": old.getvalue(), "led": b"x" * 8 + bare}


@pytest.mark.parametrize("kind", ["bare", "zip", "old", "led"])
def test_a_pickle_is_never_opened(folder: Path, tmp_path: Path, kind: str) -> None:
    """At every door through which weights come in, and each lets in what it should."""
    canary = tmp_path / "canary"
    content = pickles(canary)[kind]
    sealed(folder, content)
    refused(folder)
    sealed(folder, content, "guide")
    refused(folder)
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / f"state-{16:012d}-{digest[:16]}.safetensors").write_bytes(content)
    state, damaged = Checkpoints(tmp_path).load()
    assert state is None and len(damaged) == 1
    (folder / "average.safetensors").write_bytes(content)
    with pytest.raises(PipelineError):
        read_snapshots(folder)
    with pytest.raises(ValueError):
        LocalFeatures.from_bytes(content)
    path = folder / "inception.pth"
    path.write_bytes(content)
    trusted = checked("evaluate.inception", str(path), digest)
    with pytest.raises(UNFIT):
        tensors_in(trusted)
    assert not canary.exists()


def test_the_canary_would_sing(tmp_path: Path) -> None:
    pickle.loads(pickles(tmp_path / "canary")["bare"])
    assert (tmp_path / "canary").exists()


# But for a huge one: these weights may have any size, and are hashed piece by piece.
@pytest.mark.parametrize("kind", [kind for kind in NO_FILES if kind != "huge"])
def test_weights_of_others_nets_that_are_no_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "weights.pth"
    no_file(path, kind)
    with memory_within(MIB), pytest.raises(ParamsError) as caught:
        checked("evaluate.inception", str(path), "0" * 64)
    one_line(caught.value, "evaluate.inception")


# --------------------------------------------------------------------------- doors


@pytest.fixture
def project(workspace: Workspace, made: Path) -> Workspace:
    """With a sound model at home and one by a stranger beside it."""
    shutil.copytree(made, workspace.models)
    shutil.copytree(made, workspace.here / "foreign")
    return workspace


DOORS = {
    "generate": ("generate", "--model", "foreign", "-n", "1"),
    "export": ("export", "--model", "foreign", "--to", "out", "--format", "safetensors"),
    "model": ("model", "foreign"),
    "reconstruct": ("reconstruct", "--model", "foreign", "--length", "0.1", "--output", "out"),
}


@pytest.mark.parametrize("damage", ["info", "weights", "pipe", "pickle"])
@pytest.mark.parametrize("door", DOORS)
def test_a_bad_model_is_one_line_at_every_door(
    project: Workspace, pipeline: Pipeline, door: str, damage: str
) -> None:
    foreign = project.here / "foreign"
    if damage == "info":
        info = json.loads((foreign / "model.json").read_text())
        info["architecture"]["classes"][0] = "\x1b[2J" + "x" * 10**6
        (foreign / "model.json").write_text(json.dumps(info))
    elif damage == "weights":
        sealed(foreign, FORGED["overlap"])
    elif damage == "pipe":
        no_file(foreign / "weights.safetensors", "pipe")
    else:
        sealed(foreign, pickles(project.here / "canary")["zip"])
    before = tree(project.here)
    said = pipeline(*DOORS[door])
    assert said.code != 0
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    assert len(said.err) < 5_000 and not steers(said.err + said.out)
    after = {name: size for name, size in tree(project.here).items() if name != "out"}
    assert after == before


def test_an_evaluation_by_a_bad_model_writes_nothing(
    project: Workspace, pipeline: Pipeline
) -> None:
    sealed(project.models, FORGED["overlap"])
    before = tree(project.here)
    said = pipeline("evaluate")
    assert said.code != 0 and said.err.startswith("error: ") and "models" in said.err
    after = tree(project.here)
    assert {name: after[name] for name in after if not name.startswith(".cache")} == before
    assert set(after) - set(before) == {".cache", ".cache/evaluate.lock"}


def test_a_served_model_that_is_none_does_not_load(folder: Path) -> None:
    from pipeline.served import Generator

    sealed(folder, FORGED["overlap"])
    with pytest.raises(PipelineError):
        Generator().load_context(SimpleNamespace(artifacts={"model": str(folder)}))


def test_read_info_is_what_others_rely_on(folder: Path) -> None:
    info = read_info(folder)
    assert info["training"]["images"] == 64
