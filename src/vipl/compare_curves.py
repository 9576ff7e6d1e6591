"""`vipl curves`: the distance curves of several encoders over videos, as pictures and tables.

Shapes: T frames of a video, H x W pixels, D embedding size.
"""

import argparse
import csv
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from vipl.curves import CurveMetrics, Distances, curve_metrics, distances_to_last
from vipl.data.isolation import DecoderProcess
from vipl.data.manifest import MANIFEST_SUFFIXES, Clip, read_manifest
from vipl.data.sources.folder import find_videos
from vipl.data.video import VideoError, allowed_backend
from vipl.errors import UserError
from vipl.files import write_atomically
from vipl.models import Encoder, load_encoder
from vipl.plots import STRIP_FRAMES, plot_comparison

_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
_CHUNK = 16
_TIMEOUT_S = 120.0

_console = Console(highlight=False)


@dataclass(frozen=True)
class Video:
    """Something that frames can be read from: a video file, or a folder of frames.

    Attributes:
        name: For the pictures and tables; unique among the videos looked at.
        count: Returns the number of frames.
        read: Given frame numbers, returns uint8 [N, H, W, 3].
    """

    name: str
    count: Callable[[], int]
    read: Callable[[Sequence[int]], NDArray[np.uint8]]


def run(args: argparse.Namespace) -> None:
    """Draw every video's curves, and write and print the table."""
    if args.max_frames < 2:
        raise UserError(f"--max-frames is {args.max_frames}, expected 2 or more")
    encoders = load_encoders(args.encoder, args.device)
    rows: list[tuple[str, str, int, CurveMetrics]] = []
    skipped: list[str] = []
    with DecoderProcess(timeout_s=_TIMEOUT_S) as process:
        videos = find(args.videos, process, split=args.split)
        for video in videos:
            try:
                strip, times, curves = curves_of(video, encoders, max_frames=args.max_frames)
            except VideoError as error:
                skipped.append(str(error))
                continue
            picture = args.out / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', video.name)}.png"
            plot_comparison(video.name, strip, times, curves, picture)
            _write_distances(picture.with_suffix(".csv"), times, curves)
            rows += [(video.name, name, len(times), curve_metrics(d)) for name, d in curves.items()]
    for reason in skipped:
        _console.print(f"left out: {reason}", soft_wrap=True)
    if not rows:
        raise UserError(f"none of {len(videos)} videos could be read")
    _write_table(args.out / "table.csv", rows)
    _print_table(rows, list(encoders))
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


def find(paths: Sequence[Path], process: DecoderProcess, *, split: str) -> list[Video]:
    """Return the videos that paths stand for.

    Args:
        paths: Each a video file, a folder of frames (it directly holds images), a folder of
            videos, in whatever sub-folders, or a manifest, whose clips are taken.
        process: That decodes.
        split: Of a manifest's clips.

    Raises:
        UserError: If a path does not exist, or a folder holds neither.
    """
    videos: dict[str, Video] = {}
    for path in paths:
        if not path.exists():
            raise UserError(f"there is no video or folder {path}")
        for name, video in _videos_at(path, process, split):
            unique = name if name not in videos else f"{path}/{name}"
            videos[unique] = Video(unique, video.count, video.read)
    return list(videos.values())


def curves_of(
    video: Video, encoders: Mapping[str, Encoder], *, max_frames: int
) -> tuple[Tensor, NDArray[np.int64], dict[str, Distances]]:
    """Embed a video's frames with every encoder.

    Args:
        video: To look at.
        encoders: By name.
        max_frames: Evenly spaced, first and last included.

    Returns:
        uint8 [F, 3, H, W] some of the frames; int64 [T] the frame numbers; each encoder's
        distances [T] to the last frame.

    Raises:
        VideoError: If it cannot be read, or has fewer than two frames.
    """
    total = video.count()
    if total < 2:
        raise VideoError(f"{video.name}: {total} frame, a curve needs two")
    times = np.linspace(0, total - 1, min(total, max_frames)).round().astype(np.int64)
    shown = set(np.linspace(0, len(times) - 1, STRIP_FRAMES).round().astype(int).tolist())
    embeddings: dict[str, list[Tensor]] = {name: [] for name in encoders}
    strip: list[Tensor] = []
    for start in range(0, len(times), _CHUNK):
        images = torch.from_numpy(video.read(times[start : start + _CHUNK].tolist()))
        images = images.permute(0, 3, 1, 2)
        strip += [images[index - start] for index in sorted(shown) if 0 <= index - start < _CHUNK]
        for name, encoder in encoders.items():
            embeddings[name].append(encoder.embed(images).cpu())
    curves = {name: distances_to_last(torch.cat(e).numpy()) for name, e in embeddings.items()}
    return torch.stack(strip), times, curves


