"""Checkpoints survive what happens to files."""

import pytest
import torch

from pipeline.errors import PipelineError
from pipeline.training.checkpoint import Checkpoints


def state(n):
    return {"net": {"w": torch.full((3,), float(n))}, "nimg": n, "history": [[1.0, 2.0]]}


def test_the_newest_is_loaded_and_the_last_two_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for n in (16, 32, 48):
        checkpoints.save(n, state(n))
    loaded, warnings = checkpoints.load()
    assert (loaded["nimg"], warnings) == (48, [])
    assert torch.equal(loaded["net"]["w"], torch.full((3,), 48.0))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_newest_falls_back_to_the_one_before(tmp_path, damage):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(16, state(16))
    path = checkpoints.save(32, state(32))
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[:-100], "flip": content, "empty": b""}[damage])
    loaded, warnings = checkpoints.load()
    assert loaded["nimg"] == 16
    assert len(warnings) == 1 and path.name in warnings[0]


def test_nothing_there_is_a_fresh_start(tmp_path):
    assert Checkpoints(tmp_path / "none").load() == (None, [])


def test_a_half_written_file_is_never_taken(tmp_path):
    (tmp_path / ".state-000000000016-0123456789abcdef.pt.1f.tmp").write_bytes(b"half")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load() == (None, [])
    checkpoints.clear()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_the_last_good_state(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(16, state(16))

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PipelineError, match="No space left on device"):
        checkpoints.save(32, state(32))
    assert checkpoints.load()[0]["nimg"] == 16
    assert len(list(tmp_path.iterdir())) == 1


def test_a_pickle_that_would_run_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(16, {"evil": Evil()})
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        checkpoints.load()
