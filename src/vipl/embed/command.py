"""What `vipl embed` does.

Shapes: N frames, S the network's input side in pixels, D the embedding size.
"""

import argparse
import hashlib
import math
import time
from collections.abc import Iterator, Sequence

import torch
from rich.progress import Progress

from vipl.console import Console, progress
from vipl.data.checking.bad_clips import BadClip, write_bad_clips
from vipl.data.loading.closing_loader import default_workers
from vipl.data.loading.video_inputs import Video, find
from vipl.data.manifests.manifest import MANIFEST_SUFFIXES
from vipl.embed.frames import Choice, Frames
from vipl.embed.network import cost_of_precision
from vipl.embed.output import OUTPUT_SUFFIXES, Output
from vipl.embed.parts import Parts
from vipl.embed.pipeline import Embedded, embedding
from vipl.errors import UserError
from vipl.files import locked
from vipl.models import Encoder, load_encoder
from vipl.models.collapse import Extent
from vipl.models.finite import check_embeddings
from vipl.models.identity import encoder_sha256
from vipl.processes.signals import terminated_by_exit
from vipl.rewards.curves import SAME

_SHOWN = 5

_console = Console(highlight=False, soft_wrap=True, markup=False)


def run(args: argparse.Namespace) -> None:
    """Embed all videos, or what is left of them, and write the file.

    Raises:
        UserError: If the encoder, the videos or the file are not as they should be, or no video
            could be read.
    """
    _check(args)
    encoder = load_encoder(args.encoder, weights=args.weights)
    videos = find(args.videos, split=args.split, root=args.root)
    choice = Choice(every=args.every or 1, fps_hz=args.fps)
    output = Output(args.out, _settings(encoder, videos, choice, args))
    if output.is_complete():
        _console.print(f"{args.out} is complete: nothing is left to embed")
        return
    refusal = f"another process embeds to {args.out}: wait for it, or name another --out"
    with locked(output.parts, refusal), terminated_by_exit():
        if output.is_complete():  # since a moment ago
            return
        output.claim()
        parts = Parts(output.parts, encoder.output_dim)
        try:
            bad = _embed(parts, encoder, videos, choice, args)
            _finish(output, parts, encoder, videos, bad)
        finally:
            if parts.is_empty():
                output.remove_parts()


def _check(args: argparse.Namespace) -> None:
    for name in ("every", "fps", "batch_size", "timeout_s"):
        value = getattr(args, name)
        if value is not None and not 0 < value < math.inf:
            option = name.removesuffix("_s").replace("_", "-")
            raise UserError(f"--{option} is {value:g}, expected more than 0")
    if args.workers is not None and args.workers < 0:
        raise UserError(f"--workers is {args.workers}, expected 0 (this process) or more")
    manifests = any(path.suffix in MANIFEST_SUFFIXES for path in args.videos)
    for option in ("split", "root"):
        if getattr(args, option) is not None and not manifests:
            raise UserError(f"--{option} goes with a manifest, and --videos names none")
    if args.out.suffix not in OUTPUT_SUFFIXES:
        raise UserError(f"--out is {args.out}, expected a name that ends in .parquet or .npy")
    if args.out.is_dir():
        raise UserError(f"--out is {args.out}, a folder: expected a file's name")


def _settings(
    encoder: Encoder, videos: Sequence[Video], choice: Choice, args: argparse.Namespace
) -> dict[str, str]:
    """Return what determines the output."""
    digest = hashlib.sha256()
    for video in videos:
        size = video.file.stat().st_size if video.clip is None and video.file.exists() else 0
        digest.update(repr((video.name, str(video.file), video.clip, size)).encode())
        digest.update(repr(video.pictures).encode())
    return {
        "encoder": f"{encoder.config['backbone']}, sha256 {encoder_sha256(encoder)}",
        "precision": args.precision,
        "frames": str(choice),
        "videos": f"{len(videos)}, sha256 {digest.hexdigest()}",
    }


