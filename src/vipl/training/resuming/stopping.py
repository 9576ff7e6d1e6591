"""The signals that end a run, and being queued again by SLURM."""

import os
import signal
import subprocess

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

from vipl.console import say


def stop_signals(trainer: pl.Trainer) -> set[signal.Signals]:
    """Return the signals after which a run is saved and ends."""
    requeue = requeue_signal(trainer)
    return {signal.SIGINT, signal.SIGTERM} | ({requeue} if requeue else set())


def requeue_signal(trainer: pl.Trainer) -> signal.Signals | None:
    """Return the signal after which SLURM shall start the job again, as Lightning is told it."""
    environment = trainer._accelerator_connector.cluster_environment
    if isinstance(environment, SLURMEnvironment) and environment.auto_requeue:
        return environment.requeue_signal
    return None


def requeue() -> None:
    """Ask SLURM to start this job again, with the command that it was started with."""
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        subprocess.run(["scontrol", "requeue", job], check=True)
        say(f"Job {job} is queued again.")
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"Job {job} could not be queued again: {error}")
