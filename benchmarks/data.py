"""The data path: ours, by every format of `vipl prepare`, against the released way.

`python -m benchmarks.data` brings the clips of a manifest (your own, or generated ones: ten
seconds at 30 frames a second, textures that move, and noise) to each format, to a short side of
256 pixels, and loads batches in turn, several times over, each way with the same number of
processes and nothing behind it:

- released: one JPEG a frame, of the quality of our own, see `benchmarks/released_data.py`;
- ours: `VideoDataModule`, as `vipl fit` uses it, the paper's tuples (four images a clip) or dense
  ones (16 images), through decord and through PyAV where the format is a video.

`ratio` is our clips a second over the released way's, the paper's tuples in the default format;
`dense_ratio` is images a second over the released way's, dense tuples in H.264, whose share of the
JPEGs' bytes is `h264_bytes`.
"""

import argparse
import itertools
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.machine import machine
from benchmarks.released_data import extract, released_loader
from vipl.cli import main as vipl
from vipl.data.encoding.formats import FORMATS
from vipl.data.encoding.video_writer import write_h264
from vipl.data.loading.closing_loader import ClosingLoader
from vipl.data.loading.datamodule import VideoDataModule
from vipl.data.loading.samples import Batch
from vipl.data.manifests.manifest import Clip, Manifest, read_manifest, write_manifest
from vipl.data.sources.arguments import DEFAULT_FORMAT
from vipl.training.bench.data import per_second

SHORT_SIDE, QUALITY = 256, 90
RELEASED = "released"


class Way(NamedTuple):
    """One way to load clips.

    Attributes:
        name: To print.
        loader: Makes an endless loader.
        size_bytes: Of all clips on disk.
        images: Of a clip.
    """

    name: str
    loader: Callable[[], ClosingLoader[Any]]
    size_bytes: int
    images: int


def generated(folder: Path, clips: int, seconds: float) -> Path:
    """Write videos of ten seconds and their manifest."""
    rows = []
    for number in range(clips):
        name = f"{number}.mp4"
        write_h264(folder / name, scene(number, round(30 * seconds)), fps_hz=30, key_every=250)
        rows.append(Clip(name, name, 0, round(30 * seconds), 30.0, 456, 256, "train", "made", ""))
    write_manifest(rows, folder / "manifest.parquet", recipe={"source": "generated"})
    return folder / "manifest.parquet"


def scene(seed: int, frames: int) -> Iterator[NDArray[np.uint8]]:
    """Yield frames: a camera drifts over a texture with natural images' spectrum, and noise."""
    rng = np.random.default_rng(seed)
    side = 768
    wave = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij"))
    spectrum = rng.normal(size=(3, *wave.shape, 2)) @ [1, 1j] / np.maximum(wave, 1 / side)
    texture = np.fft.irfft2(spectrum, (side, side)).transpose(1, 2, 0)
    texture = 128 + 50 * texture / texture.std()
    place = rng.uniform(0, 256, 2)
    speed = rng.normal(0, 2, 2)
    for _ in range(frames):
        speed = 0.95 * speed + rng.normal(0, 0.6, 2)
        place = np.clip(place + speed, 0, (side - 257, side - 457))
        top, left = place.astype(int)
        view = texture[top : top + 256, left : left + 456] + rng.normal(0, 2, (256, 456, 1))
        yield np.clip(view, 0, 255).astype(np.uint8)


def ways(manifest: Manifest, folder: Path, *, workers: int) -> list[Way]:
    """Bring the clips to every format, and return the ways to load them."""
    size = extract(manifest, folder / RELEASED, short_side=SHORT_SIDE, quality=QUALITY)
    lengths = [clip.num_frames for clip in manifest]
    result = [
        Way(
            RELEASED,
            lambda: released_loader(folder / RELEASED, lengths, workers=workers),
            size,
            4,
        )
    ]
    for name, target in FORMATS.items():
        out = folder / name
        options = {"manifest": manifest.path, "out": out, "format": name, "short-side": SHORT_SIDE}
        status = vipl(["prepare", *(f"--{key}={value}" for key, value in options.items())])
        assert status == 0, "vipl prepare failed"
        size = sum(file.stat().st_size for file in (out / "clips").rglob("*.*"))
        decoders = ("decord", "pyav") if target.suffix == ".mp4" else ("auto",)
        clips = read_manifest(out / "manifest.parquet")
        column = clips.table.schema.get_field_index("decoder")
        free = clips.table.set_column(column, "decoder", pa.array(["any"] * len(clips)))
        write_manifest(free, out / "any.parquet", recipe={})  # decord may read them too
        for decoder, tuples in itertools.product(decoders, ("paper", "dense")):
            label = f"{name}, {decoder}" if len(decoders) > 1 else name
            result.append(
                Way(
                    label if tuples == "paper" else f"{label}, dense",
                    ours(out / "any.parquet", decoder=decoder, tuples=tuples, workers=workers),
                    size,
                    4 if tuples == "paper" else 16,
                )
            )
    return result


