"""Why planned episodes of the kitchen ended unsolved: what the distance says where they stopped.

`python -m studies.planning_all_tasks.failures RUN...` takes what `vipl eval --suite frankakitchen`
wrote with `protocol=trajopt`, and asks four things about each episode that did not end solved:

- does the encoder see the object? How many pixels of what enters the network does it change, from
  its start to its goal? Then the arm is put near its pose in the goal's picture, many times, the
  object once at its start and once at its goal: how often the former is farther ("sees"; one half
  is chance), and how far the two are (medians);
- how far is the last state, and the best of many plans that a planner could try from there?
- is there a way? Training demonstrations are followed from the last state, without planning, and of
  the ways that solve the task the shortest is taken;
- what does the distance do along it: after how many steps is it lower than the last state's, by a
  tenth and for good, and how high does it rise before that, as a share of the last state's?

Last line: JSON.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from benchmarks.machine import machine
from numpy.typing import NDArray

from vipl.control.environment import Floats
from vipl.control.mppi import Planner, sample_plans, still_plan
from vipl.control.opengl import choose_backend
from vipl.errors import UserError
from vipl.evaluation.earlier_keys import as_now
from vipl.evaluation.evaluator import MAIN, Cell
from vipl.evaluation.reports.statistics import latest
from vipl.evaluation.results import RECORDS_FILE, Record, read_records, read_states
from vipl.evaluation.run_file import RUN_FILE
from vipl.evaluation.running.encoders import read_encoders
from vipl.rewards import GoalReward, as_images
from vipl_evaluators.frankakitchen.anywhere import Anywhere
from vipl_evaluators.frankakitchen.environment import ARM_JOINTS, KitchenEnv
from vipl_evaluators.frankakitchen.evaluator import FrankaKitchen
from vipl_evaluators.frankakitchen.placement import settle

_POSE_RADIANS = 0.1  # standard deviation of a joint, about its place in the goal's picture
_DIFFERENT = 15  # levels of 255, in any channel
_LOWER = 0.9  # of the last state's distance: that much lower is progress


class Failure(NamedTuple):
    """What was asked about an episode; distances are those of its encoder.

    Attributes:
        episode: Task, camera and seed.
        pixels: That differ where the object alone is moved from its start to its goal.
        start: Distance of the first state.
        end: Of the last one.
        best_plan: Of the last state of the best plan from there.
        untouched: Median of the arm near its pose in the goal's picture, the object at its start.
        solved: The same, the object at its goal.
        sees: How often the former is farther, of all pairs of the two; None where there is none.
        way_steps: Of the shortest way that solves the task from the last state; None: none found.
        lower_after: Steps of that way until it is a tenth lower than the last state's, for good;
            None: it never is.
        rise: Highest distance on it until then, as a share of the last state's.
    """

    episode: str
    pixels: int
    start: float
    end: float
    best_plan: float
    untouched: float | None
    solved: float | None
    sees: float | None
    way_steps: int | None
    lower_after: int | None
    rise: float | None


class Viewer:
    """One task through one camera, as an encoder sees it.

    Args:
        run: What `run.json` of the evaluation says.
        cell: Of it; its task and camera are meant.

    Raises:
        UserError: If the encoder is no longer there, or is another one.
    """

    def __init__(self, run: dict[str, Any], cell: Cell) -> None:
        spec = read_encoders(run["encoder"]["source"], [cell]).of(cell)
        if spec.sha256 != (run["encoder"]["sha256"] or run["encoder"]["sha256s"][spec.source]):
            raise UserError(
                f"{spec.source} is not the encoder that {run['run_id']} was planned with"
            )
        encoder = spec.build(MAIN, 0)
        assert encoder is not None
        self._encoder = encoder
        config = as_now("trajopt", run["config"])
        looks = {name: config[name] for name in ("image_size", "offsamples", "mesh_grid_m")}
        suite = FrankaKitchen(**looks)
        suite.prepare()
        self.env: KitchenEnv = suite.make_env(cell.task)
        self.goal = suite.goal(cell.task, self.env).states[-1]
        assert cell.camera is not None
        self.camera = cell.camera
        self.planner = Planner(**config["trajopt"])
        picture = self.env.render(self.goal[None], self.camera)
        self._reward = GoalReward(encoder, as_images(picture))

    def distances(self, states: Floats) -> Floats:
        """Return how far states [N, S] are from the goal's picture, [N]."""
        values = self._reward.value(as_images(self.env.render(states, self.camera)))
        return -values.double().cpu().numpy()

    def pixels(self) -> int:
        """Return how many pixels differ where the object alone is at its start and at its goal."""
        (states,) = self.env.place_object(self.env.start_state()[None], np.array([0.0, 1.0]))
        pictures = self._encoder.preprocess(as_images(self.env.render(states, self.camera))).int()
        return int(((pictures[0] - pictures[1]).abs().amax(0) > _DIFFERENT).sum())

    def near_goal(self, place: float, number: int, rng: np.random.Generator) -> Floats:
        """Return how far the object at a place is with the arm near the goal's pose, [up to N]."""
        arm = self.env.qpos(self.goal)[:ARM_JOINTS]
        poses = arm + rng.normal(scale=_POSE_RADIANS, size=(number, ARM_JOINTS))
        states = [settle(self.env, pose, place) for pose in poses]
        free = [state for state in states if state is not None]
        return self.distances(np.array(free)) if free else np.empty(0)


