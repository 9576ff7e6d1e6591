"""The data path by the length of the manifest: time to start, clips a second, memory.

`python -m benchmarks.rows --manifest M` makes manifests of 10, 1,000 and 100,000 rows, every row a
file of its own (links to the videos of M), and loads batches of each with the loader of `vipl fit`
in a process of its own, in turn, several times over. `ratio` is clips a second of the longest over
those of the shortest.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.memory import memory_bytes
from vipl.data.manifests.manifest import read_manifest, write_manifest

ROWS = (10, 1000, 100_000)
BATCH = 8


def lengthened(manifest: Path, folder: Path, rows: int) -> Path:
    """Write a manifest of so many rows, and the links that they name."""
    source = read_manifest(manifest)
    clips = []
    for number, clip in zip(range(rows), itertools.cycle(source), strict=False):
        original = source.video_path(clip).resolve()
        path = f"{rows}/{number // 1000}/{number}{original.suffix}"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(original, folder / path)
        except OSError:  # on another disk
            (folder / path).symlink_to(original)
        clips.append(replace(clip, clip_id=str(number), path=path, split="train"))
    write_manifest(clips, folder / f"{rows}.parquet", recipe={})
    return folder / f"{rows}.parquet"


def load(manifest: str, seconds: float, workers: int) -> dict[str, float]:
    """Load batches of a manifest; the clock starts when the interpreter has imported all."""
    from vipl.data.loading.datamodule import VideoDataModule
    from vipl.training.bench.data import per_second

    begin = time.perf_counter()
    module = VideoDataModule(
        manifest, batch_size=BATCH, num_workers=workers, steps_per_epoch=10**9, crop_scale=(0.2, 1)
    )
    loader = module.train_dataloader()
    next(iter(loader))
    started = time.perf_counter() - begin
    rate = per_second(loader, lambda batch: batch.num_clips, seconds=seconds)
    return {"start_s": started, "clips_per_s": rate, "memory_mib": memory_bytes() / 2**20}


def in_a_process(manifest: Path, args: argparse.Namespace) -> dict[str, float]:
    """Call `load` in a new process."""
    command = [sys.executable, "-m", "benchmarks.rows", "--load", str(manifest)]
    command += ["--seconds", str(args.seconds), "--workers", str(args.workers)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", type=Path, help="whose clips are linked to")
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS))
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement (8)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.load:
        print(json.dumps(load(args.load, args.seconds, args.workers)))
        return
    if not args.manifest:
        parser.error("whose clips? --manifest names them")
    results: dict[int, list[dict[str, float]]] = {rows: [] for rows in args.rows}
    with tempfile.TemporaryDirectory() as folder:
        paths = {rows: lengthened(args.manifest, Path(folder), rows) for rows in args.rows}
        for _, rows in itertools.product(range(args.rounds), args.rows):
            results[rows].append(in_a_process(paths[rows], args))
    report(results, args)


def report(results: dict[int, list[dict[str, float]]], args: argparse.Namespace) -> None:
    """Print the table and the line of JSON."""
    medians: dict[int, dict[str, Any]] = {}
    for rows, runs in results.items():
        medians[rows] = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        print(
            f"{rows:8d} rows: first batch after {medians[rows]['start_s']:.2f} s, "
            f"{medians[rows]['clips_per_s']:.1f} clips/s, {medians[rows]['memory_mib']:.0f} MiB"
        )
    rates = [[run["clips_per_s"] for run in results[rows]] for rows in (min(results), max(results))]
    line = {
        "name": "rows",
        "ratio": round(statistics.median(b / a for a, b in zip(*rates, strict=True)), 3),
        "rows": medians,
        "n": args.rounds,
        "workers": args.workers,
        "machine": machine(),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
