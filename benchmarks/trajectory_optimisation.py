"""Planning by the visual reward alone, with an encoder of its own for each task and camera.

`python -m benchmarks.trajectory_optimisation` makes clips of each task that begin anywhere, trains
configs/fit/in_domain.yaml on them and the demonstrations that ship, as each camera sees them, and
plans with every encoder where it belongs (configs/eval/in_domain.yaml: hard setting, 32 samples).
Twelve tasks, three cameras and three seeds of the planner are the paper's 108 runs; `--third` takes
each task through one camera, four tasks a camera. What is finished is kept, so it can be stopped
and called again, with more tasks, cameras or seeds. `KEY=VALUE` changes keys of the training.

The interval of the aggregate resamples the pairs of task and camera, each of which has one encoder:
95%, percentile bootstrap.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.machine import machine
from vipl.evaluation.evaluator import MAIN
from vipl.evaluation.results import RECORDS_FILE, Record, read_records
from vipl.evaluation.statistics import bootstrap_mean, latest
from vipl_evaluators.frankakitchen.scene import CAMERAS
from vipl_evaluators.frankakitchen.tasks import TASKS

FIT, EVAL = "configs/fit/in_domain.yaml", "configs/eval/in_domain.yaml"
LOOK = ("--size", 128, "--mesh-grid-m", 0.012)
SEEN = ("image_size=128", "mesh_grid_m=0.012")  # the same for `vipl eval`


class Pair(NamedTuple):
    """What an encoder is trained for.

    Attributes:
        task: Of the suite frankakitchen.
        camera: Of the suite.
    """

    task: str
    camera: str

    def folder(self, out: Path) -> Path:
        """Return where its clips and its training are."""
        return out / f"{self.task}-{self.camera}"


def vipl(log: Path, *arguments: object) -> None:
    """Run a command of vipl, and say where what it printed is if it fails."""
    command = [sys.executable, "-m", "vipl.cli", *map(str, arguments)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as stream:
        stream.write(f"\n$ {' '.join(command[2:])}\n")
        stream.flush()
        done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise SystemExit(f"a command failed with status {done.returncode}: see the end of {log}")


def generate(task: str, args: argparse.Namespace) -> None:
    """Make the clips of a task, as states."""
    states = args.out / "states" / task
    if not (states / "index.json").is_file():
        vipl(args.out / "logs" / f"{task}.txt", "demos", "generate", "--quality", "anywhere",
             "--number", args.clips, "--tasks", task, "--out", states, "--workers", 1)  # fmt: skip


def train(pair: Pair, args: argparse.Namespace) -> None:
    """Render the clips of a task as a camera sees them, and train an encoder on them."""
    folder, log = pair.folder(args.out), args.out / "logs" / f"{pair.task}-{pair.camera}.txt"
    if (folder / "run" / "encoder").is_dir():
        return
    start = time.perf_counter()
    vipl(log, "demos", "render", "--folder", args.out / "states" / pair.task, "--with-shipped",
         "--tasks", pair.task, "--cameras", pair.camera, *LOOK, "--workers", 1,
         "--out", folder / "clips")  # fmt: skip
    rendered = time.perf_counter()
    vipl(log, "fit", "--config", FIT, f"data.manifest={folder / 'clips' / 'manifest.parquet'}",
         f"run_dir={folder / 'run'}", "threads=1", "data.num_workers=1", "ckpt_path=last",
         *args.key)  # fmt: skip
    spent = f"drawn in {rendered - start:.0f} s, trained in {time.perf_counter() - rendered:.0f} s"
    print(f"{pair.task} {pair.camera}: {spent}", flush=True)


def plan(camera: str, tasks: list[str], args: argparse.Namespace) -> list[Record]:
    """Plan with the encoders of a camera's tasks; return the records."""
    name = f"{args.name}-{camera}-{len(tasks)}"
    vipl(args.out / "logs" / f"{name}.txt", "eval", "--config", EVAL,
         "--encoder", args.out / "{task}-{camera}" / "run", "--out", args.out / "results",
         "--run-id", name, f"tasks=[{','.join(tasks)}]", f"cameras=[{camera}]", *SEEN,
         f"seeds=[{','.join(map(str, args.seeds))}]", f"controls=[{','.join(args.controls)}]",
         "--workers", args.jobs)  # fmt: skip
    folder = next((args.out / "results").glob(f"frankakitchen-v*/{name}"))
    return latest(read_records(folder / RECORDS_FILE)[0])


def summarise(records: Iterable[Record]) -> dict[str, Any]:
    """Return how many episodes ended solved, of all and of each pair."""
    of_pair: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        of_pair[f"{record.task}-{record.camera}"].append(record)
    solved = {pair: [r.metrics["success"] for r in own] for pair, own in of_pair.items()}
    errors = {pair: [r.metrics["object_error"] for r in own] for pair, own in of_pair.items()}
    interval = bootstrap_mean([float(np.mean(values)) for values in solved.values()])
    return {
        "success": interval.mean,
        "interval": [interval.low, interval.high],
        "solved": int(sum(map(sum, solved.values()))),
        "episodes": sum(map(len, solved.values())),
        "pairs": {
            pair: {
                "solved": int(sum(values)),
                "episodes": len(values),
                "object_error": round(float(np.mean(errors[pair])), 3),
            }
            for pair, values in solved.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("key", nargs="*", metavar="KEY=VALUE", help="of `vipl fit`")
    parser.add_argument("--out", type=Path, default=Path("runs/trajectory_optimisation"))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS, metavar="TASK")
    parser.add_argument("--cameras", nargs="+", default=list(CAMERAS), choices=CAMERAS)
    parser.add_argument(
        "--third", action="store_true", help="each task through one camera, in turn"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the planner")
    parser.add_argument("--controls", nargs="*", default=[], help="such as oracle and random")
    parser.add_argument("--clips", type=int, default=120, help="of a task, that begin anywhere")
    parser.add_argument("--jobs", type=int, default=2, help="at a time; each keeps to one core")
    parser.add_argument("--name", default="main", help="of the runs of `vipl eval`")
    args = parser.parse_args()
    pairs = [Pair(task, camera) for task in args.tasks for camera in args.cameras]
    if args.third:
        turns = {task: index % len(args.cameras) for index, task in enumerate(args.tasks)}
        pairs = [Pair(task, args.cameras[turn]) for task, turn in turns.items()]
    with ThreadPoolExecutor(args.jobs) as pool:
        for _ in pool.map(lambda task: generate(task, args), dict.fromkeys(p.task for p in pairs)):
            pass
        for _ in pool.map(lambda pair: train(pair, args), pairs):
            pass
    records: list[Record] = []
    for camera in args.cameras:
        if tasks := [pair.task for pair in pairs if pair.camera == camera]:
            records += plan(camera, tasks, args)
    variants = list(dict.fromkeys(record.variant for record in records))
    results = {v: summarise(r for r in records if r.variant == v) for v in variants or [MAIN]}
    for variant, result in results.items():
        for pair, own in result["pairs"].items():
            print(f"{variant} {pair}: {own['solved']}/{own['episodes']}, {own['object_error']}")
        print(f"{variant}: {result['success']:.3f} solved, {result['interval']}")
    print(json.dumps({"name": "trajectory_optimisation", **results, "machine": machine()}))


if __name__ == "__main__":
    main()
