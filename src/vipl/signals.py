"""Signals that ask a run to stop, and processes that leave the answer to their parent.

Schedulers and Ctrl-C signal whole process groups: the training processes, and the loading and
decoding processes below them. Only the first decide; were the others to end, the batch that is
being made would be lost or, worse, made of other clips.
"""

import multiprocessing
import os
import select
import signal
import socket
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
_POLL_S = 1.0


class WaitedInVainError(BaseException):
    """What a stop was asked for while it was waited for did not come; no defect to be caught."""


class StopRequest:
    """Remembers that a signal asked the process to stop.

    The first SIGINT is remembered, too; the second ends the process at once, as the system does
    it, also while the process waits in a library.

    Attributes:
        signal: The last of the signals that came, None while none has.
        at: When it came, in seconds of `time.monotonic`.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.at = 0.0
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
            _Waiting.request = self
            for number in signals:
                self._before[number] = signal.signal(number, self._remember)

    def release(self) -> None:
        """Give the signals back to those who had them before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
        if _Waiting.request is self:
            _Waiting.request = None

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal, self.at = signal.Signals(number), time.monotonic()
        if self.signal == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if self._announce:  # not by `print`: the signal may have come in the middle of one
                os.write(2, b"\nSaving after this step; Ctrl-C again ends at once without it.\n")


class _Waiting:
    """Who is asked to stop, and since when the main thread has waited for data."""

    request: StopRequest | None = None
    since: float | None = None


@contextmanager
def waiting_for_data() -> Iterator[None]:
    """Let a wait inside the block, for what may never come, end soon after a stop is asked for."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Waiting.since = time.monotonic()
    try:
        yield
    finally:
        _Waiting.since = None


def check_patience() -> None:
    """Give up waiting for data where a stop was asked for a while ago. Call it while waiting.

    Raises:
        WaitedInVainError: In a block of `waiting_for_data`.
    """
    request, since = _Waiting.request, _Waiting.since
    if request is None or request.signal is None or since is None:
        return
    if time.monotonic() - max(since, request.at) > _PATIENCE_S:
        raise WaitedInVainError


def await_answer(connection: socket.socket, *, deadline: float) -> None:
    """Wait until a connection has something to read, or the deadline has passed.

    Args:
        connection: To read from.
        deadline: In seconds of `time.monotonic`.

    Raises:
        WaitedInVainError: As `check_patience` does.
    """
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    while (left_s := deadline - time.monotonic()) > 0:
        if poll.poll(1000 * min(left_s, _POLL_S)):
            return
        check_patience()


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
