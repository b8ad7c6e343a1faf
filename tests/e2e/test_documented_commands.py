"""Every command line in a block of a page is run: here, or by the test that is named here."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from clone import Project
from command_line import Pipeline, command_line
from PIL import Image
from test_documents import PAGES, REPOSITORY, blocks

TESTS = REPOSITORY / "tests"

# Lines that another test runs, or the nearest to them that a test can run; the first that fits
# counts. Such a test may use smaller numbers and a server on this machine for one in the world.
ELSEWHERE = {
    r"make |source |pytest ": "test_setup.py::test_make_offers_the_two_commands_of_the_readme",
    r"python3 -m venv|/tmp/fresh": "test_setup.py::test_a_bare_machine_gets_environment_packages",
    r"pip install '\.\[server|sudo -u postgres|mlflow server|export MLFLOW_TRACKING_URI=http": (
        "test_postgres.py::test_two_runs_at_once_arrive_once"
    ),
    r"dvc remote add|git (push|pull) &&|dvc exp (push|pull)": (
        "e2e/test_remote.py::test_a_second_clone_has_data_model_pictures"
    ),
    r"pip install '\.\[eval": "evaluation/test_inception.py::test_a_missing_package_is_one_clear",
    r"dvc repro": "e2e/test_reproduce.py::test_one_command_runs_all_five_stages",
    r"dvc exp run -S scheduler=cosine": "e2e/test_experiments.py::test_another_schedule_runs",
    r".*(dvc exp run .*--queue|queue start|queue logs|queue kill)": (
        "e2e/test_experiments.py::test_two_queued_seeds_are_two_finished_runs"
    ),
    r"dvc exp run -S evaluate.inc": "evaluation/test_inception.py::test_every_metric_comes_with",
    r"dask |dvc exp run -S dedupe.executor": "cleaning/test_dask.py::test_equal_to_the_local_run",
    r"java -jar": "scraping/test_grid.py::test_two_workers_share_two_nodes_and_outlive",
    r"torchrun": "stages/test_many_processes.py::test_two_processes_have_the_same_weights",
    r"pipeline scrape --breeds 26$": "scraping/test_faults.py::test_every_row_of_the_truth",
    r"pipeline scrape .*(commons|openverse|kennel)": "scraping/test_wiki.py::test_the_whole_scrape",
    r"pipeline sources check (bing|commons|kennel)": (
        "scraping/test_sources_command.py::test_the_embedded_gallery_is_served_and_checked"
    ),
    r"pipeline gallery": "scraping/test_gallery_browser.py::test_a_visitor_sees_every_result",
    r"pipeline ui": "e2e/test_ui.py::test_the_compare_link_shows_both_runs",
    r"pipeline (train|evaluate)": "e2e/test_commands.py::test_a_stage_run_alone_is_recorded",
    r"pipeline import torchvision": "dataset/test_torchvision_sets.py::test_",
    r"pipeline import ": "e2e/test_imports.py::test_two_data_sets_become_one_by_breed",
    r"pipeline preset apply seed-002": "test_seed_presets.py::test_the_sprites_of_seed_002_survive",
    r"pipeline export --to exported$": "test_export.py::test_the_onnx_file_answers_alike",
    r"pipeline deliver (~|--to)": "test_deliver_command.py::test_a_store_elsewhere_is_named_by_to",
    r"MLFLOW_TRACKING_URI=.* mlflow models serve|curl": (
        "e2e/test_serve.py::test_a_served_model_answers_with_the_pictures"
    ),
}
# Names of the pages, and what they are in a repository that knows two breeds and one run.
STAND_INS = {
    r"(--breed) (beagle|pug)": r"\1 golden_retriever",
    r"\bCOMMAND\b": "scrape",
}


def lines(page: Path) -> list[str]:
    """The commands of the page's blocks without their comments; a here-document is one."""
    found = []
    for body in blocks(page.read_text("utf-8"), "sh"):
        body = body.replace("\\\n", "")
        for match in re.finditer(r"^(.*<<'(\w+)'\n(?:.*\n)*?\2$|.+)", body, re.MULTILINE):
            text = match[0] if match[2] else re.sub(r"(^|\s+)#.*$", "", match[0]).strip()
            if text:
                found.append(text)
    return found


def pattern_of(line: str) -> str | None:
    return next((pattern for pattern in ELSEWHERE if re.match(pattern, line)), None)


def test_what_is_run_elsewhere_is_on_a_page_and_run_there() -> None:
    assert {pattern_of(line) for page in PAGES for line in lines(page)} - {None} == set(ELSEWHERE)
    for named in ELSEWHERE.values():
        path, _, name = named.partition("::")
        assert re.search(rf"^(async )?def {name}", (TESTS / path).read_text("utf-8"), re.M), named


@pytest.fixture
def clone(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[Project, Pipeline]:
    """A finished repository, with what the lines name lying about in it."""
    monkeypatch.chdir(project.root)
    for name in ("DVC_STAGE", "DVC_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    pipeline = command_line(monkeypatch, capsys)
    assert "mended" in pipeline("doctor", "--fix").out  # it is a copy
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Path("DIR").mkdir()
    Image.fromarray(noise).resize((400, 300)).save("DIR/1.png")
    shutil.copy("DIR/1.png", "my-dog.jpg")
    assert pipeline("generate", "-n", "1", "--fname", "plots/sample").code == 0
    project.dvc("remote", "add", "--default", "elsewhere", str(project.root.parent / "remote"))
    return project, pipeline


PAGES_WITH_LINES = [page for page in sorted(PAGES) if any(not pattern_of(x) for x in lines(page))]


@pytest.mark.parametrize("page", PAGES_WITH_LINES, ids=lambda page: page.stem)
def test_the_lines_of_a_page_do_what_they_say(page: Path, clone: tuple[Project, Pipeline]) -> None:
    project, pipeline = clone
    run = project.runs()[0].info.run_id
    stand_ins = STAND_INS | {r"\bID\b": run, r"\b3f2a91\b": run[:6]}
    for line in dict.fromkeys(lines(page)):
        if pattern_of(line):
            continue
        for name, meant in stand_ins.items():
            line = re.sub(name, meant, line)
        if line.startswith("export "):
            project.env |= dict([line.removeprefix("export ").split("=", 1)])
            continue
        if line.startswith("pipeline ") and " scrape " not in line:
            result = pipeline(*shlex.split(line)[1:])
            code, said = result.code, result.out + result.err
        else:
            if "git commit" in line:
                with Path("dvc.lock").open("a") as lock:
                    lock.write("# something to commit\n")
            done = project.run("bash", "-c", line, code=None)
            code, said = done.returncode, done.stdout + done.stderr
        assert code == 0 and "Traceback" not in said, f"{line}\n{said}"