def ours(path: Path, **settings: Any) -> Callable[[], ClosingLoader[Any]]:
    """Return what makes a loader of our own, with `vipl fit`'s settings."""
    workers = settings.pop("workers")

    def loader() -> ClosingLoader[Any]:
        module = VideoDataModule(
            str(path), batch_size=16, num_workers=workers, steps_per_epoch=10**9, **settings
        )
        return module.train_dataloader()

    return loader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", type=Path, help="of your own clips (generated ones)")
    parser.add_argument("--clips", type=int, default=24, help="that are generated (24)")
    parser.add_argument("--length", type=float, default=10.0, help="of each, in seconds (10)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement (8)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "source").mkdir()
        path = args.manifest or generated(folder / "source", args.clips, args.length)
        source = read_manifest(path)
        manifest = write_manifest(
            source.only("train").table, folder / "train.parquet", recipe={}, root=source.root
        )
        report(measure(ways(manifest, folder, workers=args.workers), args), len(manifest), args)


def measure(all_ways: list[Way], args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Load by each way in turn, round by round."""
    rates: dict[str, list[float]] = {way.name: [] for way in all_ways}
    for number in range(args.rounds):
        for way in all_ways:
            rates[way.name].append(per_second(way.loader(), clips, seconds=args.seconds))
        print(f"round {number + 1} of {args.rounds} is done", flush=True)
    result = {}
    for way in all_ways:
        of_released = [
            rate / base for rate, base in zip(rates[way.name], rates[RELEASED], strict=True)
        ]
        result[way.name] = {
            "clips_per_s": statistics.median(rates[way.name]),
            "images_per_s": way.images * statistics.median(rates[way.name]),
            "ratio": statistics.median(of_released),
            "images_ratio": statistics.median(of_released) * way.images / 4,
            "bytes": way.size_bytes,
        }
    return result


def clips(batch: Batch | Tensor) -> int:
    """Return how many clips a batch of ours or of the released way holds."""
    return len(batch) if isinstance(batch, Tensor) else batch.num_clips


def report(results: dict[str, dict[str, Any]], clips: int, args: argparse.Namespace) -> None:
    """Print the table and the line of JSON."""
    print(f"\n{'':28} clips/s  images/s   of released's clips, images   MB    bytes")
    jpegs = results[RELEASED]["bytes"]
    for name, result in results.items():
        print(
            f"{name:28} {result['clips_per_s']:7.1f} {result['images_per_s']:9.0f} "
            f"{result['ratio']:21.2f} {result['images_ratio']:7.2f} {result['bytes'] / 1e6:6.1f} "
            f"{result['bytes'] / jpegs:7.1%}"
        )
    h264 = max(
        (
            result
            for name, result in results.items()
            if name.startswith("h264, ") and "dense" in name
        ),
        key=lambda result: float(result["images_ratio"]),
    )
    line = {
        "name": "data",
        "ratio": round(results[DEFAULT_FORMAT]["ratio"], 3),
        "dense_ratio": round(h264["images_ratio"], 3),
        "h264_bytes": round(h264["bytes"] / jpegs, 4),
        "ours": round(results[DEFAULT_FORMAT]["clips_per_s"], 2),
        "released": round(results[RELEASED]["clips_per_s"], 2),
        "unit": "clips/s",
        "ways": results,
        "clips": clips,
        "n": args.rounds,
        "workers": args.workers,
        "machine": machine(),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
