"""Fresh processes: what is said of their end, and that nobody waits for one that has ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vipl.errors import UserError
from vipl.processes.children import how_it_ended, start_fresh

UNGUARDED = """
import os
from vipl.processes.children import how_it_ended, start_fresh
process, pipe = start_fresh(os._exit, name="n", daemon=True)
process.join()
how_it_ended(process.exitcode)
"""

UNGUARDED_POOL = """
from vipl_evaluators.frankakitchen.processes import run_jobs
list(run_jobs(abs, [-1], workers=1, title="t", sizes=[1], kept="finished ones"))
"""

UNGUARDED_LOADER = """
import multiprocessing
multiprocessing.set_start_method("spawn", force=True)
import torch
from vipl.data.loading.closing_loader import ClosingLoader
list(ClosingLoader(torch.arange(4), num_workers=1))
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0, "exit status 0"),
        (3, "exit status 3"),
        (-signal.SIGSEGV, "killed by SIGSEGV"),
        (-signal.SIGKILL, "killed by SIGKILL, perhaps for want of memory"),
        (-63, "killed by signal 63"),
        (None, "still running"),
    ],
)
def test_how_a_process_ended_is_said(code: int | None, said: str) -> None:
    assert how_it_ended(code) == said


def leave(pipe: object) -> None:
    os._exit(7)


def test_what_is_sent_to_a_dead_process_raises() -> None:
    process, pipe = start_fresh(leave, name="leaver", daemon=True)
    process.join()
    with pytest.raises(OSError, match=r"Broken pipe|reset by peer"):
        pipe.send(b"0" * 10_000_000)
    with pytest.raises((EOFError, OSError)):
        pipe.recv()
    assert how_it_ended(process.exitcode) == "exit status 7"


@pytest.mark.parametrize(
    "script", [UNGUARDED, UNGUARDED_POOL, UNGUARDED_LOADER], ids=["process", "pool", "loader"]
)
def test_a_script_without_a_guard_is_named(script: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(script)
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"vipl.errors.UserError: {path} does its work where it is imported, and every process that "
        'it starts imports it: put that below `if __name__ == "__main__":`'
    )


def test_a_pool_says_how_its_process_died() -> None:
    from vipl_evaluators.frankakitchen.processes import run_jobs

    jobs = run_jobs(os._exit, [9], workers=1, title="t", sizes=[1], kept="finished ones")
    expected = r"a process died \(exit status 9\): call this again with fewer --workers, finished"
    with pytest.raises(UserError, match=expected):
        list(jobs)
