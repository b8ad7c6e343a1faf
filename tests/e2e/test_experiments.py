"""`dvc exp run`, its queue, and what a mistake in a value costs."""

from __future__ import annotations

import re
from pathlib import Path

from clone import Project, stages_run, wait_for


def test_another_schedule_runs_train_and_evaluate_and_every_diff_shows_it(
    project: Project,
) -> None:
    said = project.dvc("exp", "run", "-n", "cosine", "-S", "scheduler=cosine")
    assert stages_run(said) == ["train", "evaluate"]

    diff = project.git("diff", "HEAD", "-U0", "params.yaml").splitlines()[4:]
    assert [line for line in diff if line[0] in "+-"] == [
        "-scheduler: linear",
        "+scheduler: cosine",
    ]

    shown = project.dvc("exp", "show", "--csv")
    assert "cosine" in shown and "scheduler" in shown
    assert re.search(r"params.yaml\s+scheduler\s+linear\s+cosine", project.dvc("params", "diff"))
    assert "reports/metrics.json" in project.dvc("metrics", "diff")
    assert "index.html" in project.dvc("plots", "diff", "-o", ".cache/plots")
    page = (project.root / ".cache/plots/index.html").read_text()
    assert "reports_loss_csv" in page and "workspace" in page

    run = project.runs()[-1]
    assert (run.info.run_name, run.info.status) == ("cosine", "FINISHED")
    assert run.data.params["scheduler"] == "cosine" and run.data.tags["dvc.exp"] == "cosine"
    assert run.data.tags["git.dirty"] == "false"  # the code is the commit's
    assert project.json("models/run.json")["run_id"] == run.info.run_id


def test_two_queued_seeds_are_two_finished_runs_in_the_one_store(project: Project) -> None:
    project.dvc("exp", "run", "--queue", "-S", "seed=1,2")
    project.dvc("queue", "start", "-j", "2")
    done = wait_for(lambda: settled(project), "the queue", 600)
    assert re.findall(r"(Success|Failed)", done) == ["Success"] * 2, queue_logs(project, done)
    _, *queued = project.runs()
    assert [run.info.status for run in queued] == ["FINISHED"] * 2
    assert sorted(run.data.params["seed"] for run in queued) == ["1", "2"]
    store = project.root / "mlruns" / "artifacts"
    for run in queued:
        assert run.data.tags["dvc.exp"] == run.info.run_name
        assert any(key.startswith("eval/") for key in run.data.metrics)
        assert Path(run.info.artifact_uri.removeprefix("file://")).is_relative_to(store)
        assert project.client.list_artifacts(run.info.run_id, "images")
    assert project.changed() == []  # the workspace is untouched by what ran elsewhere


def settled(project: Project) -> str:
    said = project.dvc("queue", "status")
    return "" if re.search(r"Running|Queued", said) else said


def queue_logs(project: Project, status: str) -> str:
    names = re.findall(r"^([0-9a-f]{7})", status, re.MULTILINE)
    return "\n".join([status, *(project.dvc("queue", "logs", name, code=None) for name in names)])


def test_a_bad_value_is_one_line_that_names_what_is_allowed(project: Project) -> None:
    allowed = "linear, cosine, sigmoid, karras"
    says = f"error: params.yaml: scheduler: got 'banana', expected one of {allowed}"
    said = project.dvc("exp", "run", "-S", "scheduler=banana", code=255)
    assert says in said and "Traceback" not in said and len(project.runs()) == 1
    # DVC removes a stage's outs before it runs the stage, and has them in its cache.
    project.git("checkout", ".")
    project.dvc("checkout")
    assert project.changed() == [] and "up to date" in project.dvc("status")

    text = (project.root / "params.yaml").read_text()
    (project.root / "params.yaml").write_text(text.replace("linear", "banana"))
    for stage in ("scrape", "dedupe", "resize", "train", "evaluate"):
        direct = project.run("python", "-m", f"stages.{stage}", code=2)
        assert direct.stderr == f"{says}\n" and direct.stdout == ""
    assert project.changed() == ["params.yaml"]


def test_an_unknown_key_is_refused_before_anything_runs(project: Project) -> None:
    said = project.dvc("exp", "run", "-S", "nosuch=1", code=255)
    assert "nosuch" in said and stages_run(said) == []
    assert project.changed() == []


def test_a_rate_that_dvc_writes_in_short_form_is_a_number(project: Project) -> None:
    project.dvc("exp", "run", "-S", "train.lr=1e-5", "-S", "train.images=32", "train")
    assert re.search(r"lr: 1e-0?5", (project.root / "params.yaml").read_text())
    assert float(project.runs()[-1].data.params["train.lr"]) == 1e-5
