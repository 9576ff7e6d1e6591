"""What is imported when it is asked for: commands and packages load what they need, and no more."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What a command adds its parser to."""


def public_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's `__getattr__` and `__dir__`, which import a public name at its first use.

    Args:
        package: Its `__name__`.
        homes: Each name to the module that defines it.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return get, lambda: sorted(import_module(package).__all__)


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
