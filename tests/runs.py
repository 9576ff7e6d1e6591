"""Runs of `vipl fit` in processes of their own, which a test may signal and kill.

They are forked from one process that has imported everything, so that a run starts in no time.
"""

import csv
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning.callbacks import Callback

import vipl.rewards.plots
from vipl import load_encoder
from vipl.cli import main
from vipl.training.resuming.files import by_step, why_torn

context = multiprocessing.get_context("forkserver")
# What runs import late is imported early, once: torch._dynamo comes with the first optimiser.
context.set_forkserver_preload(
    [
        "tests.runs",
        "vipl.training.fit",
        "torch.utils.tensorboard",
        "torch._dynamo",
        "matplotlib.figure",
    ]
)

TINY = [
    "trainer.accelerator=cpu",
    "trainer.log_every_n_steps=1",
    "trainer.enable_progress_bar=false",
    "model.encoder.backbone=test_resnet",
    "model.encoder.output_dim=8",
    "model.encoder.image_size=32",
    "data.image_size=32",
    "data.batch_size=2",
    "data.num_workers=0",
    "data.val_frames=4",
    "data.val_clips=3",
]
"""A run whose steps take milliseconds. `test_convnext` has no BatchNorm."""


class Signal(Callback):
    """Sends its own process a signal at a moment of the run.

    Args:
        hook: Of Lightning.
        step: Optimiser steps that were done then.
        number: Of the signal.
        rank: Process that sends it, to itself.
    """

    def __init__(self, hook: str, step: int, number: int = signal.SIGTERM, rank: int = 0) -> None:
        self.step, self.number, self.rank = step, number, rank
        self._sent = False
        setattr(self, hook, self._maybe)

    def _maybe(self, trainer: Any, *unused: Any) -> None:
        here = trainer.global_step == self.step and trainer.global_rank == self.rank
        if here and not self._sent and not trainer.sanity_checking:
            self._sent = True
            os.kill(os.getpid(), self.number)


def signal_at(hook: str, step: int, number: int = signal.SIGTERM, rank: int = 0) -> str:
    """Return the setting that adds `Signal`; its moments are Lightning's hooks."""
    arguments = f"{{hook: {hook}, step: {step}, number: {int(number)}, rank: {rank}}}"
    return f"trainer.callbacks=[{{class_path: tests.runs.Signal, init_args: {arguments}}}]"


class Wait(Callback):
    """Makes a moment of the run last, so that a signal meets it there.

    Args:
        hook: Of Lightning.
        step: Optimiser steps that were done then.
        release: A file; the run waits until it is there.
    """

    def __init__(self, hook: str, step: int, release: str) -> None:
        self.step = step
        self.release = Path(release)
        setattr(self, hook, self._maybe)

    def _maybe(self, trainer: Any, *unused: Any) -> None:
        if trainer.global_step == self.step:
            print("waiting", flush=True)
            while not self.release.exists():
                time.sleep(0.01)


def wait_at(hook: str, step: int, release: Path) -> str:
    """Return the setting that adds `Wait`."""
    arguments = f"{{hook: {hook}, step: {step}, release: {release}}}"
    return f"trainer.callbacks=[{{class_path: tests.runs.Wait, init_args: {arguments}}}]"


def command(manifest: Path, run_dir: Path, *settings: str, config: Path | None = None) -> list[str]:
    """Return the arguments of a tiny run.

    Args:
        manifest: Its clips.
        run_dir: Its folder.
        settings: Of the form key=value; the last of a key counts.
        config: In place of an empty one.
    """
    if config is None:
        config = manifest.with_name("empty.yaml")
        config.write_text("{}\n")
    own = [f"data.manifest={manifest}", f"run_dir={run_dir}"]
    return ["fit", "--config", str(config), *own, *TINY, *settings]


