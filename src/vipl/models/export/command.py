"""`vipl export`."""

import argparse

from vipl.errors import UserError
from vipl.models.checkpoint import load_encoder
from vipl.models.export.forms import export
from vipl.models.export.onnx_file import DEFAULT_OPSET


def run(args: argparse.Namespace) -> None:
    """Load, write, and say how exact the file is."""
    if args.without_preprocessing and args.to not in ("onnx", "torchscript"):
        raise UserError(
            f"--without-preprocessing goes with onnx and torchscript: {args.to} holds weights alone"
        )
    if args.opset is not None and args.to != "onnx":
        raise UserError(f"--opset goes with --to onnx, not with {args.to}")
    encoder = load_encoder(args.source, weights=args.weights)
    difference = export(
        encoder,
        args.to,
        args.out,
        preprocessing=not args.without_preprocessing,
        opset=DEFAULT_OPSET if args.opset is None else args.opset,
    )
    if difference is None:
        print(f"{args.out}: the encoder's own weights and configuration.")
        return
    print(f"{args.out}: embeddings differ by at most {difference:.1e} of their largest number.")
