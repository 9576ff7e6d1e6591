"""Which demonstrations the installed MuJoCo replays, and others in the place of the rest.

Where things touch, versions of MuJoCo differ: actions that open a door with one may leave it shut
with another. Recorded states, and so pictures and goals, are the same with all.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rich.table import Table

from vipl.console import Console
from vipl.control.environment import Floats
from vipl.control.mppi import Planner
from vipl.errors import UserError
from vipl.files import write_atomically
from vipl_evaluators.frankakitchen.anywhere import Walk
from vipl_evaluators.frankakitchen.demonstrations import (
    KINDS,
    Demonstration,
    select,
    write_arrays,
    write_index,
)
from vipl_evaluators.frankakitchen.environment import ARM_JOINTS, KitchenEnv
from vipl_evaluators.frankakitchen.generate import ATTEMPTS, cut, solve
from vipl_evaluators.frankakitchen.placement import TOUCHED, object_moved
from vipl_evaluators.frankakitchen.processes import run_jobs
from vipl_evaluators.frankakitchen.tasks import TASKS
from vipl_evaluators.qualities import Way

_RETRACED, _NOISE = 8, 0.15

_kitchen = cache(lambda task_name: KitchenEnv(TASKS[task_name]))


@dataclass(frozen=True)
class Job:
    """One demonstration to replay.

    Attributes:
        demonstration: To replay.
        output: File for another in its place; None to replay it only.
    """

    demonstration: Demonstration
    output: Path | None = None


def verify_demonstrations(
    *,
    tasks: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    folder: Path | None = None,
    replan: Path | None = None,
    workers: int = 1,
) -> None:
    """Replay demonstrations open loop, and say which end as they were recorded.

    Args:
        tasks: Names, or None for all twelve.
        kinds: Some of `KINDS` and `QUALITY_KINDS`, or None for all.
        folder: Of demonstrations that `vipl demos generate` made, None for the package's.
        replan: Folder to write a whole set to: those that end as they were recorded, and others
            that begin where the rest do. What it holds already is kept, where it replays here.
        workers: Processes.

    Raises:
        UserError: On an unknown name, or where some do not end so, and are not re-planned.
    """
    if workers < 1:
        raise UserError(f"--workers is {workers}, expected 1 or more")
    demos = select(tasks=tasks, kinds=kinds, folder=folder)
    others = sorted({demo.kind for demo in demos} - set(KINDS))
    if replan and others:
        raise UserError(
            f"--replan is of the kinds {', '.join(KINDS)}, not {', '.join(others)}: name --kinds, "
            "and make those anew by `vipl demos generate --quality`"
        )
    failed = _run([Job(demo) for demo in demos], workers, title="replaying demonstrations")
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{_described(demos)}: {len(demos) - len(failed)} of {len(demos)} end as recorded when "
        f"mujoco {version('mujoco')} replays their actions"
    )
    if failed:
        console.print(_table(demos, failed))
    if replan:
        _replan(demos, failed, replan, workers)
    elif failed:
        raise UserError(
            f"{len(failed)} of {len(demos)} demonstrations end otherwise with mujoco "
            f"{version('mujoco')}; what is rendered and every goal are recorded states, and the "
            "same. To replay or export them, make others in their place: "
            "`vipl demos verify --replan DIR`, then name --folder DIR"
        )


def _run(jobs: Sequence[Job], workers: int, *, title: str) -> list[str]:
    """Run jobs in processes; return the names of those that ended with nothing that replays."""
    finished = run_jobs(
        run_job,
        jobs,
        workers=workers,
        title=title,
        sizes=[job.demonstration.frames for job in jobs],
        kept="finished demonstrations",
    )
    failed = {job.demonstration.name for job, replays in finished if not replays} if jobs else ()
    return [job.demonstration.name for job in jobs if job.demonstration.name in failed]


def _replan(demos: Sequence[Demonstration], failed: Sequence[str], out: Path, workers: int) -> None:
    files = {demo.name: out / f"{demo.name}.npz" for demo in demos}
    for demo in demos:
        if demo.name not in failed:
            write_atomically(files[demo.name], partial(shutil.copyfile, demo.path))
    left = [Job(demo, files[demo.name]) for demo in demos if demo.name in failed]
    unsolved = _run(left, workers, title="re-planning demonstrations")
    index = write_index(out)
    if unsolved:
        raise UserError(
            f"not solved in {len(ATTEMPTS)} attempts each: {', '.join(unsolved)}; the others are "
            f"listed in {index}"
        )
    Console(highlight=False, soft_wrap=True).print(
        f"{index}: {len(demos)} demonstrations that replay here, {len(failed)} of them anew; name "
        f"--folder {out}"
    )


def _described(demos: Sequence[Demonstration]) -> str:
    return f"recorded with mujoco {', '.join(sorted({demo.mujoco for demo in demos}))}"


def _table(demos: Sequence[Demonstration], failed: Sequence[str]) -> Table:
    table = Table("task", "replayed", "not solved", title_justify="left")
    for task in dict.fromkeys(demo.task_name for demo in demos):
        names = [name.partition("/")[2] for name in failed if name.startswith(f"{task}/")]
        total = sum(demo.task_name == task for demo in demos)
        table.add_row(task, f"{total - len(names)} of {total}", ", ".join(names))
    return table


def run_job(job: Job) -> bool:
    """Replay one demonstration, or make another; return whether there is one that replays.

    Runs in a process of its own.
    """
    demo, output = job.demonstration, job.output
    env = _kitchen(demo.task_name)
    if output is None:
        return replays(env, demo)
    made = output.is_file() and replays(env, replace(demo, folder=output.parents[1]))
    return made or _write(env, demo, output)


def replays(env: KitchenEnv, demo: Demonstration) -> bool:
    """Return whether its actions, one after another, end as it was recorded."""
    return bool(env.is_success(replay(env, demo)[-1])) == demo.ends_solved


def replay(env: KitchenEnv, demo: Demonstration) -> Floats:
    """Return the states [T + 1, S] that its actions lead to from its first."""
    first = env.state(demo.arrays["qpos"][0], demo.arrays["qvel"][0])
    return np.concatenate([first[None], env.rollout(first, demo.arrays["action"][None])[0]])


def _write(env: KitchenEnv, demo: Demonstration, output: Path) -> bool:
    """Solve the task from where a demonstration begins, and write how."""
    for samples, seed, way in _ways(env, demo):
        if way is not None:
            states, actions = way
            qpos, qvel = env.qpos(states), env.qvel(states)
            write_arrays(output, qpos=qpos, qvel=qvel, action=actions, seed=seed, samples=samples)
            return True
    return False


def _ways(env: KitchenEnv, demo: Demonstration) -> Iterator[tuple[int, list[int], Way | None]]:
    """Try one thing after another: yield the planner's samples, the seed, and what came of it."""
    for attempt in range(_RETRACED):  # a second each
        seed = [*demo.seed[:-1], attempt]
        noise = _NOISE * (attempt > 0)
        yield 0, seed, retrace(env, demo, noise=noise, rng=np.random.default_rng(seed))
    for attempt, (samples, steps) in enumerate(ATTEMPTS):  # minutes
        seed = [*demo.seed[:-1], attempt]
        planner = Planner(samples=samples)
        yield samples, seed, _plan(env, demo, planner, steps, np.random.default_rng(seed))


