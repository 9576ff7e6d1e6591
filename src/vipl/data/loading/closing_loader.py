"""Loading processes that can be ended at once. No Lightning here: commands start faster."""

import multiprocessing
import os
import threading
import weakref
from collections.abc import Callable
from multiprocessing import queues, resource_tracker
from typing import Any, TypeVar

from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader, _utils
from torch.utils.data.dataloader import (
    _BaseDataLoaderIter,
    _MultiProcessingDataLoaderIter,
    _SingleProcessDataLoaderIter,
)

from vipl.data.loading.loading_failures import begun, ending, explain, raise_failure, unwatched
from vipl.processes.allocator import bound_freed_memory
from vipl.processes.children import stop_if_imported
from vipl.processes.signals import WaitedInVainError, obey_parent_only, shielded, waiting_for_data

Sample = TypeVar("Sample")

_GRACE_S = 1.0


class ClosingLoader(DataLoader[Sample]):
    """A loader whose processes can be ended at once, and whose batches are not waited for in vain.

    They heed no signal but their parent's end, so one that an exception left behind would be
    waited for when the interpreter exits, and the interpreter by it.

    Attributes:
        instead: Given from then on where a batch does not come and a stop has been asked for; None:
            `WaitedInVainError` is raised.
    """

    instead: Sample | None = None
    _iterator_now: Callable[[], Any] | None = None

    def __iter__(self) -> Any:
        """Begin, and remember what to end."""
        if self.num_workers and multiprocessing.get_start_method() != "fork":
            stop_if_imported()
            resource_tracker.ensure_running()  # which would lift the block, were it started below
        with shielded():
            iterator = super().__iter__()
        self._iterator_now = weakref.ref(iterator)
        return iterator

    def _get_iterator(self) -> _BaseDataLoaderIter:
        return _Processes(self) if self.num_workers else _ThisProcess(self)

    def close(self) -> None:
        """End the processes, where there are any; to iterate again starts new ones."""
        iterator = None if self._iterator_now is None else self._iterator_now()
        if isinstance(iterator, _Processes):
            iterator._shutdown_workers()
        self._iterator = None  # which persistent processes go on with


class _Patient(_BaseDataLoaderIter):
    """Waits for a batch, but not for ever once a stop has been asked for."""

    _in_vain = False

    def __init__(self, loader: ClosingLoader[Any]) -> None:
        super().__init__(loader)
        self._instead = loader.instead

    def __next__(self) -> Any:
        if not self._in_vain:
            try:
                with waiting_for_data():
                    return super().__next__()
            except WaitedInVainError:
                if self._instead is None:
                    raise
                self._in_vain = True
        return self._instead


class _ThisProcess(_Patient, _SingleProcessDataLoaderIter):
    """Loads in this process."""


class _Processes(_Patient, _MultiProcessingDataLoaderIter):
    """Loads in others; their death or failure ends it with the reason."""

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except RuntimeError as error:
            explain(error, self)
            raise

    def _reset(self, loader: Any, first_iter: bool = False) -> None:
        begun(self)
        try:
            with waiting_for_data():
                super()._reset(loader, first_iter)
        except WaitedInVainError:
            self._in_vain = True

    def _process_data(self, data: Any, worker_idx: int) -> Any:
        if isinstance(data, ExceptionWrapper):
            raise_failure(data)
        return super()._process_data(data, worker_idx)  # type: ignore[no-untyped-call]

    def _shutdown_workers(self) -> None:
        """End the processes, also those that hang, which torch waits for one by one."""
        ending(self)
        late = [
            threading.Timer(turn * _GRACE_S, end)
            for worker in self._workers
            if not self._shutdown and _utils.python_exit_status is False
            for turn, end in ((1, worker.terminate), (2, worker.kill))
        ]
        unwatched(self)  # torch would take their end for an accident
        for timer in late:
            timer.daemon = True
            timer.start()
        try:
            super()._shutdown_workers()
        finally:
            for timer in late:
                timer.cancel()


def default_workers() -> int:
    """Return how many processes load data by default: one a core, eight at most."""
    return min(8, os.cpu_count() or 1)


def begin_worker(worker: int) -> None:
    """Settle a process that loads, as `DataLoader` calls it by `worker_init_fn`."""
    obey_parent_only(worker)
    bound_freed_memory()
    # Else a batch that cannot be sent is dropped, and waited for without end.
    queues.Queue._on_queue_feeder_error = _send_failure  # type: ignore[attr-defined]


def _send_failure(queue: "queues.Queue[Any]", error: Exception, item: tuple[Any, Any]) -> None:
    """Send, in place of a batch, why it cannot be sent."""
    reason = ExceptionWrapper((type(error), error, error.__traceback__))  # type: ignore[no-untyped-call]
    queue.put((item[0], reason))
