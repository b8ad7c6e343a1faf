"""What the pages say can be done can be done: links, files, commands, options, knobs."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from dvc.cli import DvcParserError
from dvc.cli.parser import get_main_parser

from pipeline.cli import cli
from pipeline.knobs import flatten
from pipeline.params import Params, to_dict
from pipeline.raw import Store, examine
from pipeline.scraping.download import Result
from pipeline.scraping.ledger import Ledger

REPOSITORY = Path(__file__).parents[1]
PAGES = [*REPOSITORY.glob("*.md"), REPOSITORY / "data/README.md", *REPOSITORY.glob("docs/**/*.md")]
page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda path: path.relative_to(REPOSITORY).as_posix()
)
SECTIONS = ("scrape", "dedupe", "resize", "train", "evaluate", "tracking")
MAPPINGS = ("scrape.sources", "scrape.bases")  # one knob each, whatever names are in it


def blocks(text: str, *languages: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [body for language, body in fenced if language in languages]


def spans(text: str) -> list[str]:
    """What stands in backquotes, outside of blocks."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", outside)]


def commands(text: str) -> Iterator[list[str]]:
    """Each command of the blocks and of the running text, as words."""
    scripts = [body.replace("\\\n", "") for body in blocks(text, "", "sh")]
    lines = [line for script in scripts for line in script.split("\n")]
    for line in [*lines, *(span for span in spans(text) if " " in span)]:
        try:
            lexer = shlex.shlex(line, posix=True, punctuation_chars="&;|")
            lexer.whitespace_split = True
            words = list(lexer)
        except ValueError:  # an apostrophe: no command
            continue
        command: list[str] = []
        for word in [*words, ";"]:
            if set(word) <= set("&;|"):
                yield command
                command = []
            elif command or not re.fullmatch(r"[A-Z_]+=.*", word):
                command.append(word)


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@page
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        found = page.parent / name if name else page
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text("utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), target


@page
def test_every_file_that_is_named_is_there(page: Path) -> None:
    named = r"(pipeline|stages|tests|bench|docs|presets|scripts)/[a-z0-9_\-./]*"
    for span in spans(page.read_text("utf-8")):
        if re.fullmatch(named, span):
            assert (REPOSITORY / span).exists(), span


@page
def test_every_pipeline_command_parses(page: Path) -> None:
    for words in commands(page.read_text("utf-8")):
        if len(words) > 1 and words[0] == "pipeline" and not words[1].isupper():
            parse(cli, words[1:], " ".join(words))


def parse(command: click.Command, words: list[str], line: str) -> None:
    """As click does before it runs anything."""
    try:
        rest = command.make_parser(click.Context(command)).parse_args(list(words))[1]
    except click.UsageError as error:
        pytest.fail(f"{line}: {error.format_message()}")
    if isinstance(command, click.Group) and rest:
        assert rest[0] in command.commands, line
        parse(command.commands[rest[0]], rest[1:], line)
    else:
        assert not rest, line


@page
def test_every_dvc_command_parses(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in commands(page.read_text("utf-8")):
        if len(words) > 2 and words[0] == "dvc":  # "dvc queue" is a family of commands
            try:
                get_main_parser().parse_args(words[1:])
            except (DvcParserError, SystemExit):
                pytest.fail(f"{' '.join(words)}: {capsys.readouterr().err}")


@page
def test_every_target_of_make_is_there(page: Path) -> None:
    targets = re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE)
    for words in commands(page.read_text("utf-8")):
        if words and words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= set(targets), words


@page
def test_every_knob_that_is_named_is_in_the_schema(page: Path) -> None:
    keys = set(flatten(to_dict(Params())))
    known = keys | set(MAPPINGS) | {key.rpartition(".")[0] for key in keys} | set(SECTIONS)
    text = page.read_text("utf-8")
    named = re.findall(r"-S '?([a-z][\w.]*)=", text)  # KEY=VALUE names none
    for span in spans(text):
        found = re.fullmatch(rf"((?:{'|'.join(SECTIONS)})\.[a-z_.]+)(?:=.*)?", span)
        if found and not re.search(r"\.(py|json|csv|sqlite)$", found[1]):
            named.append(found[1])
    unknown = set(named) - known
    assert not unknown


def test_the_index_of_decisions_has_each_of_them() -> None:
    folder = REPOSITORY / "docs/decisions"
    there = {path.name for path in folder.glob("[0-9]*.md")}
    listed = re.findall(r"\]\((\d{4}-[^)]*\.md)\)", (folder / "README.md").read_text("utf-8"))
    assert sorted(listed) == sorted(there)
    for name in there:
        text = (folder / name).read_text("utf-8")
        headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert headings == [
            "What",
            "Why",
            "What else was weighed",
            "What it costs",
            "When to change it",
        ], name


def test_every_package_we_ask_for_has_its_licence_named() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    asked = [*project["dependencies"], *(line for extra in extras for line in extra)]
    names = {re.split(r"[\[<>=]", line)[0] for line in asked} - {project["name"]}
    page = (REPOSITORY / "THIRD_PARTY.md").read_text("utf-8")
    listed = re.findall(r"^\| ([\w.-]+) \|", page, re.MULTILINE)
    missing = names - set(listed)
    assert not missing


def test_what_is_taken_out_as_the_page_says_is_never_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Python of docs/ethics.md, on a real ledger and store."""
    (code,) = blocks((REPOSITORY / "docs/ethics.md").read_text("utf-8"), "python")
    monkeypatch.chdir(tmp_path)
    store = Store(Path(".cache/scrape/store"))
    contents = [examine(data) for data in (b"theirs", b"another's")]
    with Ledger(Path(".cache/scrape/ledger.sqlite")) as ledger:
        for data, content in zip((b"theirs", b"another's"), contents, strict=True):
            store.put(data, content)
            ledger.record_image("site", f"https://site.example/{data[0]}", Result(content, "now"))
    exec(re.sub(r'sha256 = "[^"]*"', f'sha256 = "{contents[0].sha256}"', code), {})
    with Ledger(Path(".cache/scrape/ledger.sqlite")) as ledger:
        gone, left = (ledger.image("site", f"https://site.example/{data}") for data in b"ta")
    # What `Run.fetch` asks: a failure that lasts is not tried again, a file that lacks is.
    assert gone is not None and gone.content is None and gone.lasting
    assert left is not None and left.content == contents[1] and store.has(contents[1])
    assert not store.has(contents[0])