def retrace(
    env: KitchenEnv, demo: Demonstration, *, noise: float, rng: np.random.Generator
) -> Way | None:
    """Repeat its actions, corrected towards its poses; None where that does not solve the task.

    Noise of this standard deviation is added to the actions: there is often a way close by.
    """
    walk = Walk(env, replay(env, demo)[0])
    for qpos, action in zip(demo.arrays["qpos"], demo.arrays["action"], strict=False):
        walk.act(action + rng.normal(scale=noise, size=len(action)), qpos[:ARM_JOINTS])
    return cut(env, *walk.way())


def _plan(
    env: KitchenEnv, demo: Demonstration, planner: Planner, steps: int, rng: np.random.Generator
) -> Way | None:
    """Plan anew: from the first state, but after a detour, which touches nothing of the task's."""
    states, kept = replay(env, demo), 0
    if demo.kind in ("detour", "knock"):
        moved = object_moved(env, states, env.task.start) > TOUCHED
        kept = max(int(moved.argmax()) - 1, 0) if moved.any() else len(states) - 1
    solved = solve(env, states[kept], planner, steps, rng)
    if solved is None:
        return None
    actions = np.concatenate([demo.arrays["action"][:kept], solved[1]])
    return np.concatenate([states[:kept], solved[0]]), actions
