"""Images a second at 1 and at 2 processes, data path and exchange of embeddings included.

`python -m benchmarks.ranks --manifest M` trains with `vipl fit` (configs/fit/folder.yaml, paper's
tuples, one thread and one loading process each) with one process and with two, in turn, several
times over; every process has the same share of clips, so two take twice the batch. `ratio` is
images a second of two over those of one: 2 is perfect, and needs twice the cores.
"""

import argparse
import csv
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import machine

RANKS = (1, 2)
IMAGES_OF_A_CLIP = 4


def images_per_second(ranks: int, run: Path, args: argparse.Namespace) -> float:
    """Train, and return the median of what the run logged after its first window."""
    settings = {
        "data.manifest": args.manifest,
        "run_dir": run,
        "trainer.accelerator": "cpu",
        "trainer.devices": ranks,
        "trainer.strategy": "ddp" if ranks > 1 else "auto",
        "trainer.max_steps": args.steps,
        "trainer.log_every_n_steps": 5,
        "trainer.limit_val_batches": 0,
        "model.encoder.backbone": args.backbone,
        "data.tuples": "paper",
        "data.batch_size": args.clips * ranks,
        "data.num_workers": 1,
        "threads": 1,
    }
    command = [sys.executable, "-m", "vipl.cli", "fit", "--config", "configs/fit/folder.yaml"]
    command += [f"{key}={value}" for key, value in settings.items()]
    subprocess.run(command, check=True, capture_output=True)
    with (run / "metrics" / "metrics.csv").open() as file:
        logged = [row["perf/clips_per_second"] for row in csv.DictReader(file)]
    rates = [float(rate) for rate in logged if rate]
    return IMAGES_OF_A_CLIP * statistics.median(rates[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", required=True, help="best of clips that are prepared")
    parser.add_argument("--backbone", default="resnet10t")
    parser.add_argument("--clips", type=int, default=8, help="of a step and process (8)")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    rates: dict[int, list[float]] = {ranks: [] for ranks in RANKS}
    with tempfile.TemporaryDirectory() as folder:
        for number, ranks in itertools.product(range(args.rounds), RANKS):
            run = Path(folder) / f"{ranks}-{number}"
            rates[ranks].append(images_per_second(ranks, run, args))
            print(f"{ranks} processes: {rates[ranks][-1]:.1f} images/s", flush=True)
    one, two = rates.values()
    line = {
        "name": "ranks",
        "ratio": round(statistics.median(b / a for a, b in zip(one, two, strict=True)), 3),
        "one": round(statistics.median(one), 1),
        "two": round(statistics.median(two), 1),
        "unit": "images/s",
        "n": args.rounds,
        "machine": machine(),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
