"""What pre-training costs: measured here on a few videos, and extrapolated to the clips of Ego4D.

`python -m benchmarks.costs` measures, on your videos (`--videos DIR`) or on generated ones:

- `vipl manifest build folder`: seconds of a core for each further video;
- `vipl prepare`: seconds of a core and bytes for each further frame, in two formats, every clip
  sampled at about 10 frames a second, as the recipe of Ego4D does;
- training, as `vipl fit` does it, data free of cost: images a second of a core, with one thread and
  by processor time, which other programs disturb less, of the quickstart's network and the paper's.

What is extrapolated is marked: it multiplies these by the numbers of the released training (72
thousand clips of 4.3 million frames; two million steps of 128 images) and assumes that each video
is like the measured ones. GPU-days are not measured: R3M's authors report five days on one V100 for
1.5 million steps, of 16 clips in the command of their README against 32 here.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.machine import machine
from vipl.data.encoding.video_writer import write_h264
from vipl.data.manifests.manifest import Clip, read_manifest, write_manifest

EGO4D_CLIPS, EGO4D_FRAMES, EGO4D_RATE_HZ = 72_000, 4_300_000, 10
RELEASED_STEPS, RELEASED_IMAGES, RELEASED_CLIPS = 2_000_000, 128, 32
R3M_DAYS, R3M_STEPS, R3M_CLIPS = 5, 1_500_000, 16
FORMATS = ("jpeg", "h264")
NETWORKS = {"quickstart": ("resnet10t", 96, 64, 8), "paper": ("resnet50", 224, 1024, 4)}
"""Backbone, image size, embedding size, clips of four images a step."""


class Cost(NamedTuple):
    """Of bringing clips to small files, a frame that is kept."""

    cpu_s: float
    bytes: float


def generated(folder: Path, number: int) -> Path:
    """Write videos of ten seconds, 540 lines and 30 frames a second."""
    from benchmarks.data import scene

    def large(frames: Iterable[NDArray[np.uint8]]) -> Iterable[NDArray[np.uint8]]:
        for frame in frames:
            yield np.asarray(Image.fromarray(frame).resize((960, 540)))

    for seed in range(number):
        write_h264(folder / f"{seed}.mp4", large(scene(seed, 300)), fps_hz=30, key_every=250)
    return folder


def vipl(*arguments: object) -> float:
    """Run a command; return the seconds of a core that it and its processes took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "vipl.cli", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def manifests(videos: Path, folder: Path) -> tuple[float, list[Clip]]:
    """Return the cost of each further video, and the clips at 10 frames a second."""
    files = sorted(path for path in videos.iterdir() if path.is_file())
    one = folder / "one"
    one.mkdir()
    (one / files[0].name).symlink_to(files[0].resolve())
    build = ("manifest", "build", "folder")
    first = vipl(*build, one, "--out", folder / "one.parquet", "--workers", 1)
    every = vipl(*build, videos, "--out", folder / "all.parquet", "--workers", 1)
    clips = [
        replace(clip, stride=max(1, round(clip.fps / EGO4D_RATE_HZ)))
        for clip in read_manifest(folder / "all.parquet")
    ]
    return (every - first) / (len(files) - 1), [clip for clip in clips if clip.num_frames >= 3]


def prepare(clips: list[Clip], videos: Path, folder: Path, form: str) -> Cost:
    """Return the cost of each further frame in one format."""
    cpu_s, sizes, frames = [], [], []
    for name, some in (("first", clips[:1]), ("all", clips)):
        path, out = folder / f"{form}_{name}.parquet", folder / f"{form}_{name}"
        write_manifest(some, path, recipe={"source": "costs"}, root=videos)
        options = ("--manifest", path, "--out", out, "--format", form, "--workers", 1)
        cpu_s.append(vipl("prepare", *options))
        sizes.append(sum(file.stat().st_size for file in (out / "clips").rglob("*.*")))
        frames.append(sum(clip.num_frames for clip in some))
    more = frames[1] - frames[0]
    return Cost((cpu_s[1] - cpu_s[0]) / more, (sizes[1] - sizes[0]) / more)


