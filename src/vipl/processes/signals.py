"""Signals that ask a run to stop, and processes that leave the answer to their parent.

Schedulers and Ctrl-C signal whole process groups: the training processes, and the loading and
decoding processes below them. Only the first decide; were the others to end, the batch that is
being made would be lost or, worse, made of other clips.
"""

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

GROUP_SIGNALS = frozenset(
    {signal.SIGINT, signal.SIGTERM}
    | {getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2", "SIGHUP") if hasattr(signal, name)}
)
"""What schedulers and terminals send to all processes of a job."""

_PATIENCE_S = 3.0
_NUDGE_S = 0.5
_LAST_S = 60.0


class WaitedInVainError(BaseException):
    """What was waited for when a stop was asked for did not come; no defect to be caught."""


class _Waiting:
    """Since when the main thread has waited for data, in seconds of `time.monotonic`."""

    since: float | None = None


@contextmanager
def waiting_for_data() -> Iterator[None]:
    """Let a wait of the main thread, for what may never come, end soon after a request to stop.

    Raises:
        WaitedInVainError: Where it does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Waiting.since = time.monotonic()
    try:
        yield
    finally:
        _Waiting.since = None


class StopRequest:
    """Remembers that a signal asked the process to stop.

    The first SIGINT is remembered, too; the second ends the process at once, as the system does
    it, also while the process waits in a library. What the process waits for in
    `waiting_for_data` is given up a few seconds after the signal.

    Attributes:
        signal: The last of the signals that came, None while none has.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._came_at = 0.0
        self._nudged = False
        self._events: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._announce = False
        self._before: dict[signal.Signals, Any] = {}

    def listen(self, signals: Iterable[signal.Signals], *, announce: bool) -> None:
        """Remember these signals from now on; nothing changes outside the main thread.

        Args:
            signals: To listen to.
            announce: Say on SIGINT what happens now, and what a second one does.
        """
        self._announce = announce
        if threading.current_thread() is threading.main_thread():
            for number in signals:
                self._before[number] = signal.signal(number, self._remember)
            if signal.SIGTERM in self._before and hasattr(signal, "pthread_kill"):
                threading.Thread(target=self._nudge, daemon=True).start()

    def release(self) -> None:
        """Give the signals back to those who had them before."""
        self._events.put(False)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self._nudged:
            self._nudged = False
            if self._waits_in_vain():
                raise WaitedInVainError
            return
        self.signal, self._came_at = signal.Signals(number), time.monotonic()
        self._events.put(True)
        if self.signal == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if self._announce:  # not by `print`: the signal may have come in the middle of one
                os.write(2, b"\nSaving after this step; Ctrl-C again ends at once without it.\n")

    def _waits_in_vain(self) -> bool:
        since = _Waiting.since
        if self.signal is None or since is None:
            return False
        return time.monotonic() - max(since, self._came_at) > _PATIENCE_S

    def _nudge(self) -> None:
        """In a thread: wake the main thread, by a signal of its own, where it waits in vain."""
        asked = self._events.get()
        while asked:
            try:
                asked = self._events.get(timeout=_NUDGE_S)
            except queue.Empty:
                if self._waits_in_vain():
                    self._nudged = True
                    main = threading.main_thread().ident
                    assert main is not None
                    signal.pthread_kill(main, signal.SIGTERM)


@contextmanager
def shielded(signals: Iterable[signal.Signals] = GROUP_SIGNALS) -> Iterator[None]:
    """Let a process that is started inside the block never see the group's signals.

    It inherits the block. For processes that end when their parent closes a pipe, or that call
    `obey_parent_only`: a signal may come before they do.

    Args:
        signals: That it is not to see; SIGINT alone where the parent may end it by SIGTERM.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def obey_parent_only(worker: int = 0) -> None:
    """In a loading process: ignore the group's signals, but end when the parent asks by SIGTERM.

    Args:
        worker: Number of the process, as `DataLoader` passes it to `worker_init_fn`.
    """
    if not hasattr(signal, "sigwaitinfo"):  # macOS and Windows do not tell who sent a signal
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
    threading.Thread(target=_end_when_parent_asks, daemon=True).start()


def _end_when_parent_asks() -> None:
    started_by = multiprocessing.parent_process()  # not by getppid(): a fork server stands between
    assert started_by is not None
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != started_by.pid:
        pass
    os._exit(0)


def end_with(descriptor: int) -> None:
    """Have SIGTERM end this process when all who hold the other end of a pipe are gone.

    SIGKILL follows where that is not heeded in time. Where the one that started a process is
    killed, nobody else ends it.

    Args:
        descriptor: Of the end to read from.
    """
    os.set_inheritable(descriptor, False)
    threading.Thread(target=_end_when_closed, args=(descriptor,), daemon=True).start()


def _end_when_closed(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_LAST_S)
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def terminated_by_exit() -> Iterator[None]:
    """Let SIGTERM end the process in order, with the status that shells expect."""

    def leave(*unused: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