def ask(viewer: Viewer, record: Record, states: Floats, *, poses: int, plans: int) -> Failure:
    """Ask about one episode that visited states [T + 1, S]."""
    env, rng = viewer.env, np.random.default_rng(record.seed)
    untouched = viewer.near_goal(env.task.start, poses, rng)
    solved = viewer.near_goal(env.task.goal, poses, rng)
    last = env.state(env.qpos(states[-1]), env.qvel(states[-1]))
    planner = replace(viewer.planner, samples=plans)
    tried = sample_plans(still_plan(planner, env.action_size), planner, rng)
    start, end = viewer.distances(np.stack([states[0], last]))
    steps = rise = lower_after = None
    ways = sorted(Anywhere(env).ways(last, rng), key=lambda way: len(way[0]))
    if ways:
        steps = len(ways[0][0]) - 1
        seen = viewer.distances(ways[0][0])
        lower_after = first_for_good(seen < _LOWER * end)
        rise = float(seen[:lower_after].max() / end)
    both = len(untouched) and len(solved)
    return Failure(
        f"{record.task} {record.camera} {record.seed}",
        viewer.pixels(),
        float(start),
        float(end),
        float(viewer.distances(env.rollout(last, tried)[:, -1]).min()),
        float(np.median(untouched)) if len(untouched) else None,
        float(np.median(solved)) if len(solved) else None,
        float((untouched[:, None] > solved).mean()) if both else None,
        steps,
        lower_after,
        rise,
    )


def first_for_good(true: Sequence[bool] | NDArray[np.bool_]) -> int | None:
    """Return from where on all are true; None if the last is not."""
    last_false = max((index for index, value in enumerate(true) if not value), default=-1)
    return last_false + 1 if last_false + 1 < len(true) else None


def failures(runs: Sequence[Path], *, poses: int, plans: int) -> Iterator[Failure]:
    """Ask about all unsolved episodes of runs.

    Raises:
        UserError: If a run is no evaluation of this suite that kept states.
    """
    for folder in runs:
        if not (folder / RUN_FILE).is_file():
            raise UserError(f"{folder} is no run of vipl eval: it has no {RUN_FILE}")
        run = json.loads((folder / RUN_FILE).read_text())
        if (run["suite"]["name"], run["protocol"]) != ("frankakitchen", "trajopt"):
            raise UserError(f"{folder} is no planning (protocol=trajopt) of the frankakitchen")
        if run["config"]["goal_image"] is not None:
            raise UserError(
                f"{folder} was planned to a picture (goal_image), not to the suite's goal"
            )
        for record in latest(read_records(folder / RECORDS_FILE)[0]):
            states = read_states(folder, record.cell)
            if record.variant != MAIN or states is None or record.metrics["success"]:
                continue
            viewer = Viewer(run, record.cell)
            yield ask(viewer, record, states, poses=poses, plans=plans)
            viewer.env.close()


def shown(value: float | None) -> str:
    """Return a number in few digits, or a dash."""
    return "-" if value is None else f"{value:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of vipl eval")
    parser.add_argument("--poses", type=int, default=24, help="of the arm, near the goal's")
    parser.add_argument("--plans", type=int, default=256, help="tried where an episode ended")
    args = parser.parse_args()
    torch.set_num_threads(1)
    choose_backend()
    asked = []
    print("| episode |", " | ".join(Failure._fields[1:]), "|")
    print("| --- " * len(Failure._fields) + "|")
    try:
        for failure in failures(args.runs, poses=args.poses, plans=args.plans):
            asked.append(failure._asdict())
            print(f"| {failure.episode} | {' | '.join(map(shown, failure[1:]))} |", flush=True)
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
    print(json.dumps({"name": "planning_failures", "episodes": asked, "machine": machine()}))


if __name__ == "__main__":
    main()