class Run:
    """A run in a process of its own, the first of its process group.

    Args:
        arguments: Of the command `vipl`.
        log: Gets what it prints.
        environment: Variables to set.
    """

    def __init__(
        self, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        self.process: ForkServerProcess = context.Process(
            target=_run, args=(list(arguments), str(log), dict(environment or {}))
        )
        self.process.start()
        self.wait_until(self._leads_a_group)

    def _leads_a_group(self) -> bool:
        """Tell whether a signal to its group would reach it by now, or never will."""
        assert self.process.pid is not None
        try:
            return os.getpgid(self.process.pid) == self.process.pid
        except ProcessLookupError:
            return True

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *unused: object) -> None:
        self.signal_group(signal.SIGKILL)
        self.process.join()

    def signal(self, number: int) -> None:
        """Signal the process alone."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def signal_group(self, number: int) -> None:
        """Signal it and all that it started, as terminals and schedulers do."""
        assert self.process.pid is not None
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            assert self.process.exitcode is not None

    def wait(self, timeout_s: float = 120) -> int:
        """Wait for its end, and return its exit status; negative: the signal that ended it."""
        self.process.join(timeout_s)
        assert self.process.exitcode is not None, f"still running: {self.printed}"
        return self.process.exitcode

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 120) -> None:
        """Wait for something while it runs."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert self.process.is_alive(), f"ended early: {self.printed}"
            assert time.monotonic() < deadline, f"waited in vain: {self.printed}"
            time.sleep(0.005)

    @property
    def printed(self) -> str:
        """What it has printed."""
        return self.log.read_text() if self.log.exists() else ""


def torchrun_environments(processes: int) -> list[dict[str, str]]:
    """Return what `torchrun` would set for each process of one node."""
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "TORCHELASTIC_RUN_ID": "test",
        "GROUP_RANK": "0",
    }
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


class Group:
    """The processes of one run.

    Args:
        arguments: Of the command `vipl`, the same for all.
        logs: Folder that gets `RANK.log` of each.
        environments: Variables to set, one set a process.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        logs: Path,
        environments: Sequence[Mapping[str, str]] = ({},),
    ) -> None:
        logs.mkdir()
        self.runs = [
            Run(arguments, logs / f"{rank}.log", environment)
            for rank, environment in enumerate(environments)
        ]

    def __enter__(self) -> "Group":
        return self

    def __exit__(self, *unused: object) -> None:
        for run in self.runs:
            run.__exit__()

    def signal(self, number: int) -> None:
        """Signal all of them, and all that they started."""
        for run in self.runs:
            run.signal_group(number)

    def wait(self, timeout_s: float = 120) -> list[int]:
        """Wait for their ends, and return their exit statuses."""
        return [run.wait(timeout_s) for run in self.runs]


def draw_nothing(*unused: object) -> None:
    """Stand in for the pictures of a validation, which take longer than a tiny run."""


def _run(arguments: list[str], log: str, environment: dict[str, str]) -> None:
    os.setsid()
    multiprocessing.set_start_method(None, force=True)  # the platform's, as in a user's run
    os.environ.update(environment)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    sys.argv = ["vipl", *arguments]
    vipl.rewards.plots.plot_held_out = draw_nothing
    status = main(arguments)
    sys.stdout.flush()
    sys.exit(status)


def figures(run_dir: Path) -> list[dict[str, str]]:
    """Return what a run logged, to the last digit, without how fast it was."""
    with (run_dir / "metrics" / "metrics.csv").open() as file:
        rows = [
            {name: value for name, value in row.items() if not name.startswith("perf/") and value}
            for row in csv.DictReader(file)
        ]
    return [row for row in rows if set(row) > {"step", "epoch"}]


def losses(run_dir: Path) -> list[float]:
    """Return the training loss of every step."""
    rows = figures(run_dir)
    return [float(row["train/loss"]) for row in rows if "train/loss" in row]


def rows_of(run_dir: Path) -> int:
    """Return how many rows a run that is under way has logged."""
    file = run_dir / "metrics" / "metrics.csv"
    return max(0, file.read_text().count("\n") - 1) if file.exists() else 0


def check_files(run_dir: Path) -> None:
    """Check that every file that a killed run left is whole."""
    files = by_step(run_dir / "checkpoints").values()
    assert files
    assert {path: why_torn(path) for path in files} == dict.fromkeys(files)
    load_encoder(run_dir / "checkpoints" / "last.ckpt")
    load_encoder(run_dir / "encoder_initial")
    if (run_dir / "encoder" / "config.json").exists():
        load_encoder(run_dir / "encoder")
    yaml.safe_load((run_dir / "config.yaml").read_text())
    figures(run_dir)
