"""``pipeline sources``: the table, and what a check says of a site well, changed or shut."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import saved_site
import tiny_site
from click.testing import CliRunner, Result

from pipeline.cli import cli
from pipeline.errors import ParamsError, PipelineError
from pipeline.scraping.outcome import Outcome, Visit
from pipeline.scraping.source_model import Page, Results
from pipeline.scraping.sources import load_source
from pipeline.scraping.trial import NEVER, NOT_NEEDED, matches

REPOSITORY = Path(__file__).parents[2]
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``pipeline sources`` in a project folder of its own."""
    for name in ("params.yaml", "dvc.yaml", "breeds.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, ["sources", *arguments])


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with tiny_site.running(saved_site.app) as url:
        yield url


def test_the_table_names_every_source_with_what_proves_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    shipped = REPOSITORY / "pipeline" / "scraping" / "sources"
    own = (shipped / "bing.yaml").read_text().replace("name: bing", "name: mine")
    (tmp_path / "sources" / "mine.yaml").write_text(own)
    shutil.copy(shipped / "flickr.yaml", tmp_path / "sources")
    lines = run().output.splitlines()
    assert lines[0].split() == ["name", "kind", "verified", "proven", "terms"]
    rows = {line[2:].split()[0]: line for line in lines[1:]}
    assert list(rows) == sorted([*(path.stem for path in shipped.glob("*.yaml")), "mine"])
    assert {name for name, line in rows.items() if line.startswith("*")} == {"mine", "flickr"}
    assert "browser  2026-11-21  saved structure " in rows["google"]
    assert "live" in rows["gallery"] and "api" in rows["openverse"]
    assert run("list").output.splitlines() == lines
    assert max(map(len, lines)) < 160


@pytest.mark.browser
def test_the_embedded_gallery_is_served_and_checked(run: Run, tmp_path: Path) -> None:
    result = run("check", "gallery", "--images", "5")
    assert result.exit_code == 0, result.exception
    assert "outcome   results\n  pictures  5 of 5 wanted" in result.output
    assert "         5  image_url  a.original@href" in result.output
    assert "not needed  page_url   @href" in result.output
    assert result.output.count("  1. http://127.0.0.1:") == 1
    folder = tmp_path / ".cache" / "scrape" / "check" / "gallery"
    assert f"kept in   {folder.relative_to(tmp_path)}" in result.output
    assert "<html" in (folder / "page.html").read_text()
    assert (folder / "screen.png").read_bytes().startswith(b"\x89PNG")
    assert not list((tmp_path / ".cache" / "scrape" / "browsers").glob("*.record"))


@pytest.mark.browser
def test_a_site_that_changed_fails_with_one_line(run: Run, site: str) -> None:
    base = ("-S", f"scrape.bases={{bing: {site}/bing}}")
    well = run("check", "bing", "--query", "beagle", "--images", "3", *base)
    assert well.exit_code == 0, well.exception
    assert "     never  licence" not in well.output  # it has no rule for it
    assert "1. https://kennel.example/dogs/10.jpg?a=1&b=2\n     Beagle nr 10 · " in well.output
    for query, said in (
        ("nothing", "bing: the site says that it has nothing"),
        ("captcha", "bing, captcha: blocked: the site wants no robots"),
    ):
        failed = run("check", "bing", "--query", query, *base)
        assert isinstance(failed.exception, PipelineError)
        assert str(failed.exception).startswith(said)
        assert failed.exception.exit_code == 1
    assert "kept in   .cache/scrape/check/bing" in failed.output


def test_an_api_is_checked_without_a_browser(run: Run, site: str) -> None:
    base = ("-S", f"scrape.bases={{openverse: {site}/openverse}}")
    result = run("check", "openverse", "--query", "beagle", *base)
    assert result.exit_code == 0, result.exception
    assert "        20  licence    license_url\nnot needed  licence    license\n" in result.output
    assert "        16  author     creator\n" in result.output
    assert "     Beagle 1 · CC BY-SA 2.0 · Ann 1 · https://photos.example/1" in result.output


def test_robots_are_heeded_and_the_way_out_is_named(run: Run, site: str) -> None:
    base = ("-S", f"scrape.bases={{google: {site}/google}}")
    saved_site.asked.clear()
    result = run("check", "google", "--query", "beagle", *base)
    assert str(result.exception) == (
        f"google: robots.txt disallows it ({site}/google/search?q=beagle&udm=2&hl=en&safe=active"
        "&tbs=itp:photo); -S 'scrape.ignore_robots=[google]' visits it all the same"
    )
    assert not [path for path in saved_site.asked if path.startswith("google")]


@pytest.mark.browser
def test_robots_can_be_overruled_by_name(run: Run, site: str) -> None:
    named = ("-S", f"scrape.bases={{google: {site}/google}}", "-S", "scrape.ignore_robots=[google]")
    result = run("check", "google", "--query", "beagle", "--images", "2", *named)
    assert result.exit_code == 0, result.exception


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("searxng", "-S 'scrape.bases={searxng: https://search.example.org}'"),
        ("commons-api", "-S scrape.contact=mail@example.org"),
        ("gogle", "did you mean google?"),
    ],
)
def test_what_is_missing_is_named_with_the_line_that_gives_it(
    run: Run, name: str, said: str
) -> None:
    result = run("check", name)
    assert isinstance(result.exception, ParamsError)
    assert said in str(result.exception)


def test_an_alternative_is_blamed_only_where_it_was_tried() -> None:
    rules = {"image_url": ("a@href", "b@href"), "title": ("h1", "h2", "h3"), "author": (".by",)}
    page = Page("", "{base}/{query}", Results("li"), tile=rules)
    seen = Visit(Outcome.RESULTS, matched={"image_url": {"a@href": 4}, "title": {"h2": 1, "h1": 2}})
    assert [(m.field, m.alternative, m.count, m.note) for m in matches(page, seen)] == [
        ("image_url", "a@href", 4, ""),
        ("image_url", "b@href", 0, NOT_NEEDED),
        ("title", "h1", 2, ""),
        ("title", "h2", 1, ""),
        ("title", "h3", 0, NEVER),
        ("author", ".by", 0, NEVER),
    ]


def test_no_source_ships_without_safe_search_terms_and_date() -> None:
    strict = {
        "bing": "adlt=strict",
        "google": "safe=active",
        "duckduckgo": "kp=1",
        "searxng": "safesearch=2",
        "flickr": "safe_search=1",
        "openverse": "mature=false",
    }
    for name, mark in strict.items():
        source = load_source(name, Path("nowhere"))
        assert all(mark in page.search for page in source.pages)
        assert source.terms and source.robots and source.proven
        assert source.verified == "2026-11-21"
