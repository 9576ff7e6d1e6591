"""Checkpoint files: which is used, which stay, and when one is torn."""

import signal
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from vipl.errors import UserError
from vipl.training.resuming.files import (
    AtomicCheckpointIO,
    by_step,
    find,
    keep_latest,
    step_path,
    why_torn,
)


def save(run, *steps):
    for step in steps:
        content = {"global_step": step, "weights": torch.arange(4000.0)}
        AtomicCheckpointIO().save_checkpoint(content, step_path(run, step))
        keep_latest(run, step=step, count=3)


def test_the_latest_few_stay(tmp_path):
    save(tmp_path, 1, 5, 10, 20)
    assert list(by_step(tmp_path / "checkpoints")) == [20, 10, 5]
    assert (tmp_path / "checkpoints" / "last.ckpt").resolve().name == "step=20.ckpt"
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names == {"step=5.ckpt", "step=10.ckpt", "step=20.ckpt", "last.ckpt"}


def test_a_run_that_was_taken_back_leaves_the_later_ones(tmp_path):
    save(tmp_path, 5, 10, 20)
    save(tmp_path, 7)
    assert list(by_step(tmp_path / "checkpoints")) == [7, 5]
    assert find("last", tmp_path).step == 7


def test_find_takes_the_newest_or_the_named_one(tmp_path):
    assert find("last", tmp_path) is None
    save(tmp_path, 5, 10, 20)
    folder = tmp_path / "checkpoints"
    assert find("last", tmp_path).step == 20
    assert find(str(folder / "last.ckpt"), tmp_path / "elsewhere").step == 20
    assert find(str(folder / "step=10.ckpt"), tmp_path).step == 10
    with pytest.raises(UserError, match=r"there is no checkpoint .*step=11.ckpt"):
        find(str(folder / "step=11.ckpt"), tmp_path)


def test_a_torn_one_leads_to_the_one_before_it_never_to_a_later_one(tmp_path):
    save(tmp_path, 5, 10, 20)
    step_path(tmp_path, 10).write_bytes(b"PK")
    found = find(str(step_path(tmp_path, 10)), tmp_path)
    assert (found.step, [path.name for path, _ in found.passed_over]) == (5, ["step=10.ckpt"])
    step_path(tmp_path, 5).write_bytes(b"")
    with pytest.raises(UserError, match=r"step=10.ckpt is torn \(.*step=5.ckpt is torn"):
        find(str(step_path(tmp_path, 10)), tmp_path)
    step_path(tmp_path, 20).rename(tmp_path / "mine.ckpt")
    (tmp_path / "mine.ckpt").write_bytes(b"")
    with pytest.raises(UserError, match=r"mine.ckpt is torn \(BadZipFile"):
        find(str(tmp_path / "mine.ckpt"), tmp_path)


def test_every_changed_byte_of_the_weights_is_noticed(tmp_path):
    save(tmp_path, 1)
    path = step_path(tmp_path, 1)
    assert why_torn(path) is None
    content = bytearray(path.read_bytes())
    start = content.index(torch.arange(4000.0).numpy().tobytes())
    for position in (start, start + 7999, start + 15999):
        changed = content.copy()
        changed[position] ^= 1
        path.write_bytes(changed)
        assert "checksum" in why_torn(path)
        torch.load(path, weights_only=True)  # PyTorch does not look


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 half"])
def test_what_is_no_archive_is_torn(tmp_path, content):
    (tmp_path / "x.ckpt").write_bytes(content)
    assert "BadZipFile" in why_torn(tmp_path / "x.ckpt")


def test_other_files_are_no_checkpoints(tmp_path):
    torch.save({"some": "weights"}, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=r"x.ckpt is not a checkpoint of `vipl fit`"):
        find(str(tmp_path / "x.ckpt"), tmp_path)
    torch.save({"global_step": 1, "code": print}, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=r"x.ckpt is not a checkpoint that can be read safely"):
        find(str(tmp_path / "x.ckpt"), tmp_path)


def save_for_ever(folder: Path) -> None:
    weights = torch.zeros(500_000)
    while True:
        content = {"global_step": 1, "weights": weights}
        AtomicCheckpointIO().save_checkpoint(content, folder / "x.ckpt")


def test_a_kill_in_the_middle_of_writing_leaves_a_whole_file(tmp_path):
    for wait in (0.0, 0.005):
        process = get_context("fork").Process(target=save_for_ever, args=(tmp_path,))
        process.start()
        while not (tmp_path / "x.ckpt").exists():
            assert process.is_alive()
            time.sleep(0.002)
        time.sleep(wait)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert why_torn(tmp_path / "x.ckpt") is None