def images_per_second(name: str, *, steps: int) -> float:
    """Train a network for a few steps with one thread; return images a second of a core."""
    import torch

    from benchmarks.step import OurStep, Request, Task

    backbone, image_size, output_dim, clips = NETWORKS[name]
    task = Task("float32", backbone, image_size, output_dim, "cpu", threads=1)
    frames = torch.randint(0, 256, (clips, 4, 3, image_size, image_size), dtype=torch.uint8)
    torch.set_num_threads(task.threads)
    return 4 * clips / OurStep(task).run(frames, Request(clips, warmup=1, steps=steps)).cpu_s


def extrapolate(
    manifest_s: float, costs: dict[str, Cost], speeds: dict[str, float]
) -> dict[str, Any]:
    """Return hours, bytes and days of the released training."""
    images = RELEASED_STEPS * RELEASED_IMAGES
    steps = RELEASED_STEPS / R3M_STEPS
    return {
        "manifest_core_hours_if_each_clip_is_a_file": EGO4D_CLIPS * manifest_s / 3600,
        "prepare_core_hours": {n: EGO4D_FRAMES * c.cpu_s / 3600 for n, c in costs.items()},
        "prepare_gb": {n: EGO4D_FRAMES * c.bytes / 1e9 for n, c in costs.items()},
        "training_core_days": {n: images / s / 86400 for n, s in speeds.items()},
        "v100_days": [R3M_DAYS * steps, R3M_DAYS * steps * RELEASED_CLIPS / R3M_CLIPS],
    }


def report(result: dict[str, Any]) -> None:
    """Print the table of the page on pre-training."""
    whole = result["ego4d"]
    print("| what | measured here | Ego4D, extrapolated |\n| --- | --- | --- |")
    print(
        f"| manifest from a folder | {result['manifest_cpu_s']:.2f} core-s a video | "
        f"{whole['manifest_core_hours_if_each_clip_is_a_file']:.0f} core-hours |"
    )
    for form in FORMATS:
        cost = result["prepare"][form]
        hour = 3600 * EGO4D_RATE_HZ
        print(
            f"| `--format {form}` | {hour * cost['cpu_s']:.0f} core-s and "
            f"{hour * cost['bytes'] / 1e6:.0f} MB an hour of video at {EGO4D_RATE_HZ} frames/s | "
            f"{whole['prepare_core_hours'][form]:.0f} core-hours, "
            f"{whole['prepare_gb'][form]:.0f} GB |"
        )
    for name, speed in result["images_per_core_s"].items():
        backbone, size, *_ = NETWORKS[name]
        print(
            f"| training {backbone}, {size} px | {speed:.1f} images a core-s | "
            f"{whole['training_core_days'][name]:,.0f} core-days |"
        )
    low, high = whole["v100_days"]
    print(f"| training resnet50, 224 px, one V100 | not measured | {low:.0f} to {high:.0f} days |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=Path, help="a folder of yours (generated ones)")
    parser.add_argument("--number", type=int, default=5, help="of videos that are generated (5)")
    parser.add_argument("--steps", type=int, default=3, help="of training that are timed (3)")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "videos").mkdir()
        videos = args.videos or generated(folder / "videos", args.number)
        manifest_s, clips = manifests(videos, folder)
        costs = {form: prepare(clips, videos, folder, form) for form in FORMATS}
    speeds = {name: images_per_second(name, steps=args.steps) for name in args.networks}
    result = {
        "name": "costs",
        "clips": len(clips),
        "frames": sum(clip.num_frames for clip in clips),
        "manifest_cpu_s": manifest_s,
        "prepare": {form: cost._asdict() for form, cost in costs.items()},
        "images_per_core_s": speeds,
        "ego4d": extrapolate(manifest_s, costs, speeds),
        "cores": os.cpu_count(),
        "machine": machine(),
    }
    report(result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
