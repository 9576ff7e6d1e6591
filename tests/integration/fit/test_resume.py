"""Runs that are stopped or killed go on as if nothing had happened: every figure is the same."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures import media
from tests.fixtures.runs import (
    Run,
    check_files,
    command,
    draw_nothing,
    figures,
    losses,
    rows_of,
    signal_at,
    wait_at,
)
from vipl.cli import main
from vipl.training.resuming.files import by_step

# Validation in the middle of epochs, which end in the middle of the run.
LENGTH = [
    "trainer.max_steps=9",
    "trainer.val_check_interval=3",
    "trainer.check_val_every_n_epoch=null",
    "data.steps_per_epoch=4",
]


@pytest.fixture(scope="module", autouse=True)
def undrawn():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vipl.rewards.plots.plot_held_out", draw_nothing)
        yield


@pytest.fixture(scope="module")
def whole(tiny_manifest, tmp_path_factory):
    """Folder of an uninterrupted run."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert fit(tiny_manifest, run) == 0
    return run


def fit(manifest: Path, run: Path, *settings: str) -> int:
    """Run here, and return the exit status, also where a signal stopped the run."""
    try:
        return main(command(manifest, run, *LENGTH, *settings))
    except SystemExit as stopped:
        return int(stopped.code)


@pytest.mark.parametrize(
    ("hook", "step", "workers"),
    [
        ("on_train_batch_start", 0, 0),
        ("on_train_batch_start", 1, 2),
        ("on_train_batch_end", 3, 0),  # a validation follows, which begins again
        ("on_validation_batch_end", 6, 2),
        ("on_train_epoch_end", 4, 0),
    ],
)
def test_a_stopped_run_goes_on_to_the_last_digit(
    tiny_manifest, whole, tmp_path, capsys, hook, step, workers
):
    run = tmp_path / "run"
    assert fit(tiny_manifest, run, signal_at(hook, step)) == 143
    shown = capsys.readouterr().out
    assert int(re.search(r"Stopped after step (\d+); go on with it", shown)[1]) - step in (0, 1)
    assert fit(tiny_manifest, run, "ckpt_path=last", f"data.num_workers={workers}") == 0
    assert figures(run) == figures(whole)


def test_a_run_that_is_stopped_at_its_last_step_ends_by_itself(tiny_manifest, whole, tmp_path):
    assert fit(tiny_manifest, tmp_path / "run", signal_at("on_train_batch_end", 9)) == 0
    assert figures(tmp_path / "run") == figures(whole)


@pytest.mark.parametrize("steps", [5, 6])  # in the middle of an epoch, and at a validation
def test_a_longer_run_goes_on_from_a_finished_one(tiny_manifest, whole, tmp_path, steps):
    run = tmp_path / "run"
    assert fit(tiny_manifest, run, f"trainer.max_steps={steps}") == 0
    assert fit(tiny_manifest, run, "ckpt_path=last") == 0
    assert figures(run) == figures(whole)
    before = figures(run)
    assert fit(tiny_manifest, run, "ckpt_path=last") == 0  # nothing left to do
    assert figures(run) == before


def test_the_encoder_that_a_run_started_from_is_not_needed_again(tiny_manifest, whole, tmp_path):
    begun = shutil.copytree(whole / "encoder", tmp_path / "begun")
    start = f"model.weights={begun}"
    assert fit(tiny_manifest, tmp_path / "run", start) == 0
    run = tmp_path / "again"
    assert fit(tiny_manifest, run, start, "trainer.max_steps=5") == 0
    shutil.rmtree(begun)
    assert fit(tiny_manifest, run, start, "ckpt_path=last") == 0
    assert figures(run) == figures(tmp_path / "run")


def test_a_stop_waits_for_all_batches_of_a_step(tiny_manifest, tmp_path):
    more = [
        "trainer.accumulate_grad_batches=2",
        "trainer.max_steps=5",
        "trainer.val_check_interval=4",
    ]
    assert fit(tiny_manifest, tmp_path / "whole", *more) == 0
    run = tmp_path / "run"
    assert fit(tiny_manifest, run, *more, signal_at("on_before_backward", 3)) == 143
    assert fit(tiny_manifest, run, *more, "ckpt_path=last") == 0
    assert figures(run) == figures(tmp_path / "whole")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_the_whole_group_changes_no_sample(
    tiny_manifest, tmp_path, whole, number, status
):
    """Loading and decoding processes get it too, and would leave clips out if they heeded it."""
    run, release = tmp_path / "run", tmp_path / "release"
    more = ["data.num_workers=2", wait_at("on_train_batch_end", 5, release)]
    with Run(command(tiny_manifest, run, *LENGTH, *more), tmp_path / "log") as process:
        process.wait_until(lambda: "waiting" in process.printed)
        process.signal_group(number)
        release.touch()
        assert process.wait() == status
        assert "Stopped after step 5" in process.printed
    assert fit(tiny_manifest, run, "ckpt_path=last") == 0
    assert figures(run) == figures(whole)
    assert not (run / "bad_clips.csv").exists()


