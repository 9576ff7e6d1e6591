"""`vipl push` and `vipl pull`: encoders to and from a Hugging Face hub."""

import argparse
import tempfile
from pathlib import Path

from vipl.console import say
from vipl.errors import UserError
from vipl.files import write_atomically
from vipl.models import hub
from vipl.models.checkpoint import load_encoder, save_encoder
from vipl.publishing.model_card import model_card


def push(args: argparse.Namespace) -> None:
    """Load an encoder, and send it up with its card."""
    encoder = load_encoder(args.source, weights=args.weights)
    card = model_card(
        encoder, args.source, args.repository, results=args.results, licence=args.licence
    )
    with tempfile.TemporaryDirectory() as name:
        folder = save_encoder(encoder, name)
        (folder / "README.md").write_text(card, encoding="utf-8")
        address = hub.upload(folder, args.repository, private=args.private, endpoint=args.endpoint)
    say(f"Pushed: {address}")
    say(f'Load it by vipl.load_encoder("{hub.PREFIX}{args.repository}").')


def pull(args: argparse.Namespace) -> None:
    """Fetch an encoder, see that it loads, and put its files into a folder."""
    if args.out.exists() and not args.out.is_dir():
        raise UserError(f"{args.out} is there and no folder: name a folder by --out")
    fetched = hub.download(args.repository, revision=args.revision, endpoint=args.endpoint)
    load_encoder(fetched)  # what does not load is not put there
    for name in hub.FILES:
        if (fetched / name).is_file():
            _copy(fetched / name, args.out / name)
    say(f'Pulled to {args.out}: load it by vipl.load_encoder("{args.out}").')


def _copy(source: Path, target: Path) -> None:
    content = source.read_bytes()
    write_atomically(target, lambda file: file.write_bytes(content))
