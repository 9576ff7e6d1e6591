"""Planning by the visual reward alone, with encoders trained for the kitchen's tasks and cameras.

`python -m benchmarks.trajectory_optimisation` makes clips of each task that begin anywhere, trains
configs/fit/in_domain.yaml on them and the demonstrations that ship, as each camera sees them, and
plans with every encoder where it belongs (configs/eval/in_domain.yaml: hard setting, 32 samples).
Twelve tasks, three cameras and three seeds of the planner are the paper's 108 runs. `--third K`
takes each task through one camera, four tasks a camera; K from 0 to 2 takes all of them in turn.
With `--rounds N` that is done again N times, half of the clips then beginning where the planner
went the time before with the encoder of that task and camera. With `--accumulate` a round adds
fewer clips to those before it, and trains their encoder on for fewer steps, until it solves two
episodes of each task that are its own, their seeds not among `--seeds`, or N rounds are over; only
tasks of which one failed have more clips. The last encoder alone is measured. With `--together`
one encoder is trained for all tasks of a camera. What is finished is kept, so it can be stopped and
called again, with more tasks, cameras, seeds or rounds; clips of a round that are there are not
made anew. `KEY=VALUE` changes keys of the training; steps and rate of rounds that train on are
their own.

The interval of the aggregate resamples the pairs of task and camera: 95%, percentile bootstrap.
Each pair has one encoder; with `--together` those of a camera share it, and the interval does not
tell what another training would give.
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
from functools import partial
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


class Scope(NamedTuple):
    """What an encoder is trained for.

    Attributes:
        tasks: Of the suite frankakitchen.
        camera: Of the suite.
    """

    tasks: tuple[str, ...]
    camera: str

    @property
    def which(self) -> str:
        """Its tasks, as a part of names."""
        return "all" if len(self.tasks) == len(TASKS) else "-".join(self.tasks)

    @property
    def name(self) -> str:
        """Of its folders."""
        return f"{self.which}-{self.camera}"


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
    """The clips, the encoder and the planned episodes of a scope, each of which is made once.

    Args:
        number: 0 for the first.
        scope: Of its encoder.
        args: Of the command line.
        before: The round before, where the planner went astray.
    """

    def __init__(
        self, number: int, scope: Scope, args: argparse.Namespace, before: "Round | None" = None
    ) -> None:
        self.number = number
        self.scope = scope
        self.args = args
        self.before = before
        self.folder: Path = args.out / f"round{number}"
        self.planned: Path | None = None
        """Of `vipl eval`, the last."""
        self.astray = scope.tasks
        """Tasks for which another round has more clips."""

    @property
    def base(self) -> "Round | None":
        """The round whose clips are added to, and whose encoder is trained on; None: neither."""
        return self.before if self.args.accumulate else None

    @property
    def states(self) -> Path:
        """Folder of the clips as states: at first, cameras share them."""
        return self.folder / "states" / (self.scope.name if self.before else self.scope.which)

    def make(self) -> None:
        """Make the clips and the encoder, if they are not there."""
        self.generate()
        self.train()

    def generate(self) -> None:
        """Make the clips, as states."""
        if (self.states / "index.json").is_file():
            return
        tasks, number = self.scope.tasks, self.args.clips
        more: list[object] = []
        if self.before is not None:
            more += ["--visited", self.before.planned, "--seed", self.number]
        if self.base is not None:
            shutil.copytree(self.base.states, self.states, dirs_exist_ok=True)
            (self.states / "index.json").unlink()  # it is written last
            more += ["--first", number + (self.number - 1) * self.args.new_clips]
            tasks, number = self.base.astray, self.args.new_clips
        vipl(self.folder / "logs" / f"{self.states.name}.txt", "demos", "generate",
             "--quality", "anywhere", "--number", number, "--tasks", *tasks,
             "--far", self.args.far, "--out", self.states, "--workers", 1, *more)  # fmt: skip

    def train(self) -> None:
        """Render the clips as the camera sees them, and train an encoder on them."""
        name = self.scope.name
        clips, run, log = (self.folder / place / name for place in ("clips", "runs", "logs"))
        if (run / "encoder").is_dir():
            return
        log, start = log.with_suffix(".txt"), time.perf_counter()
        onward: list[str] = []
        if self.base is not None:
            shutil.copytree(self.base.folder / "clips" / name, clips, dirs_exist_ok=True)
            steps = self.args.more_steps
            onward = [
                f"model.weights={self.base.folder / 'runs' / name}",
                f"trainer.max_steps={steps}",
                f"trainer.val_check_interval={steps}",
                LATER_RATE,
            ]
        vipl(log, "demos", "render", "--folder", self.states, "--with-shipped",
             "--tasks", *self.scope.tasks, "--cameras", self.scope.camera, *look(),
             "--workers", 1, "--out", clips)  # fmt: skip
        rendered = time.perf_counter()
        vipl(log, "fit", "--config", FIT, f"data.manifest={clips / 'manifest.parquet'}",
             f"run_dir={run}", "threads=1", "data.num_workers=1", "ckpt_path=last",
             *self.args.key, *onward)  # fmt: skip
        spent = (
            f"drawn in {rendered - start:.0f} s, trained in {time.perf_counter() - rendered:.0f} s"
        )
        print(f"round {self.number} {name}: {spent}", flush=True)

    def plan(self, seeds: Sequence[int], controls: Sequence[str] = ()) -> list[Record]:
        """Plan the episodes that have not been planned; return the records of all."""
        args, scope, numbers = self.args, self.scope, [str(seed) for seed in seeds]
        name = (
            f"round{self.number}-{scope.camera}-{scope.which}-seeds-{'-'.join(numbers)}"
            f"-samples-{args.samples}"
        )
        vipl(self.folder / "logs" / f"{name}.txt", "eval", "--config", EVAL,
             "--encoder", self.folder / "runs" / scope.name, "--out", args.out / "results",
             "--run-id", name, f"tasks=[{','.join(scope.tasks)}]", f"cameras=[{scope.camera}]",
             f"seeds=[{','.join(numbers)}]", f"controls=[{','.join(controls)}]",
             f"planner.samples={args.samples}", *([f"steps={args.steps}"] if args.steps else []),
             "--workers", 1)  # fmt: skip
        self.planned = next((args.out / "results").glob(f"frankakitchen-v*/{name}"))
        return latest(read_records(self.planned / RECORDS_FILE)[0])


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


def plan_rounds(scope: Scope, args: argparse.Namespace) -> dict[str, list[Record]]:
    """Return the records of each round."""
    current, records = None, {}
    for number in range(args.rounds + 1):
        current = Round(number, scope, args, current)
        current.make()
        records[f"round {number}"] = current.plan(args.seeds, args.controls)
    return records


def accumulate(scope: Scope, args: argparse.Namespace) -> dict[str, list[Record]]:
    """Return the records of the last encoder."""
    current = Round(0, scope, args)
    current.make()
    for number in range(args.rounds):
        first = OWN_SEEDS + number * OWN_EPISODES
        own = current.plan(range(first, first + OWN_EPISODES))
        failed = {record.task for record in own if not record.metrics["success"]}
        if not failed:
            break
        current.astray = tuple(task for task in scope.tasks if task in failed)
        current = Round(number + 1, scope, args, current)
        current.make()
    print(f"{scope.name}: {current.number} rounds", flush=True)
    return {f"up to {args.rounds} rounds": current.plan(args.seeds, args.controls)}


def list_scopes(args: argparse.Namespace) -> list[Scope]:
    """Return what the encoders are for, by task and then by camera."""
    cameras = list(CAMERAS)
    turn = {task: index + (args.third or 0) for index, task in enumerate(TASKS)}
    pairs = [
        (task, camera)
        for task in args.tasks
        for camera in args.cameras
        if args.third is None or cameras[turn[task] % len(cameras)] == camera
    ]
    if not args.together:
        return [Scope((task,), camera) for task, camera in pairs]
    of_camera = {
        camera: tuple(task for task, own in pairs if own == camera) for camera in args.cameras
    }
    return [Scope(tasks, camera) for camera, tasks in of_camera.items() if tasks]


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
    parser.add_argument(
        "--together", action="store_true", help="one encoder a camera, for all of its tasks"
    )
    parser.add_argument("--accumulate", action="store_true", help="rounds add to those before")
    parser.add_argument("--new-clips", type=int, default=60, help="that such a round adds, a task")
    parser.add_argument("--more-steps", type=int, default=500, help="that such a round trains on")
    args = parser.parse_args()
    if not (scopes := list_scopes(args)):
        parser.error("none of --tasks goes through one of --cameras in this --third")
    run = accumulate if args.accumulate else plan_rounds
    by_states = {scope.which: Round(0, scope, args) for scope in scopes}  # which cameras share
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(Round.generate, by_states.values()))
        of_scope = list(pool.map(partial(run, args=args), scopes))
    results: dict[str, dict[str, Any]] = {}
    for name in of_scope[0]:
        records = list(chain.from_iterable(own[name] for own in of_scope))
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
