"""Functions that are imported when they are called: a command loads what it needs, and no more."""

import argparse
import os
from collections.abc import Callable
from importlib import import_module


def lazily(module: str, function: str) -> Callable[[argparse.Namespace], None]:
    """Return what imports a command's function and calls it."""

    def run(args: argparse.Namespace) -> None:
        getattr(import_module(module), function)(args)

    return run


def let_threads_sleep() -> None:
    """Let the threads of a library sleep while they wait; to be called before it is imported.

    Threads that spin starve the decoders, and each other when anything else runs: on a busy machine
    a training step then takes many times as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
