"""params.yaml, breeds.yaml, sources/*.yaml and overrides.csv by someone else: read or refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import Pipeline
from hostile import NO_FILES, VALUES, memory_within, no_file, one_line, sparse, steers

from pipeline.cleaning.overrides import read_overrides
from pipeline.errors import ParamsError, PipelineError, printable
from pipeline.knobs import MOST_BYTES, assign, flatten
from pipeline.params import Params, from_document, load, to_dict
from pipeline.scraping.breeds import load_breeds
from pipeline.scraping.sources import load_source
from pipeline.workspace import Workspace

pytestmark = pytest.mark.timeout(120)

MIB = 400


def knobs(section: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every knob with its field, sections left out."""
    section = Params() if section is None else section
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            yield from knobs(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", field


def within(value: Any, rule: Any) -> bool:
    """Whether what was let in is what the schema says, checked without its own code."""
    if isinstance(value, (list, tuple)):
        return all(within(item, rule) for item in value)
    if isinstance(value, dict):
        return all(type(key) is str and within(item, rule) for key, item in value.items())
    if rule["choices"] is not None:
        return value in rule["choices"]
    if type(value) in (int, float):
        low, high = rule["low"], rule["high"]
        finite = abs(value) < float("inf")
        return finite and (low is None or value >= low) and (high is None or value <= high)
    return value is None or type(value) in (bool, str)


@pytest.mark.parametrize("key, field", list(knobs()), ids=[key for key, _ in knobs()])
def test_every_knob_takes_what_it_allows_and_names_itself_for_the_rest(
    key: str, field: Any
) -> None:
    taken = 0
    for value in (*VALUES, 2**20_000, -(10**400), b"\0", {1: 2}, {"a": 1, None: 2}):
        document: dict[str, Any] = {}
        assign(document, key, value)
        try:
            found = flatten(to_dict(from_document(document)))
        except ParamsError as error:
            one_line(error, "params.yaml")
            # Values that do not go together may be told by the other one's name.
            section = key.split(".")[0]
            assert section in str(error)
        else:
            inside = [v for k, v in found.items() if k == key or k.startswith(f"{key}.")]
            assert all(within(value, field.metadata) for value in inside)
            taken += 1
    assert taken < len(VALUES)


@pytest.mark.parametrize("section", ["train", "train.net", "scrape.gallery", "dedupe.quality"])
def test_a_section_is_no_value(section: str) -> None:
    for value in VALUES:
        document: dict[str, Any] = {}
        assign(document, section, value)
        if value == {}:
            from_document(document)
            continue
        with pytest.raises(ParamsError) as caught:
            from_document(document)
        one_line(caught.value, section)


# --------------------------------------------------------------------------- YAML


def nested(depth: int, pair: str = "[]") -> str:
    return f"seed: {pair[0] * depth}{pair[1] * depth}"


def laughs(levels: int, each: str, of: str) -> str:
    first = "a0: &a0 " + each + "\n"
    return first + "".join(
        f"a{k}: &a{k} " + of.format(", ".join([f"*a{k - 1}"] * 10)) + "\n"
        for k in range(1, levels + 1)
    )


YAML = {
    "tag": ("seed: !!python/object/apply:os.mkdir [canary]", "not YAML"),
    "short tag": ("seed: !apply:os.mkdir [canary]", "not YAML"),
    "name": ("seed: !!python/name:os.system", "not YAML"),
    "module": ("seed: !!python/module:evil", "not YAML"),
    "laughs": (laughs(12, "[x]", "[{}]"), "alias"),
    "merged laughs": (laughs(12, "{k: 1}", "{{<<: [{}]}}"), "alias"),
    "loop": ("seed: &a [*a]", "alias"),
    "loop of sections": ("scrape: &a\n  gallery: *a", "alias"),
    "loop of merges": ("scrape: &a\n  <<: *a", "alias"),
    "no such anchor": ("seed: *nobody", "alias"),
    "deep": (nested(100_000), "nested"),
    "deep sections": ("a: {" * 50_000, "nested"),
    "deep blocks": ("\n".join(" " * k + "a:" for k in range(900)), "nested"),
    "never closed": ("[" * 100_000, "nested"),
    "digits": ("seed: " + "9" * 6_000, "params.yaml"),
    "hexadecimal": ("seed: 0x" + "f" * 100_000, "seed: got an integer of 400000 bits"),
    "octal": ("seed: 0o" + "7" * 100_000, "seed"),
    "sixty": ("seed: 1:" + "59:" * 3_000 + "1", "seed"),
    "beyond floats": ("train:\n  lr: 1e400", "train.lr"),
    "not a number": ("train:\n  lr: .nan", "train.lr"),
    "infinite": ("train:\n  lr: -.inf", "train.lr"),
    "twice": ("seed: 1\nseed: 2", "duplicate"),
    "nul": ("seed: 1\0", "not YAML"),
    "escape": ("seed: 1\x1b[31m", "not YAML"),
    "two documents": ("seed: 1\n---\nseed: 2", "not YAML"),
    "a directive": ("%YAML 9.9\n---\nseed: 1", "params.yaml"),
    "unknown": ("seeed: 1", "did you mean seed"),
    "a key that steers": ('"\\e]0;x\\a": 1', "unknown parameter"),
    "a long key": (f"{'k' * 1000}: 1", "unknown parameter"),
    "a key of two": ("? [a, b]\n: 1", "unknown parameter"),
    "a key of none": ("null: 1", "unknown parameter"),
    "no section": ("- 1", "expected keys"),
    "a text": ("x" * 500_000, "expected keys"),
    "binary": ("seed: !!binary AAAA", "seed"),
    "a date": ("seed: 2020-01-01", "seed"),
    "many levels": ("train:\n  net:\n    multipliers: [" + "1," * 20_000 + "1]", "params.yaml"),
}


@pytest.mark.parametrize("case", YAML)
def test_a_file_made_to_harm_is_one_line(
    workspace: Workspace, pipeline: Pipeline, case: str
) -> None:
    text, word = YAML[case]
    workspace.params.write_bytes(text.encode())
    before = workspace.params.read_bytes()
    with memory_within(MIB):
        said = pipeline("params")
    assert said.code == 2 and said.out == ""
    assert said.err.startswith("error: params.yaml") and said.err.count("\n") == 1
    assert word in said.err and len(said.err) < 5_000 and not steers(said.err)
    assert workspace.params.read_bytes() == before
    assert not Path("canary").exists()


@pytest.mark.parametrize("codec", ["utf-16", "latin-1"])
def test_text_of_another_code_is_one_line(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes("tracking:\n  experiment: žluť\n".encode(codec, "replace") + b"\xff")
    with pytest.raises(ParamsError, match="UTF-8"):
        load(path)


def test_a_byte_order_mark_and_bounded_aliases_are_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"\xef\xbb\xbfscrape:\n  gallery: &g {seed: 3}\ndedupe:\n  quality: {}\n")
    assert load(path).scrape.gallery.seed == 3


READERS: dict[str, Callable[[Path], object]] = {
    "params.yaml": load,
    "breeds.yaml": load_breeds,
    "mine.yaml": lambda path: load_source("mine", path.parent),
    "overrides.csv": read_overrides,
}


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", READERS)
def test_something_else_in_place_of_a_file(tmp_path: Path, name: str, kind: str) -> None:
    no_file(tmp_path / name, kind)
    if name == "overrides.csv" and kind in ("dangling", "loop"):
        assert READERS[name](tmp_path / name) == []  # no file: nobody decided anything
        return
    with memory_within(MIB), pytest.raises(PipelineError) as caught:
        READERS[name](tmp_path / name)
    one_line(caught.value)
    assert "root:x" not in str(caught.value)


@pytest.mark.parametrize("name", READERS)
def test_a_file_of_a_hundred_megabytes_is_not_read(tmp_path: Path, name: str) -> None:
    sparse(tmp_path / name, 100 << 20, b"seed: 1\n")
    with memory_within(60), pytest.raises(PipelineError, match="bytes"):
        READERS[name](tmp_path / name)
    assert MOST_BYTES < 100 << 20


def test_paths_of_devices_are_refused_by_the_stage_that_opens_them(
    workspace: Workspace, pipeline: Pipeline
) -> None:
    for value in ("/dev/zero", "/dev/stdin", "/proc/self/mem", "/etc", "/nonexistent", "a\\0b"):
        said = pipeline("scrape", "-S", f'scrape.import_path="{value}"')
        assert said.code != 0 and said.err.count("error: ") == 1, value
        assert "Traceback" not in said.err and not steers(said.err)
        assert not list(workspace.raw.glob("*/*"))


# --------------------------------------------------------------------------- breeds and sources


@pytest.mark.parametrize(
    "text",
    [
        "../../etc: dog",
        "/etc: dog",
        "a/b: dog",
        "a\\b: dog",
        '"a\\0b": dog',
        "con.: dog",
        "..: dog",
        '"\\e[31m": dog',
        '"<script>": dog',
        "Ä: dog",
        "1: dog",
        "true: dog",
        "dog: [1]",
        "dog: {a: b}",
        "dog: [[a]]",
        "dog: ''",
        f"{'x' * 300}: dog",
        "dog: !!python/object/apply:os.mkdir [canary]",
    ],
)
def test_a_breed_that_is_no_name_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "breeds.yaml").write_text(text)
    with pytest.raises(ParamsError) as caught:
        load_breeds(tmp_path / "breeds.yaml")
    one_line(caught.value, "breeds.yaml")