def _videos_at(path: Path, process: DecoderProcess, split: str) -> Iterator[tuple[str, Video]]:
    if path.suffix in MANIFEST_SUFFIXES:
        yield from _clips(path, process, split)
    elif path.is_file():
        yield path.stem, _file(path, process)
    elif images := [entry for entry in path.iterdir() if entry.suffix.lower() in _IMAGE_SUFFIXES]:
        yield path.name, _frames(path.name, sorted(images, key=_numeric))
    else:
        found, others = find_videos(path)
        if not found:
            raise UserError(f"{path} holds neither videos nor frames ({others} other files)")
        for file in found:
            yield file.relative_to(path).with_suffix("").as_posix(), _file(file, process)


def _clips(path: Path, process: DecoderProcess, split: str) -> Iterator[tuple[str, Video]]:
    manifest = read_manifest(path)
    clips = manifest.only(split)
    if not len(clips):
        raise UserError(f"{path} has no clip of the split {split!r}")
    for clip in clips:
        yield clip.clip_id, _clip(manifest.video_path(clip), clip, process)


def _clip(path: Path, clip: Clip, process: DecoderProcess) -> Video:
    backend = allowed_backend(clip.decoder)

    def read(indices: Sequence[int]) -> NDArray[np.uint8]:
        return process.read(path, [clip.start_frame + i for i in indices], backend=backend)

    return Video(clip.clip_id, lambda: clip.num_frames, read)


def _file(path: Path, process: DecoderProcess) -> Video:
    # Looked at once, and only when its turn comes: a folder may hold many.
    info = functools.cache(lambda: process.probe(path))

    def read(indices: Sequence[int]) -> NDArray[np.uint8]:
        return process.read(path, indices, backend=allowed_backend(info().decoder))

    return Video(path.stem, lambda: info().num_frames, read)


def _frames(name: str, images: Sequence[Path]) -> Video:
    def read(indices: Sequence[int]) -> NDArray[np.uint8]:
        return np.stack([_image(images[index]) for index in indices])

    return Video(name, lambda: len(images), read)


def _image(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except OSError as error:
        raise VideoError(f"{path} is not a picture that can be read: {error}") from error


def _numeric(path: Path) -> tuple[list[int], str]:
    """Order 9.png before 10.png."""
    return [int(number) for number in re.findall(r"\d+", path.stem)], path.name


def _write_distances(path: Path, times: NDArray[np.int64], curves: Mapping[str, Distances]) -> None:
    rows = zip(times.tolist(), *(d.tolist() for d in curves.values()), strict=True)
    _write_rows(path, ("frame", *curves), rows)


def _write_table(path: Path, rows: Sequence[tuple[str, str, int, CurveMetrics]]) -> None:
    header = ("video", "encoder", "frames", *(field.name for field in fields(CurveMetrics)))
    _write_rows(path, header, [(*row[:3], *astuple(row[3])) for row in rows])


def _write_rows(path: Path, header: Sequence[str], rows: object) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(header)
            writer.writerows(rows)  # type: ignore[arg-type]

    write_atomically(path, write)


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
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(values.mean(0), values.std(0), strict=True)]
        table.add_row(f"mean ± std of {len(values)}", encoder, *cells)
    _console.print(table)


def _shown(metrics: CurveMetrics) -> tuple[float, float, float]:
    return metrics.value_order_correlation, metrics.bumps, metrics.normalised_distance
