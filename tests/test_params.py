"""params.yaml: what fits is read as typed values, what does not is one line that says all."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pipeline.errors import ParamsError
from pipeline.knobs import flatten, parse_assignment, parse_yaml, set_in_text
from pipeline.params import Params, from_document, load, to_dict

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text("seed: 0\nscheduler: linear\ntrain:\n  lr: 0.002\n")
    return path


def test_the_file_names_every_knob_and_nothing_else() -> None:
    written = flatten(parse_yaml((REPOSITORY / "params.yaml").read_text(), "params.yaml"))
    assert set(written) == set(flatten(to_dict(Params())))


def test_the_file_holds_the_defaults() -> None:
    assert load(REPOSITORY / "params.yaml") == Params()


def test_missing_keys_take_their_defaults(file: Path) -> None:
    assert load(file) == dataclasses.replace(Params(), seed=0)
    file.write_text("")
    assert load(file) == Params()


@pytest.mark.parametrize("text", ["1e-5", "1e-05", "0.00001", "'1e-05'", "1.0e-5"])
def test_every_way_to_write_a_float_is_that_float(file: Path, text: str) -> None:
    assert load(file, [f"train.lr={text}"]).train.lr == 1e-5
    file.write_text(f"train:\n  lr: {text}\n")
    assert load(file).train.lr == 1e-5


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("scheduler=banana", "scheduler: got 'banana', expected one of linear, cosine"),
        ("seed=-1", "seed: got -1, expected an integer from 0 to 2147483647"),
        ("seed=1.5", "seed: got 1.5, expected an integer"),
        ("seed=true", "seed: got True, expected an integer"),
        ("train.lr=fast", "train.lr: got 'fast', expected a number"),
        ("train.lr=.nan", "train.lr: got nan, expected a number"),
        ("train.lr=null", "train.lr: got None, expected a number"),
        ("train.flip=yes please", "train.flip: got 'yes please', expected true or false"),
        ("train.flip=1", "train.flip: got 1, expected true or false"),
        ("train.net.multipliers=[1, x]", "train.net.multipliers: got [1, 'x'], expected a list"),
        ("train.net=3", "train.net: got 3, expected a section with keys"),
        ("scrape.sources=[gallery]", "scrape.sources: got ['gallery'], expected names"),
        ("nosuch=1", "nosuch: unknown parameter; known here: seed, scheduler"),
        ("schedular=linear", "schedular: unknown parameter; did you mean scheduler?"),
        ("trian.lr=1", "trian: unknown parameter; did you mean train?"),
        ("train.lr.x=1", "train.lr.x: lr is a value, not a section"),
        ("resize.size=65", "resize.size: got 65, expected a multiple of 8"),
        ("train.net.attention=[7]", "train.net.attention: got 7, but the net works at 16, 8"),
        ("train.net.multipliers=[]", "train.net.multipliers: got 0 levels"),
        ("train.decay=1", "train.warmup + train.decay: got 0.02 + 1"),
        ("dedupe.near_distance=20", "dedupe.loose_distance: got 10, expected at least"),
        ("scrape.sources={}", "scrape.sources: got none"),
    ],
)
def test_what_does_not_fit_is_named_with_what_would(file: Path, assignment: str, says: str) -> None:
    with pytest.raises(ParamsError) as caught:
        load(file, [assignment])
    text = str(caught.value)
    assert says in text and "\n" not in text
    assert text.startswith(("command line: ", "params.yaml: "))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["train.lr", "=1", " =1"])
def test_an_override_that_is_no_assignment_shows_one_that_is(file: Path, text: str) -> None:
    with pytest.raises(ParamsError, match="expected key=value"):
        load(file, [text])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("seed: [", "is not YAML"),
        ("seed: 0\nseed: 1\n", "is not YAML.*seed"),
        ("- a\n", "expected keys and values, got list"),
        ("3", "expected keys and values, got int"),
        ("a: &a [*a]\n", "unknown parameter|is not YAML"),
        ("seed: !!python/object:os.system {}\n", "is not YAML|expected an integer"),
        ("1: 2\n", "1: unknown parameter"),
    ],
)
def test_a_file_that_is_not_params_is_one_line(file: Path, content: str, says: str) -> None:
    file.write_text(content)
    with pytest.raises(ParamsError, match=f"^params.yaml: .*({says})") as caught:
        load(file)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="cannot be read"):
        load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes(b"seed: \xff\n")
    with pytest.raises(ParamsError, match="UTF-8"):
        load(tmp_path / "params.yaml")


def test_values_of_an_assignment_are_yaml() -> None:
    assert parse_assignment("a.b=[1, 2]") == ("a.b", [1, 2])
    assert parse_assignment("a=x=y") == ("a", "x=y")
    assert parse_assignment("a=") == ("a", None)
    assert parse_assignment('a="1"') == ("a", "1")


def test_an_override_does_not_touch_the_file(file: Path) -> None:
    before = file.read_bytes()
    assert load(file, ["seed=7"]).seed == 7
    assert file.read_bytes() == before


def test_params_survive_the_way_to_json_and_back() -> None:
    params = from_document({"seed": 3, "train": {"net": {"multipliers": [1, 2, 2]}}})
    assert from_document(to_dict(params)) == params


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("scheduler", "cosine", "scheduler: cosine"),
        ("train.lr", 0.0005, "  lr: 0.0005"),
        ("scrape.import_path", "dogs.tar", "  import_path: dogs.tar"),
        ("seed", 5, "seed: 5"),
    ],
)
def test_setting_a_value_changes_one_line(key: str, value: object, line: str) -> None:
    """It rests on params.yaml being in ruamel's own style, comments included."""
    before = (REPOSITORY / "params.yaml").read_text()
    after = set_in_text(before, {key: value})
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    assert [new for old, new in pairs if old != new] == [line]
    assert flatten(parse_yaml(after, "params.yaml"))[key] == value
