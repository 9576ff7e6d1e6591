"""`vipl curves`: the distance curves of several encoders over videos, as pictures and tables.

Shapes: T frames of a video, H x W pixels, D embedding size.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from torch import Tensor

from vipl.console import Console
from vipl.data.decoding.video import VideoError
from vipl.data.loading.video_inputs import OpenVideo, find
from vipl.data.processes.isolation import DecoderProcess
from vipl.errors import UserError
from vipl.files import write_csv
from vipl.models import Encoder, load_encoder
from vipl.rewards.curves import (
    SAME,
    CurveMetrics,
    Distances,
    curve_metrics,
    distances_to_last,
    is_constant,
    mean_of_known,
)
from vipl.rewards.plots import STRIP_FRAMES, animate, plot_comparison

_CHUNK = 16
_TIMEOUT_S = 120.0

_console = Console(highlight=False)


def run(args: argparse.Namespace) -> None:
    """Draw every video's curves, and write and print the table."""
    if args.max_frames < 2:
        raise UserError(f"--max-frames is {args.max_frames}, expected 2 or more")
    encoders = load_encoders(args.encoder, args.device)
    rows: list[tuple[str, str, int, CurveMetrics]] = []
    skipped: list[str] = []
    constant: list[tuple[str, str]] = []
    with DecoderProcess(timeout_s=_TIMEOUT_S) as process:
        videos = find(args.videos, split=args.split)
        for video in videos:
            try:
                opened = video.open(process)
                frames, times, curves = curves_of(
                    opened,
                    encoders,
                    max_frames=args.max_frames,
                    shown=args.max_frames if args.animate else STRIP_FRAMES,
                )
            except VideoError as error:
                skipped.append(str(error))
                continue
            picture = args.out / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', video.name)}.png"
            plot_comparison(video.name, frames, times, curves, picture)
            if args.animate:
                animate(frames, times, curves, picture.with_suffix(".webp"))
            _write_distances(picture.with_suffix(".csv"), times, curves)
            rows += [(video.name, name, len(times), curve_metrics(d)) for name, d in curves.items()]
            constant += [(video.name, name) for name, d in curves.items() if is_constant(d)]
    for reason in skipped:
        _console.print(f"left out: {reason}", soft_wrap=True)
    if not rows:
        raise UserError(f"none of {len(videos)} videos could be read")
    _write_table(args.out / "table.csv", rows)
    _print_table(rows, list(encoders))
    for name, encoder in constant:
        _console.print(f"{name}, {encoder}: {SAME} from frame to frame, so there are no figures")
    _console.print(f"{len(videos) - len(skipped)} pictures and table.csv are in {args.out}")


def load_encoders(sources: Sequence[str], device: str) -> dict[str, Encoder]:
    """Load encoders given as SOURCE or LABEL=SOURCE.

    Raises:
        UserError: If one does not load, or two have one label.
    """
    encoders: dict[str, Encoder] = {}
    for text in sources:
        labelled = re.fullmatch(r"([\w .+-]+)=(.+)", text)
        label, source = labelled.groups() if labelled else (text, text)
        if label in encoders:
            raise UserError(f"two encoders are called {label!r}: name them by LABEL=SOURCE")
        encoders[label] = load_encoder(source, device)
    return encoders


def curves_of(
    opened: OpenVideo, encoders: Mapping[str, Encoder], *, max_frames: int, shown: int
) -> tuple[Tensor, NDArray[np.int64], dict[str, Distances]]:
    """Embed a video's frames with every encoder.

    Args:
        opened: The video.
        encoders: By name.
        max_frames: Evenly spaced, first and last included.
        shown: How many of these are returned, or all of them where there are fewer.

    Returns:
        uint8 [F, 3, H, W] the frames that are shown; int64 [T] the frame numbers; each encoder's
        distances [T] to the last frame.

    Raises:
        VideoError: If it cannot be read, or has fewer than two frames.
    """
    total = opened.info.num_frames
    if total < 2:
        raise VideoError(f"{opened.video.name}: {total} frame, a curve needs two")
    times = np.linspace(0, total - 1, min(total, max_frames)).round().astype(np.int64)
    kept = set(np.linspace(0, len(times) - 1, min(shown, len(times))).round().astype(int).tolist())
    embeddings: dict[str, list[Tensor]] = {name: [] for name in encoders}
    strip: list[Tensor] = []
    for start in range(0, len(times), _CHUNK):
        images = torch.from_numpy(opened.read(times[start : start + _CHUNK].tolist()))
        images = images.permute(0, 3, 1, 2)
        strip += [images[index - start] for index in sorted(kept) if 0 <= index - start < _CHUNK]
        for name, encoder in encoders.items():
            embeddings[name].append(encoder.embed(images).cpu())
    curves = {
        name: distances_to_last(torch.cat(parts).numpy(), encoders[name].distance)
        for name, parts in embeddings.items()
    }
    return torch.stack(strip), times, curves


def _write_distances(path: Path, times: NDArray[np.int64], curves: Mapping[str, Distances]) -> None:
    rows = zip(times.tolist(), *(d.tolist() for d in curves.values()), strict=True)
    write_csv(path, ("frame", *curves), rows)


def _write_table(path: Path, rows: Sequence[tuple[str, str, int, CurveMetrics]]) -> None:
    header = ("video", "encoder", "frames", *(field.name for field in fields(CurveMetrics)))
    write_csv(path, header, [(*row[:3], *astuple(row[3])) for row in rows])


def _print_table(
    rows: Sequence[tuple[str, str, int, CurveMetrics]], encoders: Sequence[str]
) -> None:
    table = Table()
    for name in ("video", "encoder"):
        table.add_column(name, overflow="fold")
    for name in ("value-order\ncorrelation ↑", "\nbumps ↓", "normalised\ndistance"):
        table.add_column(name, justify="right", no_wrap=True)
    for video, encoder, _, metrics in rows:
        table.add_row(video, encoder, *(f"{value:.3f}" for value in _shown(metrics)))
    table.add_section()
    for encoder in encoders:
        values = np.array([_shown(metrics) for _, name, _, metrics in rows if name == encoder])
        cells = [_mean_and_spread(column) for column in values.T]
        table.add_row(f"mean ± std of {len(values)}", encoder, *cells)
    _console.print(table)


def _mean_and_spread(values: NDArray[np.floating]) -> str:
    known = values[~np.isnan(values)]
    return f"{mean_of_known(known.tolist()):.3f} ± {known.std():.3f}" if len(known) else "nan"


def _shown(metrics: CurveMetrics) -> tuple[float, float, float]:
    return metrics.value_order_correlation, metrics.bumps, metrics.normalised_distance
