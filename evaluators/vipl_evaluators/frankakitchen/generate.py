"""Makes demonstrations: planning on the ground-truth state, retried until the task is solved."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from vipl.console import Console
from vipl.control.environment import Floats
from vipl.control.mppi import Planner
from vipl.control.planning import oracle_score, plan_steps
from vipl.errors import UserError
from vipl.names import choose
from vipl_evaluators.frankakitchen.beginnings import detour, recovery_start
from vipl_evaluators.frankakitchen.demonstrations import (
    KINDS,
    describe,
    load_index,
    read_arrays,
    write_arrays,
    write_index,
)
from vipl_evaluators.frankakitchen.environment import ROBOT_JOINTS, KitchenEnv
from vipl_evaluators.frankakitchen.processes import run_jobs
from vipl_evaluators.frankakitchen.tasks import TASKS
from vipl_evaluators.qualities import Way

# Attempt by attempt: (samples, steps). Most tasks need only the first.
ATTEMPTS = ((32, 80), (64, 100), (64, 100), (128, 100), (128, 100))
_MORE_STEPS = 12
_CLOSE_ENOUGH = 0.03  # object error, as a share of the joint's range: no need to go on


@dataclass(frozen=True)
class Job:
    """One demonstration to make.

    Attributes:
        task_name: A key of `TASKS`.
        kind: One of `KINDS`.
        index: Its number among those of its task and kind.
        poses: Robot poses [K, 9] of demonstrations of the task, for all kinds but starts; the
            first is that of a last state.
        output: The file to write.
        attempts: How often to try.
    """

    task_name: str
    kind: str
    index: int
    poses: Floats | None
    output: Path
    attempts: int

    @property
    def name(self) -> str:
        """Such as "sdoor_open/start_00"."""
        return f"{self.task_name}/{self.kind}_{self.index:02d}"


def generate_demonstrations(
    out: Path,
    *,
    tasks: Sequence[str] | None = None,
    starts: int = 4,
    recoveries: int = 4,
    detours: int = 0,
    knocks: int = 0,
    halfway: int = 0,
    attempts: int = len(ATTEMPTS),
    workers: int = 1,
) -> Path:
    """Make demonstrations into `out/<task>/<kind>_NN.npz` and list them in `out/index.json`.

    Those that are there are kept, so a call that was stopped goes on where it was.

    Args:
        out: Folder to write to.
        tasks: Names, or None for all twelve.
        starts: How many a task from the usual start pose.
        recoveries: How many a task with the arm elsewhere, mostly near the pose in which
            demonstrations end, and the object untouched. Without them the arm's place tells
            whether the task is solved, and an encoder learns the arm.
        detours: How many a task in which the arm, from the usual start pose, first goes by poses
            of no use, also far from any that solve the task. Without them a planner finds poses
            of which the encoder saw nothing, and takes them for progress.
        knocks: How many a task that are detours on which the arm pushes something else away, the
            kettle mostly. Without them a planner finds that it can change the picture so.
        halfway: How many a task that are recoveries in which a part of the object's way is done.
            Without them an encoder may see the last part for a few frames only, and takes an
            object that is nearly there for one that is.
        attempts: How often to try each, with more samples every time.
        workers: Processes.

    Returns:
        The index's path.

    Raises:
        UserError: If a name is unknown, or a demonstration could not be made.
    """
    names = choose("task", tasks, list(TASKS))
    if min(starts, workers) < 1 or min(recoveries, detours, knocks, halfway) < 0:
        raise UserError("--starts and --workers must be 1 or more, the others 0 or more")
    if not 1 <= attempts <= len(ATTEMPTS):
        raise UserError(f"--attempts must be 1 to {len(ATTEMPTS)}")
    make_index = partial(write_index, out, cache(describe))
    unsolved = []
    for kind, number in zip(KINDS, (starts, recoveries, detours, knocks, halfway), strict=True):
        jobs = [
            Job(name, kind, index, _poses(out, name, kind), path, attempts)
            for index in range(number)
            for name in names
            if not (path := out / name / f"{kind}_{index:02d}.npz").is_file()
        ]
        unsolved += _run(jobs, workers, kind, make_index)
    index = make_index()
    if unsolved:
        raise UserError(
            f"not solved in {attempts} attempts each: {', '.join(unsolved)}; the others are "
            f"listed in {index}"
        )
    entries = load_index(out)
    Console(highlight=False, soft_wrap=True).print(f"{index}: {len(entries)} demonstrations")
    return index


def _poses(out: Path, task_name: str, kind: str) -> Floats | None:
    if kind == "start":
        return None
    starts = sorted((out / task_name).glob("start_*.npz"))
    trajectories = [read_arrays(path)["qpos"][:, :ROBOT_JOINTS] for path in starts]
    return np.concatenate([trajectory[::-1] for trajectory in trajectories]) if starts else None


def _run(jobs: Sequence[Job], workers: int, kind: str, make_index: Callable[[], Path]) -> list[str]:
    """Run jobs in processes; return the names of those that were not solved."""
    if not jobs:
        return []
    unsolved = []
    finished = run_jobs(
        make_demonstration,
        jobs,
        workers=workers,
        title=f"planning demonstrations ({kind})",
        sizes=[1] * len(jobs),
        kept="finished demonstrations",
    )
    for job, solved in finished:
        if not solved:
            unsolved.append(job.name)
        make_index()
    return sorted(unsolved)


def make_demonstration(job: Job) -> bool:
    """Make and write one demonstration; return whether it was solved."""
    env = KitchenEnv(TASKS[job.task_name])
    for attempt, (samples, steps) in enumerate(ATTEMPTS[: job.attempts]):
        seed = [zlib.crc32(job.task_name.encode()), KINDS.index(job.kind), job.index, attempt]
        rng = np.random.default_rng(seed)
        ahead, actions_ahead = _begin(env, job, rng)
        solved = solve(env, ahead[-1], Planner(samples=samples), steps, rng)
        if solved is not None:
            states = np.concatenate([ahead[:-1], solved[0]])
            actions = np.concatenate([actions_ahead, solved[1]])
            write_arrays(
                job.output,
                qpos=env.qpos(states),
                qvel=env.qvel(states),
                action=actions,
                seed=seed,
                samples=samples,
            )
            return True
    return False


def _begin(env: KitchenEnv, job: Job, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return what precedes the planner's part: states [K + 1, S] and actions [K, A]."""
    if job.kind in ("detour", "knock"):
        return detour(env, job.poses, rng, knock=job.kind == "knock")
    if job.kind == "start":
        start = env.start_state()
    else:
        start = recovery_start(env, job.poses, rng, halfway=job.kind == "halfway")
    return start[None], np.empty((0, env.action_size))


def solve(
    env: KitchenEnv, start: Floats, planner: Planner, steps: int, rng: np.random.Generator
) -> Way | None:
    """Plan on the ground-truth state until the task is solved, then a little nearer to the goal.

    Returns:
        States [T + 1, S] and actions [T, A], the last state being the nearest to the goal after
        the first success; None where `steps` did not do.
    """
    states: list[Floats] = [start]
    actions: list[Floats] = []
    last = steps
    for action, state in plan_steps(env, start, oracle_score(env), planner=planner, rng=rng):
        states.append(state)
        actions.append(action)
        if last == steps and env.is_success(state):
            last = len(actions) + _MORE_STEPS
        if env.object_error(state) < _CLOSE_ENOUGH or len(actions) >= last:
            break
    return cut(env, np.array(states), np.array(actions))


def cut(env: KitchenEnv, states: Floats, actions: Floats) -> Way | None:
    """Cut a way after its state nearest to the goal; None where it does not solve the task."""
    solved = env.is_success(states)
    if not solved.any():
        return None
    first = int(solved.argmax())
    best = first + int(env.object_error(states[first:]).argmin())
    return states[: best + 1], actions[:best]
