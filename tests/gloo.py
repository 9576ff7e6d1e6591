"""A few processes that stay, and join as many as a test wants into a gloo group."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from tests.runs import context

PROCESSES = 4


class Pool:
    """Processes that run functions together."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._calls = 0
        self._pipes, self._processes = [], []
        for _ in range(PROCESSES):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def run(self, count: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call a function in `count` processes that know each other; return what each returns."""
        self._calls += 1
        store = str(Path(self._folder.name) / str(self._calls))
        for rank, pipe in enumerate(self._pipes[:count]):
            pipe.send((store, rank, count, function, arguments))
        answers = [pipe.recv() for pipe in self._pipes[:count]]
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.terminate()
            process.join()
        self._folder.cleanup()


def _serve(pipe: Any) -> None:
    torch.set_num_threads(1)
    while True:
        store, rank, count, function, arguments = pipe.recv()
        try:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
            dist.init_process_group(
                "gloo", init_method=f"file://{store}", rank=rank, world_size=count
            )
            pipe.send(function(*arguments))
        except Exception as error:
            pipe.send(error)
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
