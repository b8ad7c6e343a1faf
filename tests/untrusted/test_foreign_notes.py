"""run.json and the state of a training by someone else: read as far as they make sense, or not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from command_line import Pipeline
from hostile import FORGED, MIB, NO_FILES, memory_within, no_file, steers

from pipeline.report.origins import mlflow_links
from pipeline.results import training_run
from pipeline.stamp import trained_by
from pipeline.training.checkpoint import Checkpoints
from pipeline.workspace import Workspace

NOTES = (
    {"run_id": "../../../etc", "spool": "../../evil", "experiment_id": "1/../2"},
    {"run_id": "/etc/passwd", "spool": "/tmp/evil", "experiment_id": "<script>"},
    {"run_id": "models:/dogs@champion", "spool": "..", "experiment_id": "javascript:1"},
    {"run_id": ["a"], "spool": {"a": 1}, "experiment_id": None},
    {"run_id": "\x1b[31m", "spool": "a\nb", "experiment_id": "x" * 10**4},
    {"run_id": "a" * 65, "spool": "a\0", "experiment_id": ""},
)


@pytest.mark.parametrize("note", NOTES)
def test_a_run_json_leads_nowhere(workspace: Workspace, note: dict[str, Any]) -> None:
    workspace.models.mkdir()
    (workspace.models / "run.json").write_text(json.dumps(note))
    assert trained_by(workspace.models) == ""
    assert training_run(workspace.models) == {}
    assert mlflow_links(workspace) == (None, [])


@pytest.mark.parametrize("content", [b"[" * 10**5, b"\xff", b"[]", b"null", b'"a"', b"{" * 99])
def test_a_run_json_that_is_none_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    assert trained_by(tmp_path) == ""


@pytest.mark.parametrize("kind", NO_FILES)
def test_a_run_json_that_is_no_file_says_nothing(tmp_path: Path, kind: str) -> None:
    no_file(tmp_path / "run.json", kind)
    with memory_within(MIB):
        assert trained_by(tmp_path) == ""


def test_a_lineage_tells_a_strangers_texts_without_their_steering(
    workspace: Workspace, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {
        "model": {"weights_sha256": "\x1b[31m", "fingerprint": "\u202e", "images": 1},
        "run": {},
        "params": {"\x9b1m": "\r"},
        "data": {"digest": "\x07"},
        "missing": ["\x1b]0;x\x07"],
    }
    monkeypatch.setattr("pipeline.lineage.trace", lambda *_: found)
    said = pipeline("lineage", "foreign")
    assert said.code == 0 and not steers(said.out)
    said = pipeline("lineage", "foreign", "--json")
    assert json.loads(said.out) == found
    assert not steers(said.out)


# --------------------------------------------------------------------------- resume state


def test_a_state_of_something_else_is_no_state(tmp_path: Path) -> None:
    """With the right checksum in its name: content decides."""
    contents = (*FORGED.values(), safetensors.torch.save({"a": torch.zeros(1)}, {"state": "[" * 9}))
    for content in (*contents, safetensors.torch.save({"a": torch.zeros(1)}, {"state": "[1]"})):
        digest = hashlib.sha256(content).hexdigest()[:16]
        path = tmp_path / f"state-{16:012d}-{digest}.safetensors"
        path.write_bytes(content)
        state, damaged = Checkpoints(tmp_path).load()
        assert state is None and len(damaged) == 1
        path.unlink()


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "loop", "secret"])
def test_a_state_that_is_no_file_is_passed_over(tmp_path: Path, kind: str) -> None:
    no_file(tmp_path / f"state-{16:012d}-{'0' * 16}.safetensors", kind)
    state, damaged = Checkpoints(tmp_path).load()
    assert state is None and len(damaged) == 1
