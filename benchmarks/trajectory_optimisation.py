"""Planning by the visual reward alone, with an encoder of its own for each task and camera.

`python -m benchmarks.trajectory_optimisation` makes clips of each task that begin anywhere, trains
configs/fit/in_domain.yaml on them and the demonstrations that ship, as each camera sees them, and
plans with every encoder where it belongs (configs/eval/in_domain.yaml: hard setting, 32 samples).
Twelve tasks, three cameras and three seeds of the planner are the paper's 108 runs. `--third K`
takes each task through one camera, four tasks a camera; K from 0 to 2 takes all of them in turn.
With `--rounds N` that is done again N times, half of the clips then beginning where the planner
went the time before with the encoder of that task and camera. With `--accumulate` a round adds
fewer clips to those before it, and trains their encoder on for fewer steps, until it solves two
episodes of its own, whose seeds are not among `--seeds`, or N rounds are over; the last encoder
alone is measured. What is finished is kept, so it can be stopped and called again, with more tasks,
cameras, seeds or rounds; clips of a round that are there are not made anew. `KEY=VALUE` changes
keys of the training.

The interval of the aggregate resamples the pairs of task and camera, each of which has one encoder:
95%, percentile bootstrap.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.machine import machine
from vipl.config import compose
from vipl.evaluation.evaluator import MAIN
from vipl.evaluation.results import RECORDS_FILE, Record, read_records
from vipl.evaluation.statistics import bootstrap_mean, latest
from vipl_evaluators.frankakitchen.scene import CAMERAS
from vipl_evaluators.frankakitchen.tasks import TASKS

FIT, EVAL = "configs/fit/in_domain.yaml", "configs/eval/in_domain.yaml"
LATER_RATE = "model.optimizer.init_args.lr=1.0e-3"  # of rounds that train on
OWN_SEEDS = 1000  # of the episodes that rounds plan for what they visit, and from there on
OWN_EPISODES = 2  # of a round


class Pair(NamedTuple):
    """What an encoder is trained for.

    Attributes:
        task: Of the suite frankakitchen.
        camera: Of the suite.
    """

    task: str
    camera: str

    @property
    def name(self) -> str:
        """Of its folders."""
        return f"{self.task}-{self.camera}"


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


def look() -> tuple[object, ...]:
    """Return the options with which `vipl demos render` draws what EVAL will plan in."""
    config = compose([EVAL], [])
    return "--size", config["image_size"], "--mesh-grid-m", config["mesh_grid_m"]


class Round:
    """Clips, encoders and planned episodes, each of which is made once.

    Args:
        number: 0 for the first.
        args: Of the command line.
        before: The round before, where the planner went astray.
    """

    def __init__(self, number: int, args: argparse.Namespace, before: "Round | None") -> None:
        self.number = number
        self.args = args
        self.before = before
        self.folder = args.out / f"round{number}"
        self.runs: dict[str, Path] = {}
        """Of `vipl eval`, by camera."""

    @property
    def base(self) -> "Round | None":
        """The round whose clips are added to, and whose encoder is trained on; None: neither."""
        return self.before if self.args.accumulate else None

    def make(self, pairs: Sequence[Pair]) -> None:
        """Make the clips and encoders that are not there."""
        self.generate_all(pairs)
        with ThreadPoolExecutor(self.args.jobs) as pool:
            list(pool.map(self.train, pairs))

    def plan(
        self, pairs: Sequence[Pair], seeds: Sequence[int], controls: Sequence[str] = ()
    ) -> list[Record]:
        """Plan the episodes that have not been planned; return the records of all."""
        records: list[Record] = []
        for camera in self.args.cameras:
            if tasks := [pair.task for pair in pairs if pair.camera == camera]:
                records += self.plan_camera(camera, tasks, seeds, controls)
        return records

    def generate_all(self, pairs: Sequence[Pair]) -> None:
        """Make the clips of all pairs, as states: cameras share them at first."""
        with ThreadPoolExecutor(self.args.jobs) as pool:
            list(pool.map(self.generate, {self.states(pair): pair for pair in pairs}.values()))

    def states(self, pair: Pair) -> Path:
        """Return the folder of a pair's clips as states: at first, cameras share them."""
        name = pair.task if self.before is None else pair.name
        return self.folder / "states" / name

    def generate(self, pair: Pair) -> None:
        """Make the clips of a task, as states."""
        states = self.states(pair)
        if (states / "index.json").is_file():
            return
        number: int = self.args.clips
        more: list[object] = []
        if self.before is not None:
            more += ["--visited", self.before.runs[pair.camera], "--seed", self.number]
        if self.base is not None:
            shutil.copytree(self.base.states(pair), states, dirs_exist_ok=True)
            (states / "index.json").unlink()  # it is written last
            more += ["--first", number + (self.number - 1) * self.args.new_clips]
            number = self.args.new_clips
        vipl(self.folder / "logs" / f"{states.name}.txt", "demos", "generate",
             "--quality", "anywhere", "--number", number, "--tasks", pair.task,
             "--far", self.args.far, "--out", states, "--workers", 1, *more)  # fmt: skip

    def train(self, pair: Pair) -> None:
        """Render the clips of a task as a camera sees them, and train an encoder on them."""
        clips, run, log = (self.folder / place / pair.name for place in ("clips", "runs", "logs"))
        if (run / "encoder").is_dir():
            return
        log, start = log.with_suffix(".txt"), time.perf_counter()
        onward: list[str] = []
        if self.base is not None:
            shutil.copytree(self.base.folder / "clips" / pair.name, clips, dirs_exist_ok=True)
            steps = self.args.more_steps
            onward = [
                f"model.weights={self.base.folder / 'runs' / pair.name}",
                f"trainer.max_steps={steps}",
                f"trainer.val_check_interval={steps}",
                LATER_RATE,
            ]
        vipl(log, "demos", "render", "--folder", self.states(pair),
             "--with-shipped", "--tasks", pair.task, "--cameras", pair.camera, *look(),
             "--workers", 1, "--out", clips)  # fmt: skip
        rendered = time.perf_counter()
        vipl(log, "fit", "--config", FIT, f"data.manifest={clips / 'manifest.parquet'}",
             f"run_dir={run}", "threads=1", "data.num_workers=1", "ckpt_path=last",
             *onward, *self.args.key)  # fmt: skip
        spent = (
            f"drawn in {rendered - start:.0f} s, trained in {time.perf_counter() - rendered:.0f} s"
        )
        print(f"round {self.number} {pair.name}: {spent}", flush=True)

    def plan_camera(
        self, camera: str, tasks: Sequence[str], seeds: Sequence[int], controls: Sequence[str]
    ) -> list[Record]:
        """Plan with the encoders of a camera's tasks; return the records."""
        args, numbers = self.args, [str(seed) for seed in seeds]
        which = "all" if len(tasks) == len(TASKS) else "-".join(tasks)
        name = (
            f"round{self.number}-{camera}-{which}-seeds-{'-'.join(numbers)}-samples-{args.samples}"
        )
        vipl(self.folder / "logs" / f"{name}.txt", "eval", "--config", EVAL,
             "--encoder", self.folder / "runs" / "{task}-{camera}", "--out", args.out / "results",
             "--run-id", name, f"tasks=[{','.join(tasks)}]", f"cameras=[{camera}]",
             f"seeds=[{','.join(numbers)}]", f"controls=[{','.join(controls)}]",
             f"planner.samples={args.samples}", *([f"steps={args.steps}"] if args.steps else []),
             "--workers", 1 if args.accumulate else args.jobs)  # fmt: skip
        self.runs[camera] = next((args.out / "results").glob(f"frankakitchen-v*/{name}"))
        return latest(read_records(self.runs[camera] / RECORDS_FILE)[0])


