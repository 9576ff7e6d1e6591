"""Many decoding processes at work at the same time."""

import contextlib
import os
import queue
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from vipl.data.decoding.probe import VideoInfo
from vipl.data.decoding.video import VideoError
from vipl.data.processes.isolation import DecoderProcess

_TURN_S = 0.2

Job = TypeVar("Job")
Result = TypeVar("Result")


class _Raised(NamedTuple):
    """What a thread hands over in place of a result."""

    error: Exception


def probe_many(
    paths: Sequence[str | Path], *, workers: int, timeout_s: float, thorough: bool = True
) -> Iterator[tuple[int, VideoInfo | VideoError]]:
    """Probe many videos at the same time, each in a process that can be killed.

    Args:
        paths: The video files.
        workers: Decoding processes.
        timeout_s: Seconds that one video may take.
        thorough: Whether to `probe`; else to `glance`.

    Yields:
        The position in `paths` and what was found, or why the video cannot be read, in the order
        in which they finish.

    Raises:
        RuntimeError: The decoding processes cannot be started.
    """

    def look(decoder: DecoderProcess, path: str | Path) -> VideoInfo | VideoError:
        try:
            return decoder.probe(path) if thorough else decoder.glance(path)
        except VideoError as error:
            return error

    return call_many(look, paths, workers=workers, timeout_s=timeout_s)


def call_many(
    call: Callable[[DecoderProcess, Job], Result],
    jobs: Sequence[Job],
    *,
    workers: int,
    timeout_s: float,
    stop: threading.Event | None = None,
) -> Generator[tuple[int, Result], None, None]:
    """Do many jobs at the same time, each thread with a decoding process of its own.

    Args:
        call: Does a job.
        jobs: To do.
        workers: Decoding processes.
        timeout_s: Seconds that one call of a process may take.
        stop: Set when no more is wanted: `call` may look at it.

    Yields:
        The position in `jobs` and what `call` returned, in the order in which they finish.

    Raises:
        Exception: What `call` raised.
    """
    waiting: queue.SimpleQueue[tuple[int, Job]] = queue.SimpleQueue()
    for job in enumerate(jobs):
        waiting.put(job)
    results: queue.SimpleQueue[tuple[int, Result | _Raised]] = queue.SimpleQueue()
    stop = stop or threading.Event()

    decoders: list[DecoderProcess] = []

    def work() -> None:
        with DecoderProcess(timeout_s=timeout_s) as decoder:
            decoders.append(decoder)
            while not stop.is_set():
                try:
                    index, job = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    results.put((index, call(decoder, job)))
                except Exception as error:  # raised where the results are read
                    results.put((index, _Raised(error)))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(jobs)))]
    for thread in threads:
        thread.start()
    try:
        for _ in jobs:
            index, result = results.get()
            if isinstance(result, _Raised):
                raise result.error
            yield index, result
    finally:
        stop.set()
        for thread in threads:
            while thread.is_alive():  # at a video that takes its time, where this was interrupted
                for pid in filter(None, [decoder.pid for decoder in decoders]):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                thread.join(_TURN_S)
