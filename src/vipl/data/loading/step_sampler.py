"""Which samples a process draws at which step."""

from collections.abc import Callable, Iterator

from torch.utils.data import Sampler

from vipl.errors import UserError


class StepSampler(Sampler[list[int]]):
    """The sample numbers of each batch that one process draws.

    Batch s of a run holds the samples [s * B, (s + 1) * B); a process takes its share of them.

    Args:
        batch_size: B, over all processes.
        rank: Of this process.
        world_size: Number of processes.
        batches: Of an epoch.
        first_batch: Asked for at the start of every epoch, so that a resumed run goes on where
            it was.
    """

    def __init__(
        self,
        *,
        batch_size: int,
        rank: int,
        world_size: int,
        batches: int,
        first_batch: Callable[[], int],
    ) -> None:
        check_shares(batch_size, world_size)
        self.share = batch_size // world_size
        self.batch_size = batch_size
        self.rank = rank
        self.batches = batches
        self.first_batch = first_batch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        first_batch = self.first_batch()
        for number in range(first_batch, first_batch + self.batches):
            first = number * self.batch_size + self.rank * self.share
            yield list(range(first, first + self.share))


def check_shares(batch_size: int, processes: int) -> None:
    """Refuse a batch that does not divide into equal shares.

    Raises:
        UserError: With the nearest sizes that do, and numbers of processes that do.
    """
    if batch_size % processes == 0:
        return
    below, above = batch_size // processes * processes, -(-batch_size // processes) * processes
    sizes = " or ".join(f"data.batch_size={size}" for size in (below, above) if size)
    divisors = [str(n) for n in range(1, batch_size + 1) if batch_size % n == 0]
    numbers = ", ".join(divisors if len(divisors) <= 10 else [*divisors[:9], "…"])
    raise UserError(
        f"data.batch_size is {batch_size} clips over all processes, which do not divide among "
        f"{processes} processes: choose {sizes}, or as many processes as divide it ({numbers})"
    )
