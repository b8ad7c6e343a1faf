"""Atomic writes, locks, fingerprints, and finding the two roots of a run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.workspace import (
    GitState,
    Workspace,
    alone,
    atomic_write,
    digest_of_files,
    exclusive,
    fingerprint,
    git_state,
    waiting_lock,
    write_json,
    write_text,
)


@pytest.fixture(autouse=True)
def outside_dvc(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DVC_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)


def test_the_workspace_is_found_from_any_folder_in_it(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").touch()
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert Workspace.find(inner) == Workspace(tmp_path, tmp_path)


def test_outside_a_clone_the_error_says_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="inside a clone"):
        Workspace.find(tmp_path)


def test_under_dvc_what_must_survive_lies_in_the_main_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, checkout = tmp_path / "main", tmp_path / "checkout"
    for folder in (main, checkout):
        folder.mkdir()
        (folder / "dvc.yaml").touch()
    monkeypatch.setenv("DVC_ROOT", str(main))
    assert Workspace.find(checkout).mlruns == checkout / "mlruns"  # a stray variable counts not
    monkeypatch.setenv("DVC_STAGE", "train")
    found = Workspace.find(checkout)
    assert found.mlruns == main / "mlruns" and found.cache == main / ".cache"
    assert found.models == checkout / "models" and found.params == checkout / "params.yaml"


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_text(path, "old")
    with pytest.raises(ValueError), atomic_write(path, "w") as file:
        file.write("half")
        raise ValueError
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]


def test_what_a_killed_writer_leaves_is_taken_over_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    for _ in range(2):
        writer = multiprocessing.get_context("fork").Process(target=_die_writing, args=(path,))
        writer.start()
        writer.join()
        assert writer.exitcode == -signal.SIGKILL
        assert [left.name for left in tmp_path.iterdir()] == [".file.txt.tmp"]
    write_text(path, "new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def _die_writing(path: Path) -> None:
    with atomic_write(path, "w") as file:
        file.write("half, and longer than the new one")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_link_in_the_place_of_what_is_written_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("not yours")
    (tmp_path / ".file.tmp").symlink_to(tmp_path / "elsewhere")
    write_text(tmp_path / "file", "new")
    assert (tmp_path / "elsewhere").read_text() == "not yours"
    assert (tmp_path / "file").read_text() == "new" and not (tmp_path / "file").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "file"]


def test_two_writers_at_once_do_not_mix_and_leave_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with atomic_write(path, "w") as slow:
        slow.write("slow, ")
        write_text(path, "quick")
        assert path.read_text() == "quick"
        with pytest.raises(ValueError), atomic_write(path, "w"):
            raise ValueError
        slow.write("and last")
    assert path.read_text() == "slow, and last" and list(tmp_path.iterdir()) == [path]


def test_a_stage_is_made_by_one_process_at_a_time(tmp_path: Path) -> None:
    space = Workspace(tmp_path, tmp_path)

    @alone("resize")
    def run(params: int, space: Workspace) -> int:
        return run(params - 1, space) if params else 0

    assert run(0, space) == 0
    with pytest.raises(PipelineError, match=r"resize is already running \(process \d+\)"):
        run(1, space)
    assert run(0, space) == 0


def test_equal_values_are_equal_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"x": 1, "y": [2, {"b": 1, "a": "ü"}]})
    write_json(tmp_path / "b", {"y": [2, {"a": "ü", "b": 1}], "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert "ü" in (tmp_path / "a").read_text(encoding="utf-8")


def test_a_lock_names_who_holds_it_and_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = multiprocessing.get_context("fork").Process(target=_hold, args=(path,))
    holder.start()
    try:
        _wait_for(lambda: path.is_file() and path.read_text() == str(holder.pid))
        with pytest.raises(PipelineError, match=rf"training is already .*process {holder.pid}"):  # noqa: SIM117
            with exclusive(path, "training"):
                pass
    finally:
        os.kill(holder.pid or 0, signal.SIGKILL)
        holder.join()
    with exclusive(path, "training"):
        assert path.read_text() == str(os.getpid())


def _hold(path: Path) -> None:
    with exclusive(path, "training"):
        time.sleep(60)


def _wait_for(condition: object, limit: float = 60) -> None:
    end = time.monotonic() + limit
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def _add_one(path: Path) -> None:
    for _ in range(50):
        with waiting_lock(path.with_suffix(".lock")):
            path.write_text(str(int(path.read_text()) + 1))


def test_a_waiting_lock_loses_no_update(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_text("0")
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=_add_one, args=(path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert path.read_text() == "150"


def test_a_fingerprint_depends_on_values_not_on_their_order() -> None:
    assert fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == fingerprint(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_a_digest_of_files_sees_names_and_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    before = digest_of_files([first, second])
    assert digest_of_files([second, first]) == before
    second.write_bytes(b"3")
    assert digest_of_files([first, second]) != before
    second.write_bytes(b"2")
    assert digest_of_files([first, second.rename(tmp_path / "c")]) != before


def test_git_state_says_commit_and_whether_tracked_files_differ(tmp_path: Path) -> None:
    assert git_state(tmp_path) == GitState(None, False)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t"]
    for name in ("code.py", "params.yaml"):
        (tmp_path / name).write_text("1")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    (tmp_path / "untracked").touch()
    clean = git_state(tmp_path)
    assert clean.commit is not None and len(clean.commit) == 40 and not clean.dirty
    (tmp_path / "params.yaml").write_text("2")
    assert git_state(tmp_path).dirty and not git_state(tmp_path, ["params.yaml"]).dirty
    (tmp_path / "code.py").write_text("2")
    assert git_state(tmp_path, ["params.yaml"]).dirty
