"""What runs cells, whatever it is made of: slots, and a second try for a cell that failed.

A worker process imports this before it chooses its threads, so it imports nothing heavy itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vipl.evaluation.evaluator import Cell
    from vipl.evaluation.running.worker import Failed, Finished

_ATTEMPTS = 2


class Pool(ABC):
    """Workers that run cells.

    Attributes:
        slots: Cells that may be under way at once.
    """

    slots: int

    @abstractmethod
    def submit(self, cell: Cell) -> None:
        """Begin a cell; fewer than `slots` are under way."""

    @abstractmethod
    def collect(self) -> tuple[Cell, Finished | Failed]:
        """Wait for a cell that is under way, and return it with what it gave."""

    def close(self) -> None:  # noqa: B027
        """Stop the workers, whatever they do."""

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def launch(pool: Pool, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Finished | Failed]]:
    """Run cells in their order, and yield them as they finish.

    One that raised or lost its process is tried once more. One whose error the user can mend is
    not.
    """
    waiting = deque(cells)
    attempts: Counter[Cell] = Counter()
    under_way = 0
    while waiting or under_way:
        while waiting and under_way < pool.slots:
            cell = waiting.popleft()
            attempts[cell] += 1
            pool.submit(cell)
            under_way += 1
        cell, result = pool.collect()
        under_way -= 1
        if _is_worth_retrying(result) and attempts[cell] < _ATTEMPTS:
            waiting.append(cell)
        else:
            yield cell, result


def _is_worth_retrying(result: Finished | Failed) -> bool:
    from vipl.evaluation.running.worker import Failed

    return isinstance(result, Failed) and not result.mendable