SOURCE = """
name: mine
verified: 2026-01-01
search: "{base}/?q={query}"
base: https://example.org
results: {tile: a}
tile: {image_url: [a@href]}
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("https://example.org", "file:///etc"),
        ("https://example.org", "ftp://example.org"),
        ("https://example.org", "javascript:alert(1)"),
        ("https://example.org", "https://"),
        ('"{base}/?q={query}"', '"file:///etc/passwd?{query}"'),
        ('"{base}/?q={query}"', '"javascript:alert({query})"'),
        ('"{base}/?q={query}"', '"data:text/html,{query}"'),
        ('"{base}/?q={query}"', '"{base.__class__}/{query}"'),
        ('"{base}/?q={query}"', '"{base}/{query!r:>{width}}"'),
        ('"{base}/?q={query}"', '"{0.__init__.__globals__}{query}"'),
        ("name: mine", "name: ../mine"),
        ("name: mine", "name: !!python/object/apply:os.mkdir [canary]"),
        ("tile: {image_url: [a@href]}", "tile: {image_url: [1]}"),
        ("results: {tile: a}", "results: {tile: [a]}"),
        ("verified: 2026-01-01", "exec: import os"),
    ],
)
def test_a_source_is_data_for_the_web_alone(tmp_path: Path, before: str, after: str) -> None:
    (tmp_path / "mine.yaml").write_text(SOURCE)
    load_source("mine", tmp_path)
    assert before in SOURCE
    (tmp_path / "mine.yaml").write_text(SOURCE.replace(before, after))
    with pytest.raises(ParamsError) as caught:
        load_source("mine", tmp_path)
    one_line(caught.value, "mine.yaml")


@pytest.mark.parametrize("name", ["../mine", "/etc/passwd", "a/../../b", "", ".", "mine\0"])
def test_the_name_of_a_source_is_no_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "mine.yaml").write_text(SOURCE)
    with pytest.raises(ParamsError, match="unknown source"):
        load_source(name, tmp_path / "sources")


# --------------------------------------------------------------------------- overrides


@pytest.mark.parametrize(
    "text",
    [
        "a,run,why\n",
        '"a,drop\n',
        f"{'x' * 200_000},drop,x\n",
        "a,drop,x,y,z\n",
        ",drop,x\n",
        "\x1b[31m,\x1b]0;x\x07,x\n",
    ],
)
def test_lines_of_overrides_that_are_none_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "overrides.csv").write_text(text)
    with pytest.raises(PipelineError) as caught:
        read_overrides(tmp_path / "overrides.csv")
    one_line(caught.value, "overrides.csv")


def test_printable_keeps_text_and_drops_what_steers() -> None:
    assert printable("Ünï – “x” 猫\nline") == "Ünï – “x” 猫\nline"
    assert not steers(printable("".join(map(chr, range(0x110000)))))
