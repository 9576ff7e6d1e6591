"""Files of clips that begin anywhere, made by several processes.

Shapes: S state size, V visited states.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vipl.control.environment import Floats
from vipl.errors import UserError
from vipl.evaluation.evaluator import MAIN
from vipl.evaluation.results import RECORDS_FILE, read_records, read_states
from vipl_evaluators.frankakitchen.anywhere import SHARES, Anywhere, Shares
from vipl_evaluators.frankakitchen.demonstrations import write_arrays
from vipl_evaluators.frankakitchen.environment import KitchenEnv
from vipl_evaluators.frankakitchen.processes import run_jobs
from vipl_evaluators.frankakitchen.tasks import TASKS

KIND = "anywhere"

_TRIES = 25  # for a clip
_FIRST = 4  # clips: where none of them is solved, the task is given up


@dataclass(frozen=True)
class Job:
    """One clip to make.

    Attributes:
        task_name: A key of `TASKS`.
        index: Its number among those of its task.
        seed: Of the run.
        output: The file to write.
        runs: Folders of evaluations, in whose states half of the clips begin.
        shares: As `Anywhere` takes them.
    """

    task_name: str
    index: int
    seed: int
    output: Path
    runs: tuple[Path, ...] = ()
    shares: Shares = SHARES


_makers: dict[tuple[str, tuple[Path, ...], Shares], Anywhere] = {}


def make_clip(job: Job) -> tuple[bool, int]:
    """Make and write one clip; return whether a try succeeded, and the number of tries."""
    if (key := (job.task_name, job.runs, job.shares)) not in _makers:
        env = KitchenEnv(TASKS[job.task_name])
        visited = read_visited(job.runs, job.task_name, env.state_size)
        _makers[key] = Anywhere(env, visited, shares=job.shares)
    maker = _makers[key]
    for attempt in range(_TRIES):
        seed = [job.seed, zlib.crc32(job.task_name.encode()), job.index, attempt]
        way = maker.attempt(np.random.default_rng(seed))
        if way is not None:
            states, actions = way
            qpos, qvel = maker.env.qpos(states), maker.env.qvel(states)
            write_arrays(job.output, qpos=qpos, qvel=qvel, action=actions, seed=seed, samples=0)
            return True, attempt + 1
    job.output.unlink(missing_ok=True)  # of another seed
    return False, _TRIES


def read_visited(runs: Sequence[Path], task_name: str, size: int) -> Floats:
    """Read the states that a task's episodes came by, planned with the encoder under test.

    Args:
        runs: Folders of evaluations with protocol=trajopt; none gives no states.
        task_name: A key of `TASKS`.
        size: S, of a state.

    Returns:
        Those of all runs, cameras and seeds, one after the other, [V, S].

    Raises:
        UserError: If a run holds no states of the task, or those of another environment.
    """
    visited = [np.empty((0, size))]
    for run in runs:
        cells = [record.cell for record in read_records(run / RECORDS_FILE)[0]]
        own = [cell for cell in cells if (cell.task, cell.variant) == (task_name, MAIN)]
        found = [states for cell in own if (states := read_states(run, cell)) is not None]
        if not found:
            raise UserError(
                f"{run} holds no states of {task_name}: name folders that vipl eval wrote with "
                "protocol=trajopt and this task"
            )
        if any(states.shape[1:] != (size,) for states in found):
            raise UserError(f"the states in {run} are not those of the kitchen: {found[0].shape}")
        visited += found
    return np.concatenate(visited)


def write_clips(
    out: Path,
    task_name: str,
    *,
    number: int,
    first: int = 0,
    seed: int = 0,
    runs: Sequence[Path] = (),
    shares: Shares = SHARES,
    workers: int = 1,
) -> tuple[int, int]:
    """Write clips of a task to `out/<task>/anywhere_NN.npz`.

    A clip depends on the seed, the runs, the shares and its number alone: neither on how many there
    are, nor on workers.

    Args:
        out: Folder to write to; files of the same names are replaced.
        task_name: A key of `TASKS`.
        number: Of clips; one that 25 tries did not solve is left out.
        first: NN of the first of them.
        seed: Of all that is random.
        runs: Folders of evaluations, in whose states half of the clips begin.
        shares: As `Anywhere` takes them.
        workers: Processes.

    Returns:
        How many were made, and in how many tries; it is given up if none of the first four was.

    Raises:
        UserError: If a process was killed, or a run holds no states of the task.
    """
    if runs:  # what is wrong with them is said before any process is started
        read_visited(runs, task_name, KitchenEnv(TASKS[task_name]).state_size)
    jobs = [
        Job(
            task_name,
            index,
            seed,
            out / task_name / f"{KIND}_{index:02d}.npz",
            tuple(runs),
            shares,
        )
        for index in range(first, first + number)
    ]
    made = tried = 0
    for some in (jobs[:_FIRST], jobs[_FIRST:]):
        title, sizes = f"following demonstrations ({task_name})", [1] * len(some)
        finished = run_jobs(
            make_clip, some, workers=workers, title=title, sizes=sizes, kept="finished ones"
        )
        for _, (solved, tries) in finished if some else ():
            made, tried = made + solved, tried + tries
        if not made:
            break
    return made, tried
