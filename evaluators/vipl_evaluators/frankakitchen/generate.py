"""Makes demonstrations: planning on the true state, retried until the task is solved."""

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from vipl.control.environment import Floats
from vipl.control.mppi import Planner, improve, next_mean, still_plan
from vipl.errors import UserError
from vipl.files import write_atomically
from vipl.names import choose
from vipl_evaluators.frankakitchen.demonstrations import load_index
from vipl_evaluators.frankakitchen.environment import ROBOT_JOINTS, KitchenEnv
from vipl_evaluators.frankakitchen.processes import run_jobs
from vipl_evaluators.frankakitchen.tasks import TASKS

KINDS = ("start", "recovery")

# Attempt by attempt: (samples, steps). Most tasks need only the first.
_ATTEMPTS = ((32, 80), (64, 100), (64, 100), (128, 100), (128, 100))
_MORE_STEPS = 12
_CLOSE_ENOUGH = 0.03  # object error, as a share of the joint's range: no need to go on
_HOLD_OUT_EVERY = 4


@dataclass(frozen=True)
class Job:
    """One demonstration to make.

    Attributes:
        task_name: A key of `TASKS`.
        kind: "start" or "recovery".
        index: Its number among those of its task and kind.
        poses: Robot poses [K, 9] of demonstrations of the task, for recoveries; the first is
            that of a last state.
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
    attempts: int = len(_ATTEMPTS),
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
        attempts: How often to try each, with more samples every time.
        workers: Processes.

    Returns:
        The index's path.

    Raises:
        UserError: If a name is unknown, or a demonstration could not be made.
    """
    names = choose("task", tasks, list(TASKS))
    if starts < 1 or recoveries < 0 or workers < 1 or not 1 <= attempts <= len(_ATTEMPTS):
        raise UserError(
            "--starts and --workers must be 1 or more, --recoveries 0 or more, "
            f"--attempts 1 to {len(_ATTEMPTS)}"
        )
    make_index = partial(write_index, out)
    unsolved = []
    for kind, number in zip(KINDS, (starts, recoveries), strict=True):
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
    trajectories = [_read(path)["qpos"][:, :ROBOT_JOINTS] for path in starts]
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
        killed="a planning process was killed, perhaps for want of memory: call this again with "
        "fewer --workers, finished demonstrations are kept",
    )
    for job, solved in finished:
        if not solved:
            unsolved.append(job.name)
        make_index()
    return sorted(unsolved)


def make_demonstration(job: Job) -> bool:
    """Make and write one demonstration; return whether it was solved."""
    env = KitchenEnv(TASKS[job.task_name])
    for attempt, (samples, steps) in enumerate(_ATTEMPTS[: job.attempts]):
        seed = [zlib.crc32(job.task_name.encode()), KINDS.index(job.kind), job.index, attempt]
        rng = np.random.default_rng(seed)
        start = env.start_state() if job.kind == "start" else recovery_start(env, job.poses, rng)
        solved = solve(env, start, Planner(samples=samples), steps, rng)
        if solved is not None:
            states, actions = solved
            save = partial(
                np.savez_compressed,
                qpos=env.qpos(states),
                qvel=env.qvel(states),
                action=actions,
                seed=np.array(seed),
                samples=np.array(samples),
            )
            write_atomically(job.output, save)
            return True
    return False


