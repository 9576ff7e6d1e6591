"""What is said of a loading process that died or failed."""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from weakref import WeakSet

from torch._C import _remove_worker_pids
from torch._utils import ExceptionWrapper

from vipl.data.loading.shared_memory import REMEDY
from vipl.errors import UserError
from vipl.processes.children import how_it_ended

_LESS_SHARED = REMEDY.format(option="their number")
_FEWER = "take fewer loading processes (data.num_workers, --workers) or smaller batches"
_CAUSES = {
    signal.SIGKILL: f", most likely because memory ran out: {_FEWER}",
    signal.SIGBUS: f", most likely because /dev/shm is full: {_LESS_SHARED}",
}
# What the system refuses, by words of its own that libraries pass on.
_REFUSALS = {
    "No space left on device": f"/dev/shm is full: {_LESS_SHARED}",
    "Too many open files": "there are too many open files: allow more by `ulimit -n 65536`, or "
    f"{_FEWER}",
    "Cannot allocate memory": f"memory ran out: {_FEWER}",
    "Resource temporarily unavailable": "the system starts no more processes or threads: allow "
    f"more by `ulimit -u`, or {_FEWER}",
}


class Loading(Protocol):
    """An iterator over what processes load."""

    _workers: list[multiprocessing.Process]
    _worker_pids_set: bool


_loading: "WeakSet[Any]" = WeakSet()  # of type `Loading`
_deaths: list[int] = []


def begun(iterator: Loading) -> None:
    """Take note of an iterator whose processes are at work."""
    _loading.add(iterator)


def ending(iterator: Loading) -> None:
    """Take note that an iterator's processes will be ended now; those that are dead, died."""
    if iterator in _loading:
        _deaths.extend(_codes(iterator))  # first: another death may be raised right here
        _loading.discard(iterator)


def _codes(iterator: Loading) -> list[int]:
    return [worker.exitcode for worker in iterator._workers if worker.exitcode]


def unwatched(iterator: Loading) -> None:
    """Keep torch from raising where the main thread happens to be that a process has died."""
    if iterator._worker_pids_set:
        _remove_worker_pids(id(iterator))
        iterator._worker_pids_set = False


def _all_codes() -> list[int]:
    """Return how processes ended that died; no further death is raised after it."""
    while True:
        try:
            for one in list(_loading):
                unwatched(one)
            return [*_deaths, *(code for one in list(_loading) for code in _codes(one))]
        except RuntimeError:  # of another iterator's process, while the first one's was looked at
            continue


@contextmanager
def deaths_explained() -> Iterator[None]:
    """Say in a sentence that a loading process has died, and how.

    torch raises its error of that wherever the main thread happens to be.

    Raises:
        UserError: In place of it.
    """
    _deaths.clear()
    try:
        yield
    except RuntimeError as error:
        codes = _all_codes()
        if not codes:
            raise
        raise UserError(_death(codes[0])) from error


def explain(error: RuntimeError, iterator: Loading) -> None:
    """Raise in a sentence what went wrong while an iterator waited, where that is known.

    Raises:
        UserError: In place of torch's error.
    """
    codes = _codes(iterator)
    reason = _death(codes[0]) if codes else _refusal(str(error))
    if reason is not None:
        raise UserError(reason) from error


def raise_failure(failure: ExceptionWrapper) -> None:
    """Raise what a loading process raised.

    Raises:
        UserError: If it is one, or the system refused something.
        Exception: Another, with its traceback: a defect.
    """
    lines = str(failure.exc_msg).strip().splitlines()
    if failure.exc_type is not None and issubclass(failure.exc_type, UserError):
        raise UserError(lines[-1].partition(": ")[2])
    if failure.exc_type is MemoryError:
        raise UserError(f"a loading process failed, as memory ran out: {_FEWER}")
    reason = _refusal(lines[-1])
    if reason is not None:
        raise UserError(reason)
    failure.reraise()  # type: ignore[no-untyped-call]


def _death(code: int) -> str:
    if code > 0:
        return f"a loading process ended: {how_it_ended(code)}; --debug shows more"
    number = signal.Signals(-code)
    return f"a loading process was ended by {number.name}{_CAUSES.get(number, '')}"


def _refusal(text: str) -> str | None:
    found = [said for words, said in _REFUSALS.items() if words in text]
    return f"a loading process cannot go on, as {found[0]}" if found else None
