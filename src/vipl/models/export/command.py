"""`vipl export`."""

import argparse
import re
from pathlib import Path

from vipl.console import say
from vipl.errors import UserError
from vipl.models.checkpoint import load_encoder
from vipl.models.export.forms import Form, export
from vipl.models.export.onnx_file import DEFAULT_OPSET

_SUFFIXES: dict[Form, str] = {
    "safetensors": "_encoder",  # a folder, and not the run's own
    "onnx": ".onnx",
    "torchscript": ".ts",
    "released": ".pt",
}


def run(args: argparse.Namespace) -> None:
    """Load, write, and say how exact the file is."""
    if args.without_preprocessing and args.to not in ("onnx", "torchscript"):
        raise UserError(
            f"--without-preprocessing goes with onnx and torchscript: {args.to} holds weights alone"
        )
    if args.opset is not None and args.to != "onnx":
        raise UserError(f"--opset goes with --to onnx, not with {args.to}")
    encoder = load_encoder(args.source, weights=args.weights)
    out = default_path(args.source, args.to) if args.out is None else args.out
    difference = export(
        encoder,
        args.to,
        out,
        preprocessing=not args.without_preprocessing,
        opset=DEFAULT_OPSET if args.opset is None else args.opset,
    )
    if difference is None:
        say(f"{out}: the encoder's own weights and configuration.")
        return
    say(f"{out}: embeddings differ by at most {difference:.1e} of their largest number.")
    if args.to == "released" and encoder.own_size == "resized":
        say(
            "The released code embeds images of exactly 224 x 224 pixels as they are, this encoder "
            "resizes them like all others: give it images of another size."
        )


def default_path(source: str, form: Form) -> Path:
    """Return where an encoder goes by its own name, in the working folder.

    Args:
        source: What `load_encoder` takes.
        form: That it is written in.
    """
    path = Path(source)
    if path.exists():
        path = path.resolve()
        name = path.parent.name if path.name == "encoder" else path.stem
    else:
        name = re.split(r"[:/]", source.partition("?")[0])[-1]
    return Path(f"{name}{_SUFFIXES[form]}")