def recovery_start(
    env: KitchenEnv, poses: Floats | None, rng: np.random.Generator, *, trials: int = 100
) -> Floats:
    """Return a state [S] with the arm elsewhere and the object where the task begins.

    In two of three the arm is near the pose in which a demonstration ends, else near any pose
    of one. It stands still, and settling for half a second does not move the object.

    Raises:
        UserError: If no such state is found, or there are no poses to start from.
    """
    if poses is None:
        raise UserError(f"{env.task.name}: recoveries need a start demonstration, make that first")
    noise = 0.1
    for _ in range(trials):
        pose = poses[0] if rng.random() < 2 / 3 else poses[rng.integers(len(poses))]
        qpos = env.start_qpos()
        qpos[: ROBOT_JOINTS - 2] = pose[:-2] + rng.normal(scale=noise, size=ROBOT_JOINTS - 2)
        qpos[:ROBOT_JOINTS] = np.clip(qpos[:ROBOT_JOINTS], *env.model.jnt_range[:ROBOT_JOINTS].T)
        settled = env.rollout(env.state(qpos), np.zeros((1, 6, env.action_size)))[0, -1]
        moved = abs(env.qpos(settled)[env.task.qpos_index] - env.task.start)
        others = np.abs(env.qpos(settled) - env.start_qpos())[ROBOT_JOINTS:]
        still = np.abs(env.qvel(settled)[:ROBOT_JOINTS]).max() < 0.5
        if moved < 0.03 * env.task.joint_range and others.max() < 0.1 and still:
            return env.state(env.qpos(settled), env.qvel(settled))
        noise *= 1.03  # a pose that touches something: look farther away
    raise UserError(f"{env.task.name}: no free pose near its demonstrations in {trials} trials")


def solve(
    env: KitchenEnv, start: Floats, planner: Planner, steps: int, rng: np.random.Generator
) -> tuple[Floats, Floats] | None:
    """Plan on the true state until the task is solved, then a little nearer to the goal.

    Returns:
        States [T + 1, S] and actions [T, A], the last state being the nearest to the goal after
        the first success; None where `steps` did not do.
    """
    states: list[Floats] = [start]
    actions: list[Floats] = []
    plan, last = still_plan(planner, env.action_size), steps
    while len(actions) < last:
        state = states[-1]
        plan = improve(plan, partial(_score, env, state), planner, rng)
        states.append(env.rollout(state, plan[None, :1])[0, 0])
        actions.append(plan[0])
        plan = next_mean(plan, planner)
        if last == steps and env.is_success(states[-1]):
            last = len(actions) + _MORE_STEPS
        if env.object_error(states[-1]) < _CLOSE_ENOUGH:
            break
    trajectory = np.array(states)
    solved = env.is_success(trajectory)
    if not solved.any():
        return None
    first = int(solved.argmax())
    best = first + int(env.object_error(trajectory[first:]).argmin())
    return trajectory[: best + 1], np.array(actions[:best])


def _score(env: KitchenEnv, state: Floats, plans: Floats) -> Floats:
    return np.asarray(env.true_reward(env.rollout(state, plans)).sum(axis=1))


def write_index(out: Path) -> Path:
    """List the demonstrations that a folder holds in its `index.json`; return its path."""
    paths = sorted(out.glob("*/*.npz"))
    order = {name: place for place, name in enumerate(TASKS)}
    lines = [
        json.dumps(_entry(path))
        for path in sorted(paths, key=lambda path: (order[path.parent.name], path.name[0] == "r"))
    ]
    text = "[\n" + ",\n".join(f"  {line}" for line in lines) + "\n]\n"
    index = out / "index.json"
    write_atomically(index, lambda path: path.write_text(text))
    return index


def _entry(path: Path) -> dict[str, object]:
    arrays = _read(path)
    kind, number = path.stem.split("_")
    task = TASKS[path.parent.name]
    solved = task.is_success(arrays["qpos"][:, task.qpos_index])
    return {
        "name": f"{task.name}/{path.stem}",
        "task": task.name,
        "kind": kind,
        "frames": len(arrays["qpos"]),
        "first_success": int(solved.argmax()),
        "split": "val" if int(number) % _HOLD_OUT_EVERY == _HOLD_OUT_EVERY - 1 else "train",
        "seed": arrays["seed"].tolist(),
        "samples": int(arrays["samples"]),
    }


def _read(path: Path) -> dict[str, Floats]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