def summarise(records: Iterable[Record]) -> dict[str, Any]:
    """Return how many episodes ended solved, of all and of each pair."""
    of_pair: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        of_pair[Pair(record.task, record.camera).name].append(record)
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


def plan_rounds(pairs: Sequence[Pair], args: argparse.Namespace) -> dict[str, list[Record]]:
    """Return the records of each round, of all pairs."""
    current, records = None, {}
    for number in range(args.rounds + 1):
        current = Round(number, args, current)
        current.make(pairs)
        records[f"round {number}"] = current.plan(pairs, args.seeds, args.controls)
    return records


def accumulate(pairs: Sequence[Pair], args: argparse.Namespace) -> dict[str, list[Record]]:
    """Return the records of each pair's last encoder; each pair goes its own way to it."""

    def go(pair: Pair) -> list[Record]:
        current = None
        for number in range(args.rounds + 1):
            current = Round(number, args, current)
            current.make([pair])
            if number < args.rounds:
                first = OWN_SEEDS + number * OWN_EPISODES
                own = current.plan([pair], range(first, first + OWN_EPISODES))
                if all(record.metrics["success"] for record in own):
                    break
        print(f"{pair.name}: {number} rounds", flush=True)
        return current.plan([pair], args.seeds, args.controls)

    Round(0, args, None).generate_all(pairs)  # which cameras share: not to be made by two at once
    with ThreadPoolExecutor(args.jobs) as pool:
        return {f"up to {args.rounds} rounds": list(chain.from_iterable(pool.map(go, pairs)))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("key", nargs="*", metavar="KEY=VALUE", help="of `vipl fit`")
    parser.add_argument("--out", type=Path, default=Path("runs/trajectory_optimisation"))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS, metavar="TASK")
    parser.add_argument("--cameras", nargs="+", default=list(CAMERAS), choices=CAMERAS)
    parser.add_argument(
        "--third", type=int, choices=range(3), help="each task through one camera, in turn from it"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the planner")
    parser.add_argument("--controls", nargs="*", default=[], help="such as oracle and random")
    parser.add_argument("--samples", type=int, default=32, help="that the planner tries a step")
    parser.add_argument("--steps", type=int, help="of an episode (100)")
    parser.add_argument("--clips", type=int, default=120, help="of a task, that begin anywhere")
    parser.add_argument("--far", type=float, default=0.5, help="their share with the arm far off")
    parser.add_argument("--jobs", type=int, default=2, help="at a time; each keeps to one core")
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="after the first (0)")
    parser.add_argument("--accumulate", action="store_true", help="rounds add to those before")
    parser.add_argument("--new-clips", type=int, default=60, help="that such a round adds")
    parser.add_argument("--more-steps", type=int, default=500, help="that such a round trains on")
    args = parser.parse_args()
    pairs = [Pair(task, camera) for task in args.tasks for camera in args.cameras]
    if args.third is not None:
        cameras = list(CAMERAS)
        turn = {
            task: cameras[(index + args.third) % len(cameras)] for index, task in enumerate(TASKS)
        }
        pairs = [pair for pair in pairs if turn[pair.task] == pair.camera]
    results: dict[str, dict[str, Any]] = {}
    run = accumulate if args.accumulate else plan_rounds
    for name, records in run(pairs, args).items():
        for variant in dict.fromkeys(record.variant for record in records):
            label = name if variant == MAIN else f"{name}, {variant}"
            results[label] = result = summarise(r for r in records if r.variant == variant)
            for pair, own in result["pairs"].items():
                print(f"{label}: {pair} {own['solved']}/{own['episodes']}, {own['object_error']}")
            print(f"{label}: {result['success']:.3f} solved, {result['interval']}", flush=True)
    line = {"name": "trajectory_optimisation", "results": results, "machine": machine()}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
