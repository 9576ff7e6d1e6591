"""What the processes of a run tell each other.

Shapes: W processes, b rows of one process, B rows of all, K facts.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


class Ranks:
    """The processes of a run, as many as `torch.distributed` counts when this is made.

    All processes must make it, and call its methods, in the same order. Small facts travel over
    gloo on the CPU, so that no GPU has to be waited for.

    Attributes:
        count: W.
        rank: Of this process.
    """

    def __init__(self) -> None:
        joined = dist.is_available() and dist.is_initialized()
        self.count = dist.get_world_size() if joined else 1
        self.rank = dist.get_rank() if joined else 0
        self._group = _gloo() if self.count > 1 else None

    def tell(self, *facts: int) -> Callable[[], Tensor]:
        """Tell the others some numbers.

        Returns:
            A function that waits for all processes and returns their facts, int64 [W, K].
        """
        own = torch.tensor(facts, dtype=torch.int64)
        if self._group is None:
            return lambda: own[None]
        told = [torch.empty_like(own) for _ in range(self.count)]
        work = dist.all_gather(told, own, group=self._group, async_op=True)
        assert work is not None

        def wait() -> Tensor:
            work.wait()
            return torch.stack(told)

        return wait

    def gather(self, thing: T) -> list[T]:
        """Return the things of all processes, in their order."""
        if self._group is None:
            return [thing]
        things: list[Any] = [None] * self.count
        dist.all_gather_object(things, thing, group=self._group)
        return things

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with those of the first process."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def join(self, rows: Tensor, sizes: list[int]) -> Tensor:
        """Return the rows of all processes, in their order, on the device of `rows`.

        Where gradients flow, every process must derive the same loss from the result, and
        their gradients must then be averaged, as DDP does: together that is the gradient of one
        process with all rows, also where processes have different numbers of rows.

        Args:
            rows: [b, ...].
            sizes: b of every process.

        Returns:
            [B, ...].
        """
        if self.count == 1:
            return rows
        joined: Tensor = _Join.apply(rows, sizes, self.rank)
        return joined


class _Join(torch.autograd.Function):
    """Joins rows over processes; each takes back the gradient of its own, without asking others.

    The loss is the same everywhere, so every process has the gradient of all rows. DDP divides
    the sum of the parameters' gradients by W, which the factor undoes.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int], rank: int) -> Tensor:
        ctx.first, ctx.size, ctx.count = sum(sizes[:rank]), sizes[rank], len(sizes)
        padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient[ctx.first : ctx.first + ctx.size] * ctx.count, None, None


def _gloo() -> dist.ProcessGroup:
    group = dist.new_group(backend="gloo")
    assert isinstance(group, dist.ProcessGroup)  # every process is a member
    return group
