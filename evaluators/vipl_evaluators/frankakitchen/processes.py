"""Jobs in processes of their own, with a progress bar."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, connection, get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import TypeVar

from vipl.console import progress
from vipl.errors import UserError
from vipl.processes.children import how_it_ended, stop_if_imported

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")


def run_jobs(
    run: Callable[[JobT], ResultT],
    jobs: Sequence[JobT],
    *,
    workers: int,
    title: str,
    sizes: Sequence[int],
    kept: str,
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
        kept: What is finished remains where a process died: its name, such as "finished videos".

    Raises:
        UserError: If a process died, or the main script does its work where processes import it.
    """
    stop_if_imported()
    before = set(active_children())
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)), mp_context=get_context("spawn"), initializer=_begin
    )
    futures: dict[Future[ResultT], tuple[JobT, int]] = {}
    started: set[BaseProcess] = set()
    with progress(title, total=sum(sizes)) as bar:
        try:
            for job, size in zip(jobs, sizes, strict=True):
                futures[pool.submit(run, job)] = (job, size)
                started |= set(active_children()) - before
            for future in as_completed(futures):
                job, size = futures[future]
                yield job, future.result()
                bar.advance(bar.task_ids[0], size)
        except BrokenProcessPool as error:
            pool.shutdown()  # after which all have ended
            raise UserError(
                f"a process died ({_fate(started)}): call this again with fewer --workers, {kept} "
                "are kept"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _fate(processes: Iterable[BaseProcess]) -> str:
    """Say how the first of a pool's processes ended; the pool ends the others by SIGTERM."""
    codes = [process.exitcode for process in processes]
    own = [code for code in codes if code not in (None, 0, -signal.SIGTERM)]
    return how_it_ended(own[0] if own else -signal.SIGTERM)


def _begin() -> None:
    # Ctrl-C reaches the whole group: workers end at once and say nothing.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
