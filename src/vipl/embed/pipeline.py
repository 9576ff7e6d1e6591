"""From frames to embeddings, on all processors.

On a CPU every process that decodes also embeds what it has decoded, by one thread: no frame travels
from process to process, and no thread waits for another's share of a layer. A GPU, or a CPU that
has too few videos to keep all processes busy, embeds in this process what the others have decoded.

Shapes: N frames, D the embedding size.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from vipl.data.loading.closing_loader import ClosingLoader, begin_worker
from vipl.data.loading.loading_failures import deaths_explained
from vipl.data.loading.shared_memory import check_room, held_bytes
from vipl.embed.frames import PIECE_FRAMES, Frames, Piece
from vipl.embed.network import Network, Precision
from vipl.models import Encoder
from vipl.processes.allocator import keep_freed_memory

# Videos for each process, below which the last ones would long be alone.
_VIDEOS_PER_PROCESS = 2

_Result = TypeVar("_Result")


class Embedded(NamedTuple):
    """Frames of a video, embedded.

    Attributes:
        piece: The frames, N of them.
        embeddings: float32 [N, D].
    """

    piece: Piece
    embeddings: Tensor


class EmbeddedFrames(IterableDataset[Embedded]):
    """Frames that are embedded where they are decoded.

    Args:
        frames: To embed.
        network: On the CPU.
        batch_size: Frames that go through it at once.
    """

    def __init__(self, frames: Frames, network: Network, batch_size: int) -> None:
        self.frames = frames
        self.network = network
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[Embedded]:
        """Yield what becomes of this process's videos."""
        yield from _through(self.network, self.frames, self.batch_size)


@contextmanager
def embedding(
    frames: Frames,
    encoder: Encoder,
    *,
    device: str,
    precision: Precision,
    batch_size: int,
    workers: int,
) -> Iterator[Iterator[Embedded]]:
    """Start processes and give what comes of them; end them.

    Args:
        frames: To embed.
        encoder: That embeds.
        device: Where it does.
        precision: In which it does.
        batch_size: Frames that go through it at once.
        workers: Processes that decode; 0: this one.

    Raises:
        UserError: If there is no such device, too little shared memory, or a process dies.
    """
    workers = min(workers, len(frames.todo))
    if device == "cpu" and len(frames.todo) >= _VIDEOS_PER_PROCESS * workers > 0:
        network = Network(encoder, device=device, precision=precision)
        embedded = EmbeddedFrames(frames, network, batch_size)
        with deaths_explained(), closing(_loader(embedded, workers)) as results:
            yield iter(results)
        return
    keep_freed_memory()
    piece_bytes = PIECE_FRAMES * 3 * encoder.image_size**2
    check_room(held_bytes(piece_bytes, workers=workers), option="--workers")
    with deaths_explained(), closing(_loader(frames, workers)) as decoded:
        pieces = iter(decoded)  # the processes start here, before a GPU is touched
        network = Network(encoder, device=device, precision=precision)
        yield _through(network, pieces, batch_size)


def _loader(data: IterableDataset[_Result], workers: int) -> ClosingLoader[_Result]:
    return ClosingLoader(
        data,
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_begin_embedding if isinstance(data, EmbeddedFrames) else begin_worker,
    )


def _begin_embedding(worker: int) -> None:
    begin_worker(worker)
    keep_freed_memory()  # its pictures are of one size


def _as_it_is(result: Any) -> Any:
    return result


def _through(network: Network, pieces: Iterable[Piece], batch_size: int) -> Iterator[Embedded]:
    for batch in _batches(pieces, batch_size):
        counts = [len(piece.images) for piece in batch]
        embeddings = torch.empty(0, network.output_dim)
        if sum(counts):
            embeddings = network(torch.cat([piece.images for piece in batch]))
        parts = torch.split(embeddings, counts)
        yield from (Embedded(*pair) for pair in zip(batch, parts, strict=True))


def _batches(pieces: Iterable[Piece], batch_size: int) -> Iterator[list[Piece]]:
    """Join pieces to batches, of so many images where pieces are small enough."""
    waiting: list[Piece] = []
    for piece in pieces:
        if waiting and sum(len(one.images) for one in (*waiting, piece)) > batch_size:
            yield waiting
            waiting = []
        waiting.append(piece)
    if waiting:
        yield waiting
