"""Several processes, however they are started: they train, stop and go on as one."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.fixtures.runs import (
    Group,
    command,
    draw_nothing,
    figures,
    free_port,
    losses,
    signal_at,
    torchrun_environments,
)
from vipl.cli import main
from vipl.data.manifests.manifest import read_manifest

SLURM = ROOT / "configs" / "fit" / "ego4d_resnet50_slurm.yaml"
# Without BatchNorm, whose statistics are each process's own.
SETTINGS = [
    "model.encoder.backbone=test_convnext",
    "data.batch_size=4",
    "data.steps_per_epoch=4",
    "trainer.max_steps=6",
    "trainer.val_check_interval=3",
    "trainer.check_val_every_n_epoch=null",
]


@pytest.fixture(scope="module", autouse=True)
def undrawn():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vipl.rewards.plots.plot_held_out", draw_nothing)
        yield


@pytest.fixture(scope="module")
def alone(tiny_manifest, tmp_path_factory):
    """Folder of the same run in one process."""
    run = tmp_path_factory.mktemp("alone") / "run"
    assert main(command(tiny_manifest, run, *SETTINGS)) == 0
    return run


def check_equal(run: Path, alone: Path) -> None:
    """Check that two runs logged the same, to what float32 can hold."""
    rows, expected = figures(run), figures(alone)
    assert [set(row) for row in rows] == [set(row) for row in expected]
    for row, one in zip(rows, expected, strict=True):
        assert {name: float(value) for name, value in row.items()} == pytest.approx(
            {name: float(value) for name, value in one.items()}, rel=1e-4, abs=1e-6
        )


def together(arguments: list[str], logs: Path, environments: list[dict[str, str]]) -> list[int]:
    """Run one process for each environment; return their exit statuses."""
    with Group(arguments, logs, environments) as group:
        return group.wait()


@pytest.mark.slow
def test_runs_go_on_with_other_numbers_of_processes(tiny_manifest, alone, tmp_path, capsys):
    """One process stops, four go on and stop, two finish; all draw the same samples."""
    run, devices = tmp_path / "run", "trainer.devices"
    with pytest.raises(SystemExit):
        main(command(tiny_manifest, run, *SETTINGS, signal_at("on_train_batch_end", 1)))
    # Only one of the four is asked to stop, in the middle of a validation.
    stop = signal_at("on_validation_batch_end", 3, rank=2)
    four = command(tiny_manifest, run, *SETTINGS, "ckpt_path=last", f"{devices}=4", stop)
    assert together(four, tmp_path / "four", torchrun_environments(4)) == [143, 0, 0, 0]
    two = command(tiny_manifest, run, *SETTINGS, "ckpt_path=last", f"{devices}=2")
    assert together(two, tmp_path / "two", torchrun_environments(2)) == [0, 0]
    check_equal(run, alone)
    assert "4 processes trained before, 2 go on" in (tmp_path / "two" / "0.log").read_text()


def test_processes_share_one_list_of_bad_clips(tiny_manifest, tmp_path):
    """And fail after the same step where there are too many, each with the same sentence."""
    manifest = read_manifest(tiny_manifest)
    bad = [clip.path for clip in manifest.only("train")][:4]
    root = tmp_path / "v"
    root.mkdir()
    for clip in manifest:
        content = b"no video" if clip.path in bad else (manifest.root / clip.path).read_bytes()
        (root / clip.path).write_bytes(content)
    run = tmp_path / "run"
    more = [f"data.root={root}", "data.max_failure_rate=0.2", "trainer.max_steps=200"]
    two = command(tiny_manifest, run, *SETTINGS, *more, "trainer.devices=2")
    assert together(two, tmp_path / "two", torchrun_environments(2)) == [2, 2]
    sentences = {
        (tmp_path / "two" / f"{rank}.log").read_text().splitlines()[-1] for rank in range(2)
    }
    assert len(sentences) == 1
    assert "draws failed" in sentences.pop()
    with (run / "bad_clips.csv").open() as file:
        listed = [row["path"] for row in csv.DictReader(file)]
    assert sorted(listed) == sorted(bad)


@pytest.mark.slow
def test_lightning_starts_the_other_processes(tiny_manifest, alone, tmp_path):
    run = tmp_path / "run"
    more = ["trainer.devices=2", "trainer.strategy=ddp"]
    arguments = command(tiny_manifest, run, *SETTINGS, *more)
    subprocess.run([sys.executable, "-m", "vipl.cli", *arguments], check=True)
    check_equal(run, alone)


@pytest.mark.slow
def test_torchrun_on_two_nodes(tiny_manifest, alone, tmp_path):
    """Two agents on this machine, one process each."""
    run = tmp_path / "run"
    more = ["trainer.num_nodes=2", "trainer.devices=1", "trainer.strategy=ddp"]
    agent = [
        "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{free_port()}",
        "--rdzv-id", "test", "-m", "vipl.cli",
    ]  # fmt: skip
    arguments = [sys.executable, *agent, *command(tiny_manifest, run, *SETTINGS, *more)]
    agents = [subprocess.Popen(arguments) for _ in range(2)]
    assert [one.wait(timeout=200) for one in agents] == [0, 0]
    check_equal(run, alone)


def slurm_environments(bin_dir: Path) -> list[dict[str, str]]:
    """Return what `srun` sets for two tasks on two nodes; the `scontrol` there takes notes."""
    bin_dir.mkdir()
    scontrol = bin_dir / "scontrol"
    scontrol.write_text('#!/bin/sh\necho "$@" >> "$(dirname "$0")/asked"\n')
    scontrol.chmod(0o755)
    shared = {
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NAME": "vipl",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": "2",
        "SLURM_NODELIST": "localhost",
        "SLURM_LOCALID": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "PATH": f"{bin_dir}{os.pathsep}{os.environ['PATH']}",
    }
    return [{**shared, "SLURM_PROCID": str(task), "SLURM_NODEID": str(task)} for task in range(2)]


def test_slurm_queues_a_job_again_that_goes_on_by_itself(tiny_manifest, alone, tmp_path):
    """The configuration that ships, on CPUs; SLURM's part is played by its variables."""
    run = tmp_path / "run"
    more = ["trainer.devices=1", "trainer.sync_batchnorm=false", "trainer.num_sanity_val_steps=0"]
    job = command(tiny_manifest, run, *SETTINGS, *more, config=SLURM)
    # SLURM signals every task; one is enough.
    warned = [*job, signal_at("on_train_batch_start", 4, signal.SIGUSR1, rank=1)]
    tasks = slurm_environments(tmp_path / "bin")
    assert together(warned, tmp_path / "warned", tasks) == [143, 0]
    assert (tmp_path / "bin" / "asked").read_text() == "requeue 4711\n"
    assert "Job 4711 is queued again." in (tmp_path / "warned" / "0.log").read_text()
    assert len(losses(run)) in (4, 5)
    assert together(job, tmp_path / "again", tasks) == [0, 0]
    check_equal(run, alone)


def test_other_numbers_of_tasks_than_slurm_has_are_refused(tiny_manifest, tmp_path):
    job = command(tiny_manifest, tmp_path / "run", *SETTINGS, config=SLURM)
    more = ["trainer.devices=2", "trainer.sync_batchnorm=false"]
    task = slurm_environments(tmp_path / "bin")[0]
    assert together([*job, *more], tmp_path / "logs", [task]) == [2]
    message = (tmp_path / "logs" / "0.log").read_text().splitlines()[-1]
    assert "vipl: trainer: You set `devices=2` in Lightning" in message
    assert not (tmp_path / "run").exists()
