"""Loading processes that can be ended at once. No Lightning here: commands start faster."""

import multiprocessing
import os
import weakref
from collections.abc import Callable
from multiprocessing import resource_tracker
from typing import Any, TypeVar

from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from vipl.allocator import bound_freed_memory
from vipl.signals import obey_parent_only, shielded

Sample = TypeVar("Sample")


class ClosingLoader(DataLoader[Sample]):
    """A loader whose processes can be ended at once.

    They heed no signal but their parent's end, so one that an exception left behind would be
    waited for when the interpreter exits, and the interpreter by it.
    """

    _iterator_now: Callable[[], Any] | None = None

    def __iter__(self) -> Any:
        """Begin, and remember what to end."""
        if self.num_workers and multiprocessing.get_start_method() != "fork":
            resource_tracker.ensure_running()  # which would lift the block, were it started below
        with shielded():
            iterator = super().__iter__()
        self._iterator_now = weakref.ref(iterator)
        return iterator

    def close(self) -> None:
        """End the processes, where there are any; to iterate again starts new ones."""
        iterator = None if self._iterator_now is None else self._iterator_now()
        if isinstance(iterator, _MultiProcessingDataLoaderIter):
            iterator._shutdown_workers()
        self._iterator = None  # which persistent processes go on with


def default_workers() -> int:
    """Return how many processes load data by default: one a core, eight at most."""
    return min(8, os.cpu_count() or 1)


def begin_worker(worker: int) -> None:
    """Settle a process that loads, as `DataLoader` calls it by `worker_init_fn`."""
    obey_parent_only(worker)
    bound_freed_memory()
