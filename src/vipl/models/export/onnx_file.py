"""ONNX: a file for runtimes without PyTorch."""

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from vipl.errors import UserError
from vipl.models.encoder import Encoder
from vipl.models.export.check import largest_difference
from vipl.models.export.graph import Graph, example

DEFAULT_OPSET = 18

INPUT, OUTPUT = "images", "embeddings"

_MAX_BYTES = 2**31 - 2**20
"""ONNX's bound of one file is 2 GiB; the graph itself takes some."""


def write(encoder: Encoder, file: Path, *, preprocessing: bool, opset: int) -> float:
    """Write an encoder as ONNX; return how far onnxruntime's embeddings are from its own.

    The file's metadata hold the encoder's configuration as JSON under "vipl_encoder".

    Raises:
        UserError: If onnx or onnxruntime is not installed, or the network does not go into ONNX.
    """
    onnx, onnxruntime = _packages()
    size = sum(value.numel() * value.element_size() for value in encoder.state_dict().values())
    if size > _MAX_BYTES:
        raise UserError(
            f"the encoder has {size / 2**30:.1f} GiB of weights, and an ONNX file holds 2: write "
            "it by --to torchscript"
        )
    _trace(Graph(encoder, preprocessing=preprocessing).eval(), file, opset)
    model = onnx.load(file)
    onnx.helper.set_model_props(model, {"vipl_encoder": json.dumps(encoder.config)})
    onnx.checker.check_model(model)
    onnx.save(model, file)
    run = _runner(onnxruntime, file)
    return largest_difference(encoder, run, preprocessing=preprocessing)


def _packages() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f"ONNX files are written by onnx and checked by onnxruntime, and {error.name} is not "
            "installed: pip install 'vipl[onnx]'"
        ) from error
    packages: tuple[ModuleType, ModuleType] = onnx, onnxruntime
    return packages


def _trace(graph: Graph, file: Path, opset: int) -> None:
    sides = {2: "H", 3: "W"} if graph.preprocessing else {}
    try:
        with warnings.catch_warnings(), _without_its_graph():
            warnings.simplefilter("ignore")  # tracing warns of constants; the check tells
            torch.onnx.export(
                graph,
                (example(graph),),
                str(file),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: "N", **sides}, OUTPUT: {0: "N"}},
                opset_version=opset,
                dynamo=False,  # the other way needs one package more
            )
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise UserError(
            f"{graph.encoder.config['backbone']} does not go into ONNX with opset {opset} "
            f"({reason}): try another --opset, or --to torchscript"
        ) from error


@contextmanager
def _without_its_graph() -> Iterator[None]:
    """Leave out the whole graph, which torch prints with an error, whatever its log is set to."""
    torch._C._jit_set_onnx_log_output_stream("stderr")
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _runner(onnxruntime: Any, file: Path) -> Any:
    try:
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own have no common class
        reason = str(error).strip().splitlines()[0][:200]
        raise UserError(f"onnxruntime refuses the file ({reason}): try another --opset") from error

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])

    return run
