"""``dvc push`` here, ``dvc pull`` in a second clone: data, model, pictures, experiments."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from clone import Project, stages_run

CLEAN = "Data and pipelines are up to date."


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    (tmp_path / "remote").mkdir()
    return tmp_path / "remote"


@pytest.fixture
def web(remote: Path) -> Iterator[str]:
    """The remote's folder as any web server would show it: to read only."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(remote)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_second_clone_has_data_model_pictures_and_experiments_of_the_first(
    project: Project, tmp_path: Path, remote: Path, web: str
) -> None:
    origin = tmp_path / "origin.git"
    project.git("init", "-q", "--bare", "-b", "main", str(origin))
    project.git("remote", "add", "origin", str(origin))
    project.dvc("remote", "add", "-d", "storage", str(remote))
    project.commit("where the data lies")
    project.git("push", "-q", "-u", "origin", "main")
    project.dvc("push")
    project.pipeline("generate", "-n", "2", "--fname", "plots/sample")
    project.dvc("exp", "run", "-n", "guided", "-S", "evaluate.guidance=3")
    project.dvc("exp", "push", "origin", "guided")

    (tmp_path / "second").mkdir()
    second = Project(tmp_path / "second" / "dogs", project.env)
    project.git("clone", "-q", str(origin), str(second.root))
    second.dvc("remote", "add", "--local", "web", web)
    second.dvc("pull", "-r", "web")
    assert CLEAN in second.dvc("status")
    assert "in sync" in second.dvc("status", "--cloud")
    said = second.dvc("repro")
    assert stages_run(said) == [] and CLEAN in said
    assert second.changed() == []

    second.pipeline("generate", "-n", "2", "--fname", "plots/sample")
    names = sorted(path.name for path in (project.root / "plots").iterdir())
    assert len(names) == 4  # two pictures and the way of each from noise
    for name in names:
        drawn = [(clone.root / "plots" / name).read_bytes() for clone in (project, second)]
        assert drawn[0] == drawn[1], name

    there, here = (
        json.loads(clone.pipeline("lineage", "plots/sample0.png", "--json"))
        for clone in (project, second)
    )
    assert there["run"]["status"] == "FINISHED" and there["missing"] == []
    assert here["run"] == {}
    assert here["missing"] == ["the run: MLflow's store here does not have it"]
    for key in ("picture", "model", "data", "nearest"):
        assert here[key] == there[key], key
    assert here["params"]["train.images"] == "320" and here["nearest"][0]["sources"]
    assert not (second.root / "mlruns" / "mlflow.db").exists()  # nothing was made by looking

    second.dvc("exp", "pull", "origin", "guided")
    second.dvc("exp", "apply", "guided")
    assert second.json("reports/metrics.json") == project.json("reports/metrics.json")
    assert CLEAN in second.dvc("status")
    assert second.changed() == project.changed()