def _embed(
    parts: Parts,
    encoder: Encoder,
    videos: Sequence[Video],
    choice: Choice,
    args: argparse.Namespace,
) -> list[BadClip]:
    """Embed what is not done yet; return the videos that cannot be read."""
    todo = {clip: parts.done(clip) for clip in range(len(videos)) if clip not in parts.finished}
    if not todo:
        return []
    if len(todo) < len(videos) or any(todo.values()):
        _console.print(f"{len(videos) - len(todo)} of {len(videos)} videos are done already")
    frames = Frames(videos, todo, choice, encoder.preprocess, timeout_s=args.timeout_s)
    with embedding(
        frames,
        encoder,
        device=args.device,
        precision=args.precision,
        batch_size=args.batch_size or (16 if args.device == "cpu" else 64),
        workers=_workers(args),
    ) as results:
        if args.precision != "float32":
            results = _with_cost_said(results, encoder)
        try:
            with progress("embedding", total=len(videos)) as bar:
                return _collect(parts, _checked(results, videos), bar)
        finally:
            parts.flush()  # also when interrupted: the next call goes on from here


def _workers(args: argparse.Namespace) -> int:
    if args.workers is not None:
        return int(args.workers)
    return torch.get_num_threads() if args.device == "cpu" else default_workers()


def _collect(parts: Parts, results: Iterator[Embedded], bar: Progress) -> list[BadClip]:
    bad: list[BadClip] = []
    task, begin, rows = bar.task_ids[0], time.monotonic(), 0
    bar.update(task, completed=len(parts.finished))
    for piece, embeddings in results:
        if piece.failure is not None:
            bad.append(piece.failure)
        else:
            parts.add(piece, embeddings.numpy())
        rows += len(embeddings)
        rate = rows / (time.monotonic() - begin)
        bar.update(task, advance=piece.is_last, description=f"embedding, {rate:.0f} frames/s")
    return bad


def _checked(results: Iterator[Embedded], videos: Sequence[Video]) -> Iterator[Embedded]:
    """Pass results on; refuse those that are not finite, and say where none differs.

    Raises:
        UserError: If an embedding is not finite.
    """
    extent = Extent()
    for piece, embeddings in results:
        check_embeddings(embeddings, f"{videos[piece.clip].name}: the encoder")
        extent.add(embeddings)
        yield Embedded(piece, embeddings)
    if extent.is_a_point:
        _console.print(f"{SAME} from frame to frame")


def _with_cost_said(results: Iterator[Embedded], encoder: Encoder) -> Iterator[Embedded]:
    """Pass results on, and say of the first what the precision costs."""
    said = False
    for piece, embeddings in results:
        if not said and len(piece.images) > 1:
            share = cost_of_precision(encoder, piece.images, embeddings)
            if share is not None:
                said = True
                _console.print(
                    f"in this precision embeddings are off by {share:.1%} of the distance between "
                    f"two frames (medians over {len(piece.images)} frames of the first video)"
                )
        yield Embedded(piece, embeddings)


def _finish(
    output: Output,
    parts: Parts,
    encoder: Encoder,
    videos: Sequence[Video],
    bad: Sequence[BadClip],
) -> None:
    for clip in sorted(bad)[:_SHOWN]:
        _console.print(f"left out: {clip.clip_id}: {clip.reason}")
    if not parts.finished:
        reason = min(bad).reason
        raise UserError(f"none of {len(videos)} videos could be read; the first: {reason}")
    if bad:
        write_bad_clips(output.bad_clips, bad)
    else:
        output.bad_clips.unlink(missing_ok=True)
    rows = output.write(parts, videos, encoder.config)
    output.remove_parts()
    listed = f"; {len(bad)} are left out, listed in {output.bad_clips}" if bad else ""
    _console.print(
        f"{output.path}: {rows} frames of {len(parts.finished)} videos, {encoder.output_dim} "
        f"numbers each{listed}"
    )
