"""Where cells run: in this process, in processes of this machine, or in a Ray cluster.

This module is the first that a worker process imports, so it imports nothing heavy itself.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
from dataclasses import replace
from multiprocessing import connection, parent_process
from typing import TYPE_CHECKING, Any

from vipl.evaluation.running.pool import Pool
from vipl.processes.children import how_it_ended, start_fresh

if TYPE_CHECKING:
    from vipl.evaluation.evaluator import Cell
    from vipl.evaluation.running.worker import Failed, Finished, Work

_ENDING_S = 1.0  # between the end of a process's pipe and its own
# Libraries that start a thread a core in every process, each of which has one core.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def make_pool(launcher: str, work: Work, *, workers: int | None, cells: int) -> Pool:
    """Make the workers of an evaluation.

    Args:
        launcher: "local" or "ray".
        work: For them to do.
        workers: How many; None for one a core; 0 for none but this process.
        cells: To run: more workers than these are not made.

    Raises:
        UserError: If Ray is asked for and not installed, or its cluster cannot be reached.
    """
    if launcher == "ray":
        from vipl.evaluation.running.ray_launcher import RayPool

        return RayPool(work, workers=workers, cells=cells)
    cores = _cores()
    if workers == 0:
        return OwnProcess(replace(work, threads=cores))
    workers = min(workers or cores, cells)
    return LocalPool(replace(work, threads=max(cores // workers, 1)), workers=workers)


class OwnProcess(Pool):
    """Runs cells in this process, where a debugger reaches them.

    Args:
        work: To do.
    """

    slots = 1

    def __init__(self, work: Work) -> None:
        from vipl.evaluation.running.worker import Worker

        self._worker = Worker(work)
        self._cells: list[Cell] = []

    def submit(self, cell: Cell) -> None:
        """Remember the cell."""
        self._cells.append(cell)

    def collect(self) -> tuple[Cell, Finished | Failed]:
        """Run the cell."""
        cell = self._cells.pop()
        return cell, self._worker.run(cell)


class LocalPool(Pool):
    """Processes of this machine; one that dies takes only its own cell with it.

    Each has a pipe of its own, so that a process killed while it writes spoils no other's.

    Args:
        work: To do.
        workers: How many processes.
    """

    def __init__(self, work: Work, *, workers: int) -> None:
        self.slots = workers
        self._work = pickle.dumps(work)
        self._idle: list[_Process] = []
        self._busy: dict[_Process, Cell] = {}
        os.environ.update(dict.fromkeys(_THREADS, "1"))  # read when the process loads them

    def submit(self, cell: Cell) -> None:
        """Give the cell to an idle process, or a new one."""
        process = self._idle.pop() if self._idle else _Process(self._work)
        self._busy[process] = cell
        process.send(cell)

    def collect(self) -> tuple[Cell, Finished | Failed]:
        """Wait for a result or a death."""
        connection.wait([waitable for process in self._busy for waitable in process.waitables])
        process = next(process for process in self._busy if process.is_ready())
        cell = self._busy.pop(process)
        try:
            result = process.receive()
        except (EOFError, OSError):
            return cell, process.bury()
        self._idle.append(process)
        return cell, result

    def close(self) -> None:
        """Kill the processes."""
        for process in [*self._idle, *self._busy]:
            process.kill()
        self._idle, self._busy = [], {}


class _Process:
    """A worker process and the pipe to it."""

    def __init__(self, work: bytes) -> None:
        # Fresh, not forked: an OpenGL context and torch's threads do not survive a fork.
        self._process, self._pipe = start_fresh(_serve, name="vipl-eval-worker", daemon=False)
        self.send(work)

    @property
    def waitables(self) -> list[Any]:
        """What becomes ready when it answers or dies."""
        return [self._pipe, self._process.sentinel]

    def is_ready(self) -> bool:
        """Tell whether it answered or died."""
        return bool(connection.wait(self.waitables, timeout=0))

    def send(self, message: object) -> None:
        with contextlib.suppress(OSError):  # it is dead, which `receive` finds
            self._pipe.send(message)

    def receive(self) -> Any:
        return self._pipe.recv()

    def bury(self) -> Failed:
        """Return how it died.

        Raises:
            UserError: If the main script does its work where processes import it.
        """
        from vipl.evaluation.running.worker import Failed

        self._process.join(_ENDING_S)
        self.kill()
        return Failed(f"WorkerDied: {how_it_ended(self._process.exitcode)}")

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _serve(pipe: connection.Connection[Any, Any]) -> None:
    """Run cells that come through a pipe, until it is closed."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    work = pipe.recv()
    from vipl.evaluation.running.worker import Worker

    worker = Worker(pickle.loads(work))
    while True:
        try:
            cell = pipe.recv()
        except EOFError:
            return
        pipe.send(worker.run(cell))


def _die_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # those that this process may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