FORK_SERVER = """
import multiprocessing, sys
multiprocessing.set_start_method("forkserver")  # the default from Python 3.14 on
from vipl.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_fork_server_does_not_heed_what_the_group_gets(tiny_manifest, tmp_path):
    """The batches of the step, more than lie ready, still come after the signal."""
    run, release = tmp_path / "run", tmp_path / "release"
    more = [
        "trainer.accumulate_grad_batches=12",
        "data.num_workers=2",
        "data.steps_per_epoch=48",
        "trainer.val_check_interval=48",
        wait_at("on_before_backward", 1, release),
    ]
    arguments = command(tiny_manifest, run, *LENGTH, *more)
    with subprocess.Popen(
        [sys.executable, "-c", FORK_SERVER, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        shown = list(itertools.takewhile(lambda line: "waiting" not in line, process.stdout))
        os.killpg(process.pid, signal.SIGTERM)
        release.touch()
        printed = process.stdout.read()
        assert process.wait(60) == 143, [*shown, printed]
    assert "Stopped after step 2" in printed


def test_a_second_interrupt_ends_at_once_and_spoils_nothing(tiny_manifest, tmp_path, whole):
    run = tmp_path / "run"
    more = ["data.num_workers=1", wait_at("on_train_batch_end", 5, tmp_path / "never")]
    with Run(command(tiny_manifest, run, *LENGTH, *more), tmp_path / "log") as process:
        process.wait_until(lambda: "waiting" in process.printed)
        process.signal_group(signal.SIGINT)
        process.wait_until(lambda: "Ctrl-C again ends at once" in process.printed)
        process.signal_group(signal.SIGINT)
        assert process.wait(timeout_s=10) == -signal.SIGINT
    check_files(run)
    assert fit(tiny_manifest, run, "ckpt_path=last") == 0
    assert figures(run) == figures(whole)


def test_a_run_that_is_killed_again_and_again_has_the_same_figures(tiny_manifest, tmp_path):
    settings = [*LENGTH, "trainer.max_steps=30", "checkpoint.every_n_steps=4"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert fit(tiny_manifest, whole, *settings) == 0
    again = command(tiny_manifest, run, *settings, "ckpt_path=last")
    for kill, row in enumerate((3, 12, 29)):
        with Run(again, tmp_path / f"{kill}.log") as process:
            process.wait_until(lambda row=row: rows_of(run) > row)
            process.signal_group(signal.SIGKILL)
            process.process.join()
        check_files(run)
    assert main(again) == 0
    assert figures(run) == figures(whole)


@pytest.mark.parametrize("damage", ["cut", "zeros", "empty", "link"])
def test_a_torn_checkpoint_is_passed_over(tiny_manifest, whole, tmp_path, capsys, stopped, damage):
    run = tmp_path / "run"
    shutil.copytree(stopped, run, symlinks=True)
    newest, before = by_step(run / "checkpoints").values()
    content = newest.read_bytes()
    if damage == "link":
        (run / "checkpoints" / "last.ckpt").unlink()
    elif damage == "zeros":  # what a power cut leaves of a file whose blocks were not written
        half = len(content) // 2
        newest.write_bytes(content[:half] + bytes(4096) + content[half + 4096 :])
    else:
        newest.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    path = "last" if damage == "link" else run / "checkpoints" / "last.ckpt"
    assert fit(tiny_manifest, run, f"ckpt_path={path}") == 0
    shown = capsys.readouterr().out
    used = newest if damage == "link" else before
    assert f"going on after step {used.stem[5:]} from {used}" in shown
    assert (f"{newest} is torn (" in shown) == (damage != "link")
    assert figures(run) == figures(whole)


@pytest.fixture(scope="module")
def stopped(tiny_manifest, tmp_path_factory):
    """Folder of a run that was stopped after step 8, with two checkpoints."""
    run = tmp_path_factory.mktemp("stopped") / "run"
    assert fit(tiny_manifest, run, signal_at("on_train_batch_end", 8)) == 143
    assert list(by_step(run / "checkpoints")) == [8, 6]
    return run


def test_where_all_are_torn_the_run_is_refused(tiny_manifest, tmp_path, capsys, stopped):
    run = tmp_path / "run"
    shutil.copytree(stopped, run, symlinks=True)
    for path in by_step(run / "checkpoints").values():
        path.write_bytes(b"")
    assert fit(tiny_manifest, run, "ckpt_path=last") == 2
    assert "no checkpoint can be gone on from: " in capsys.readouterr().err
    assert (run / "metrics" / "metrics.csv").exists()


def test_another_recipe_is_refused_unless_accepted(tiny_manifest, tmp_path, capsys, stopped):
    run = tmp_path / "run"
    shutil.copytree(stopped, run, symlinks=True)
    changed = ["model.objective.init_args.gamma=0.9", "data.tuples=dense", "seed_everything=4"]
    assert fit(tiny_manifest, run, "ckpt_path=last", *changed) == 2
    message = capsys.readouterr().err
    for part in (
        "step=8.ckpt belongs to another run: ",
        "seed_everything was 0, is 4",
        "model.objective.init_args.gamma was 0.98, is 0.9",
        "data.tuples was 'paper', is 'dense'",
        "accept_changes=true",
    ):
        assert part in message
    assert fit(tiny_manifest, run, "ckpt_path=last", *changed, "accept_changes=true") == 0
    assert "changed: model.objective.init_args.gamma was 0.98, is 0.9" in capsys.readouterr().out
    assert len(losses(run)) == 9


def test_other_clips_are_refused(tiny_manifest, tmp_path, capsys, stopped):
    media.write_video(tmp_path / "v" / "a.mp4", media.moving_square(20, 48, 64))
    other = tmp_path / "other.parquet"
    assert main(["manifest", "build", "folder", str(tmp_path / "v"), "--out", str(other)]) == 0
    run = tmp_path / "run"
    shutil.copytree(stopped, run, symlinks=True)
    capsys.readouterr()
    assert fit(other, run, "ckpt_path=last") == 2
    message = capsys.readouterr().err
    assert re.search(r"the manifest's content hash was '\w{15}…, is '\w{15}…", message), message
    assert message.count(" was ") == 1


def test_a_run_without_checkpoint_begins_anew_by_last(tiny_manifest, whole, tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("{}\n")  # killed before its first step
    (run / ".config-abcdefgh.yaml").write_text("half")
    assert fit(tiny_manifest, run, "ckpt_path=last") == 0
    assert figures(run) == figures(whole)
    assert not (run / ".config-abcdefgh.yaml").exists()
    shutil.rmtree(run / "checkpoints")
    assert fit(tiny_manifest, run, "ckpt_path=last") == 2  # its encoder would be lost
    assert "holds a run already" in capsys.readouterr().err


def test_going_on_and_overwriting_contradict_each_other(tiny_manifest, stopped, capsys):
    assert fit(tiny_manifest, stopped, "ckpt_path=last", "overwrite=true") == 2
    assert "overwrite=true would delete the run in " in capsys.readouterr().err
    assert by_step(stopped / "checkpoints")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["checkpoint.keep=1"], "checkpoint.keep is 1, expected 2 or more"),
        (["checkpoint.every_n_steps=0"], "checkpoint.every_n_steps is 0, expected 1 or more"),
        (["checkpoint.every_n_minutes=0"], "checkpoint.every_n_minutes is 0.0, expected more"),
        (
            ["trainer.accumulate_grad_batches=3"],
            "is 3 and an epoch has 4 batches: choose data.steps_per_epoch=3 or another multiple",
        ),
        (
            ["trainer.accumulate_grad_batches=2"],
            "val_check_interval comes to 3 batches: choose a multiple of 2",
        ),
        (["trainer.sync_batchnorm=true"], "trainer.sync_batchnorm=true needs GPUs"),
        (["trainer.precision=bf16-true"], "small steps do not leave as they are: bf16-mixed"),
        (["trainer.use_distributed_sampler=true"], "use_distributed_sampler is true, expected"),
        (
            ["trainer.devices=4", "data.batch_size=30"],
            "data.batch_size is 30 clips over all processes, which do not divide among 4 "
            "processes: choose data.batch_size=28 or data.batch_size=32, or as many processes as "
            "divide it (1, 2, 3, 5, 6, 10, 15, 30)",
        ),
        (["trainer.devices=2", "trainer.strategy=ddp_spawn"], "expected auto or ddp: every"),
        (["trainer.devices=2", "trainer.strategy=fsdp"], "trainer"),
        (
            ["trainer.callbacks=[{class_path: GradientAccumulationScheduler, "
             "init_args: {scheduling: {4: 2}}}]"],
            "GradientAccumulationScheduler changes what the loss is",
        ),
    ],
)  # fmt: skip
def test_what_would_train_otherwise_is_refused(tiny_manifest, tmp_path, capsys, settings, message):
    assert fit(tiny_manifest, tmp_path / "run", *settings) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
