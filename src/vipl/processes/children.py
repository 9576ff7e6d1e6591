"""Processes that are started afresh, not forked: how to start them, and how they ended.

A fresh process imports the main script again. One that does its work where it is imported would
start processes in every process, which Python refuses with a long traceback: here it is named.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from multiprocessing import connection, current_process, get_context, resource_tracker
from typing import Any, TypeAlias

from vipl.errors import UserError
from vipl.processes.signals import shielded

Pipe: TypeAlias = "connection.Connection[Any, Any]"

_IMPORTED_AGAIN = 113  # exit status of a process that stopped before it started others itself


def start_fresh(serve: Callable[[Pipe], None], *, name: str, daemon: bool) -> tuple[Any, Pipe]:
    """Start a process, and return it and a pipe to it.

    It is given nothing but the pipe: one that died before it had read all that it is started with
    would leave this process waiting for ever, while a pipe says so. Ctrl-C does not reach it.

    Args:
        serve: A function of a module, which gets the other end of the pipe.
        name: Of the process.
        daemon: Whether it is ended when this process ends, and may start none of its own.
    """
    stop_if_imported()
    context = get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), name=name, daemon=daemon)
    # Ctrl-C reaches the whole group, and this process decides: the other inherits the block. The
    # tracker, which `start` would start, takes the block away.
    resource_tracker.ensure_running()
    with shielded({signal.SIGINT}):
        process.start()
    theirs.close()
    return process, pipe


def stop_if_imported() -> None:
    """End a process that imports the main script, where that would start processes.

    To be called before processes are started; `how_it_ended` then tells the script's user.
    """
    if getattr(current_process(), "_inheriting", False):
        raise SystemExit(_IMPORTED_AGAIN)


def how_it_ended(code: int | None) -> str:
    """Say how a process ended: "killed by SIGSEGV", "exit status 1".

    Args:
        code: Its exit code, negative where a signal ended it; None where it has not ended.

    Raises:
        UserError: If it ended because the main script lacks a guard.
    """
    if code == _IMPORTED_AGAIN:
        script = getattr(sys.modules["__main__"], "__file__", None) or "the main script"
        raise UserError(
            f"{script} does its work where it is imported, and every process that it starts "
            'imports it: put that below `if __name__ == "__main__":`'
        )
    if code is None:
        return "still running"
    if code >= 0:
        return f"exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"killed by {name}{', perhaps for want of memory' if name == 'SIGKILL' else ''}"
