"""`vipl fit` where loading cannot go on: it says why, or is saved, within seconds."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fixtures.runs import (
    Group,
    Run,
    command,
    draw_nothing,
    figures,
    torchrun_environments,
    wait_at,
)
from vipl.cli import main

LENGTH = [
    "trainer.max_steps=9",
    "trainer.val_check_interval=3",
    "trainer.check_val_every_n_epoch=null",
    "data.steps_per_epoch=30",
    "data.num_workers=2",
]
IN_A_SMALL_SHM = 'mount -t tmpfs -o size=4m tmpfs /dev/shm && exec "$@"'


@pytest.fixture(scope="module", autouse=True)
def undrawn():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vipl.rewards.plots.plot_held_out", draw_nothing)
        yield


@pytest.fixture(scope="module")
def whole(tiny_manifest, tmp_path_factory):
    """Folder of an uninterrupted run."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert main(command(tiny_manifest, run, *LENGTH)) == 0
    return run


def halt_children(pid: int) -> None:
    """Stop the processes that load for another, and those that decode for it: they hang."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        os.kill(int(child), signal.SIGSTOP)


@pytest.mark.parametrize(
    ("hook", "step", "workers", "number", "status"),
    [
        ("on_train_batch_end", 4, 2, signal.SIGTERM, 143),
        pytest.param("on_train_batch_end", 5, 0, signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(
            "on_validation_batch_start", 6, 2, signal.SIGTERM, 143, marks=pytest.mark.slow
        ),
        # After the last step, when a stop otherwise waits for the validation that is left.
        ("on_validation_batch_start", 9, 0, signal.SIGTERM, 143),
    ],
)
def test_a_signal_while_data_do_not_come(
    tiny_manifest, whole, tmp_path, hook, step, workers, number, status
):
    run, release = tmp_path / "run", tmp_path / "release"
    more = [f"data.num_workers={workers}", wait_at(hook, step, release)]
    with Run(command(tiny_manifest, run, *LENGTH, *more), tmp_path / "log") as process:
        process.wait_until(lambda: "waiting" in process.printed)
        halt_children(process.process.pid)
        release.touch()
        time.sleep(0.5)
        process.signal(number)
        began = time.monotonic()
        assert process.wait() == status
        assert time.monotonic() - began < 20
        assert "Stopped after step" in process.printed
    assert main(command(tiny_manifest, run, *LENGTH, "ckpt_path=last")) == 0
    assert figures(run) == figures(whole)


def test_half_way_to_a_step_the_last_saved_one_is_named(tiny_manifest, tmp_path):
    run, release = tmp_path / "run", tmp_path / "release"
    more = ["trainer.accumulate_grad_batches=10", "trainer.val_check_interval=30"]
    more += [wait_at("on_train_batch_end", 0, release)]
    with Run(command(tiny_manifest, run, *LENGTH, *more), tmp_path / "log") as process:
        process.wait_until(lambda: "waiting" in process.printed)
        halt_children(process.process.pid)
        release.touch()
        process.signal(signal.SIGTERM)
        assert process.wait() == 143
        assert "Stopped after step 0; go on with it" in process.printed


@pytest.mark.slow
def test_one_of_two_processes_waits_in_vain(tiny_manifest, tmp_path):
    """The other has its batch; both stop before the same step, and nothing is lost."""
    more = [*LENGTH, "trainer.devices=2", "model.encoder.backbone=test_convnext"]
    with Group(
        command(tiny_manifest, tmp_path / "whole", *more),
        tmp_path / "whole_logs",
        torchrun_environments(2),
    ) as group:
        assert group.wait() == [0, 0]
    run, release = tmp_path / "run", tmp_path / "release"
    arguments = command(tiny_manifest, run, *more, wait_at("on_train_batch_end", 4, release))
    with Group(arguments, tmp_path / "logs", torchrun_environments(2)) as group:
        for one in group.runs:
            one.wait_until(lambda one=one: "waiting" in one.printed)
        halt_children(group.runs[1].process.pid)
        release.touch()
        time.sleep(0.5)
        for one in group.runs:
            one.signal(signal.SIGTERM)
        assert group.wait(60) == [143, 0]
        assert "Stopped after step" in group.runs[0].printed
    with Group(
        command(tiny_manifest, run, *more, "ckpt_path=last"),
        tmp_path / "last_logs",
        torchrun_environments(2),
    ) as group:
        assert group.wait() == [0, 0]
    assert figures(run) == figures(tmp_path / "whole")


def test_a_loading_process_that_is_killed_ends_the_run(tiny_manifest, tmp_path):
    run, release = tmp_path / "run", tmp_path / "release"
    more = ["model.encoder.backbone=test_convnext", wait_at("on_train_batch_end", 2, release)]
    with Run(command(tiny_manifest, run, *LENGTH, *more), tmp_path / "log") as process:
        process.wait_until(lambda: "waiting" in process.printed)
        pid = process.process.pid
        # All, as some may be of the validation before the first step, which nobody waits for.
        for worker in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(worker), signal.SIGKILL)
        release.touch()
        assert process.wait() == 2, process.printed
        last = process.printed.strip().splitlines()[-1]
        assert last.startswith("vipl: a loading process was ended by SIGKILL, most likely because")


def in_a_small_shm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `vipl` where /dev/shm has 4 MB, as only root may."""
    unshare = ["unshare", "-m", "sh", "-c", IN_A_SMALL_SHM, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"]).returncode:
        pytest.skip("no mount namespace with a /dev/shm of its own may be made here")
    return subprocess.run(
        [*unshare, sys.executable, *arguments], capture_output=True, text=True, timeout=120
    )


def test_a_small_shared_memory_is_refused_at_the_start(tiny_manifest, tmp_path):
    arguments = command(tiny_manifest, tmp_path / "run", *LENGTH, "data.batch_size=100")
    result = in_a_small_shm("-m", "vipl.cli", *arguments)
    assert result.returncode == 2, result.stderr
    assert "vipl: /dev/shm has 4.2 MB free, and loading processes hold up to" in result.stderr
    assert not (tmp_path / "run").exists()


UNCHECKED = """
import sys
import vipl.data.loading.datamodule
from vipl.cli import main
vipl.data.loading.datamodule.check_room = lambda need_bytes, option: None
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_shared_memory_that_others_fill_meanwhile_ends_the_run(tiny_manifest, tmp_path):
    arguments = command(tiny_manifest, tmp_path / "run", *LENGTH, "data.batch_size=200")
    result = in_a_small_shm("-c", UNCHECKED, *arguments)
    assert result.returncode == 2, result.stderr
    assert "a loading process cannot go on, as /dev/shm is full: enlarge it" in result.stderr
