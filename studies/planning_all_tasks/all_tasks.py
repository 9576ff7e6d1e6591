"""Planning by the visual reward alone, with encoders trained for the kitchen's tasks and cameras.

`python -m studies.planning_all_tasks.all_tasks` makes clips of each task that begin anywhere,
trains configs/fit/in_domain.yaml on them and the demonstrations that ship, as each camera sees
them, and plans with every encoder where it belongs (configs/eval/in_domain.yaml: hard setting, 32
samples). Twelve tasks, three cameras and three seeds of the planner are the paper's 108 runs.
`--third K` takes each task through one camera, four tasks a camera; K from 0 to 2 takes all of them
in turn. With `--rounds N` that is done again N times, half of the clips then beginning where the
planner went the time before with the encoder of that task and camera. With `--accumulate` a round
adds fewer clips to those before it, and trains their encoder on for fewer steps, until it solves
two episodes of each task that are its own, their seeds not among `--seeds`, or N rounds are over;
only tasks of which one failed have more clips. The last encoder alone is measured. With `--choose
N` as well, up to N encoders are trained on the first clips, each with another seed, until one
solves its own episodes; if none does, rounds go on from the one that did best, and of all that were
made the one that did best in its own episodes is measured. With `--together` one encoder is trained
for all tasks of a camera. What is finished is kept, so it can be stopped and called again, with
more tasks, cameras, seeds or rounds; clips of a round that are there are not made anew. `KEY=VALUE`
changes keys of the training; steps and rate of rounds that train on are their own.

The interval of the aggregate resamples the pairs of task and camera: 95%, percentile bootstrap.
Each pair has one encoder; with `--together` those of a camera share it, and the interval does not
tell what another training would give.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.machine import machine
from studies.planning_all_tasks.rounds import Round, Scope, accumulate, plan_rounds

from vipl.evaluation.evaluator import MAIN
from vipl.evaluation.intervals import bootstrap_mean
from vipl.evaluation.results import Record
from vipl_evaluators.frankakitchen.scene import CAMERAS
from vipl_evaluators.frankakitchen.tasks import TASKS


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
    parser.add_argument(
        "--choose", type=int, default=0, metavar="N", help="measure the best, of N first trainings"
    )
    parser.add_argument("--new-clips", type=int, default=60, help="that such a round adds, a task")
    parser.add_argument("--more-steps", type=int, default=500, help="that such a round trains on")
    args = parser.parse_args()
    if not (scopes := list_scopes(args)):
        parser.error("none of --tasks goes through one of --cameras in this --third")
    if min(args.rounds, args.choose) < 0:
        parser.error("--rounds and --choose are numbers from 0 on")
    if args.choose and not args.accumulate:
        parser.error("--choose goes with --accumulate: rounds from scratch are each measured")
    run = accumulate if args.accumulate else plan_rounds
    by_states = {scope.which: Round(scope, args) for scope in scopes}  # which cameras share
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
