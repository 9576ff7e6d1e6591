"""Jobs in processes of their own, with a progress bar."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from typing import TypeVar

from vipl.data.commands import progress
from vipl.errors import UserError

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")


def run_jobs(
    run: Callable[[JobT], ResultT],
    jobs: Sequence[JobT],
    *,
    workers: int,
    title: str,
    sizes: Sequence[int],
    killed: str,
) -> Iterator[tuple[JobT, ResultT]]:
    """Run jobs in fresh processes, and yield each with its result as it finishes.

    Processes are not forked: an OpenGL context is neither inherited, nor made where torch may be
    imported later.

    Args:
        run: A function of a module, which a job is given to.
        jobs: One or more, in the order in which they begin.
        workers: Processes, at most.
        title: Of the progress bar.
        sizes: Of the jobs, in the bar's steps.
        killed: What to say, with the remedy, where a process was killed.

    Raises:
        UserError: If a process was killed.
    """
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)), mp_context=get_context("spawn"), initializer=_begin
    )
    with progress(title, total=sum(sizes)) as bar:
        try:
            futures = {
                pool.submit(run, job): (job, size) for job, size in zip(jobs, sizes, strict=True)
            }
            for future in as_completed(futures):
                job, size = futures[future]
                yield job, future.result()
                bar.advance(bar.task_ids[0], size)
        except BrokenProcessPool as error:
            raise UserError(killed) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    # Ctrl-C reaches the whole group: workers end at once and say nothing.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
