"""Joining a Ray cluster. Ray is imported when it is asked for: it is an extra."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from vipl.errors import UserError


def connect(workers: int | None) -> tuple[Any, bool]:
    """Join the cluster of RAY_ADDRESS, else make one of this machine, unless there is one already.

    Args:
        workers: Cores of the one that is made; None for all.

    Returns:
        The module `ray`, and whether to shut it down afterwards.

    Raises:
        UserError: If Ray is not installed, or the cluster cannot be reached.
    """
    try:
        ray = import_module("ray")
    except ImportError as error:
        raise UserError(
            "--launcher ray needs Ray: install it by pip install 'vipl[ray]'"
        ) from error
    if ray.is_initialized():
        return ray, False
    # "local": else Ray joins whatever cluster was last started on this machine.
    own = {"address": "local", "num_cpus": workers, "include_dashboard": False}
    options = {} if os.environ.get("RAY_ADDRESS") else own
    try:
        with _keeping_sigterm():
            ray.init(log_to_driver=False, logging_level="error", **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"--launcher ray: no cluster ({reason}): see RAY_ADDRESS") from error
    return ray, True


@contextmanager
def _keeping_sigterm() -> Iterator[None]:
    """Put the handler back: Ray's own aborts the process three seconds after the signal."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)
