"""Loading that cannot go on ends: with its reason, and soon after a stop is asked for."""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

import pytest
import torch
from torch.utils.data import Dataset

from vipl.data.loading import loading_failures, shared_memory
from vipl.data.loading.closing_loader import ClosingLoader, begin_worker
from vipl.data.loading.loading_failures import begun, deaths_explained, ending
from vipl.data.loading.shared_memory import check_room, held_bytes
from vipl.errors import UserError
from vipl.processes.signals import StopRequest, WaitedInVainError, waiting_for_data


class Doing(Dataset[Any]):
    """Does something for sample 3 in place of loading it."""

    def __init__(self, what: Callable[[], Any]) -> None:
        self.what = what

    def __len__(self) -> int:
        return 8

    def __getitem__(self, n: int) -> Any:
        return self.what() if n == 3 else torch.tensor(n)


class Unsent:
    """Cannot be sent, for want of room in shared memory."""

    def __reduce__(self) -> Any:
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")


def kill(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def refuse(error: Exception) -> Callable[[], None]:
    def raise_it() -> None:
        raise error

    return raise_it


def loader_of(what: Callable[[], Any], *, workers: int = 2) -> ClosingLoader[Any]:
    return ClosingLoader(
        Doing(what), batch_size=None, num_workers=workers, worker_init_fn=begin_worker
    )


@pytest.fixture
def request_to_stop(monkeypatch):
    """Give what asks this process to stop in half a second, and is heeded at once."""
    monkeypatch.setattr("vipl.processes.signals._PATIENCE_S", 0.0)
    asked = StopRequest()
    asked.listen({signal.SIGTERM}, announce=False)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    yield timer
    asked.release()
    timer.cancel()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (Unsent, "/dev/shm is full: enlarge it"),
        (kill(signal.SIGKILL), "ended by SIGKILL, most likely because memory ran out: take fewer"),
        (kill(signal.SIGBUS), "ended by SIGBUS, most likely because /dev/shm is full: enlarge it"),
        (kill(signal.SIGSEGV), "ended by SIGSEGV$"),
        (lambda: os._exit(7), "ended: exit status 7"),
        (refuse(UserError("data.x is 3, expected 4")), "^data.x is 3, expected 4$"),
        (refuse(OSError(24, "Too many open files")), "too many open files: allow more by `ulimit"),
        (refuse(MemoryError()), "memory ran out: take fewer"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_ends_loading_is_said(what, said):
    loader, begin = loader_of(what), time.monotonic()
    with pytest.raises(UserError, match=said):
        list(loader)
    loader.close()
    assert time.monotonic() - begin < 10


def test_a_defect_keeps_its_traceback():
    loader = loader_of(refuse(KeyError("no such thing")))
    with pytest.raises(KeyError, match="Original Traceback"):
        list(loader)
    loader.close()


def test_a_death_is_explained_wherever_torch_raises_it():
    loader = loader_of(lambda: torch.tensor(3))
    batches = iter(loader)
    next(batches)

    def step():
        with deaths_explained():
            os.kill(batches._workers[0].pid, signal.SIGKILL)
            time.sleep(5)

    with pytest.raises(UserError, match="ended by SIGKILL"):
        step()
    loader.close()
    with pytest.raises(RuntimeError, match="another"), deaths_explained():
        raise RuntimeError("another")


def test_a_batch_that_does_not_come_is_not_waited_for_after_a_stop(request_to_stop):
    loader = loader_of(lambda: time.sleep(100))
    loader.instead = "missing"
    batches = iter(loader)
    assert [int(next(batches)) for _ in range(3)] == [0, 1, 2]
    request_to_stop.start()
    begin = time.monotonic()
    assert next(batches) == "missing"
    assert next(batches) == "missing"
    loader.close()
    assert time.monotonic() - begin < 5


def test_without_a_stop_it_is_waited_for():
    slow = loader_of(lambda: time.sleep(1.5) or torch.tensor(3))
    slow.instead = "missing"
    assert [int(batch) for batch in slow] == list(range(8))


def test_processes_that_hang_are_ended_all_the_same(request_to_stop):
    loader = loader_of(kill(signal.SIGSTOP))
    loader.instead = "missing"
    batches = iter(loader)
    request_to_stop.start()
    assert list(zip(batches, range(4), strict=False))[-1][0] == "missing"
    begin, workers = time.monotonic(), batches._workers
    loader.close()
    assert time.monotonic() - begin < 6
    assert not any(worker.is_alive() for worker in workers)


def test_this_process_gives_its_own_loading_up_as_well(request_to_stop):
    loader = loader_of(lambda: time.sleep(100), workers=0)
    batches = iter(loader)
    assert [int(next(batches)) for _ in range(3)] == [0, 1, 2]
    request_to_stop.start()
    begin = time.monotonic()
    with pytest.raises(WaitedInVainError):
        next(batches)
    assert time.monotonic() - begin < 5
    begin = time.monotonic()
    time.sleep(1.2)  # elsewhere nothing is given up
    assert time.monotonic() - begin > 1.2


def test_data_that_come_soon_after_a_stop_are_waited_for(request_to_stop, monkeypatch):
    monkeypatch.setattr("vipl.processes.signals._PATIENCE_S", 20.0)
    request_to_stop.start()
    with waiting_for_data():
        begin = time.monotonic()
        time.sleep(2)
        assert time.monotonic() - begin >= 2


def test_the_room_that_batches_need(monkeypatch):
    assert held_bytes(10**6, workers=4) == 10 * 10**6
    assert held_bytes(10**6, workers=0) == 0
    monkeypatch.setattr(
        shared_memory.os, "statvfs", lambda path: SimpleNamespace(f_bavail=16384, f_frsize=4096)
    )
    check_room(2**26, option="data.num_workers")
    with pytest.raises(UserError) as refused:
        check_room(2**27, option="data.num_workers")
    for words in ("/dev/shm has 67 MB free", "up to 134 MB", "--shm-size", "data.num_workers=0"):
        assert words in str(refused.value)


class Dead:
    """A process that died while another's death was raised."""

    def __init__(self) -> None:
        self.raised = False

    @property
    def exitcode(self) -> int:
        if not self.raised:
            self.raised = True
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")
        return -signal.SIGKILL


@pytest.mark.parametrize("ended_before", [False, True])
def test_a_second_death_on_the_way_out_hides_no_reason(
    ended_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading_failures, "_loading", WeakSet())  # none of other tests

    class Iterator:
        _worker_pids_set = False
        _workers = (Dead(),)

    iterator: Any = Iterator()

    @deaths_explained()
    def run() -> None:
        begun(iterator)
        if ended_before:
            ending(iterator)  # in which the second is raised
        raise RuntimeError("DataLoader worker (pid 6) is killed by signal: Killed.")

    with pytest.raises(UserError, match="was ended by SIGKILL"):
        run()
