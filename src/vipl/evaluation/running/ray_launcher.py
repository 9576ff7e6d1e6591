"""Cells as tasks of a Ray cluster."""

from typing import Any

from vipl.errors import UserError
from vipl.evaluation.evaluator import Cell
from vipl.evaluation.running.pool import Pool
from vipl.evaluation.running.worker import Failed, Finished, Work, Worker
from vipl.processes import ray_cluster

_workers: dict[str, Worker] = {}


class RayPool(Pool):
    """Tasks in a Ray cluster: that of RAY_ADDRESS, else one of this machine, made for the run.

    Args:
        work: To do.
        workers: Cells at once; None for as many as the cluster has cores.
        cells: To run.

    Raises:
        UserError: If Ray is not installed, or the cluster cannot be reached or has no GPU for a
            device that is one.
    """

    def __init__(self, work: Work, *, workers: int | None, cells: int) -> None:
        self._ray, self._started = ray_cluster.connect(workers)
        self.slots = workers or cells
        self._cells: dict[Any, Cell] = {}
        self._work = self._ray.put(work)
        options = {"num_cpus": 1, "max_retries": 0, "num_gpus": self._gpus(work.device)}
        self._run = self._ray.remote(_run_in_ray).options(**options)

    def submit(self, cell: Cell) -> None:
        """Queue the cell as a task."""
        self._cells[self._run.remote(self._work, cell)] = cell

    def collect(self) -> tuple[Cell, Finished | Failed]:
        """Wait for a task."""
        ready, _ = self._ray.wait(list(self._cells), num_returns=1)
        cell = self._cells.pop(ready[0])
        try:
            result: Finished | Failed = self._ray.get(ready[0])
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().partition("\n")[0]
            return cell, Failed(f"{type(error).__name__}: {reason}")
        return cell, result

    def close(self) -> None:
        """Cancel what is under way, and leave the cluster."""
        for task in self._cells:
            self._ray.cancel(task, force=True)
        if self._started:
            self._ray.shutdown()

    def _gpus(self, device: str) -> float:
        """Return the share of a GPU that a task is to get: Ray hides them from one without."""
        if not device.startswith("cuda"):
            return 0.0
        total = float(self._ray.cluster_resources().get("GPU", 0))
        if not total:
            self.close()
            raise UserError(f"--device {device} cannot be had: the Ray cluster has no GPU")
        return min(1.0, total / self.slots)


def _run_in_ray(work: Work, cell: Cell) -> Finished | Failed:
    """Run a cell in a process of Ray's, which keeps the worker for its next cells."""
    if work.token not in _workers:
        _workers.clear()
        _workers[work.token] = Worker(work)
    return _workers[work.token].run(cell)
