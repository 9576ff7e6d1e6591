"""TorchScript: a file for PyTorch without vipl and timm, also for its C++ library."""

import warnings
from pathlib import Path

import torch
from torch import Tensor

from vipl.errors import UserError
from vipl.models.encoder import Encoder
from vipl.models.export.check import largest_difference
from vipl.models.export.graph import Graph, example


def write(encoder: Encoder, file: Path, *, preprocessing: bool) -> float:
    """Write an encoder as TorchScript; return how far its embeddings are from the encoder's.

    Raises:
        UserError: If the network cannot be traced.
    """
    graph = Graph(encoder, preprocessing=preprocessing).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of constants; the check tells
        try:
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                graph, (example(graph),), check_trace=False
            )
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise UserError(
                f"{encoder.config['backbone']} cannot be traced ({reason}): export it as "
                "safetensors"
            ) from error
        with file.open("wb") as stream:  # by its path, torch would keep the temporary name inside
            torch.jit.save(traced, stream)
        loaded = torch.jit.load(str(file), map_location="cpu")  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def run(images: Tensor) -> Tensor:
        embeddings: Tensor = loaded(images)
        return embeddings

    return largest_difference(encoder, run, preprocessing=preprocessing)
