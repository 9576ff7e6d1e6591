"""Makes demonstrations of the pen's task: planning on the ground-truth state, where that solves it.

    python -m vipl_evaluators.adroit.generate --out DIR --number 8

The first begins at the usual start, the others where the package's draws put the target.
"""

import argparse
from itertools import islice
from pathlib import Path

import numpy as np

from vipl.config.paths import path_argument
from vipl.control.environment import Floats
from vipl.control.mppi import Planner
from vipl.control.planning import oracle_score, plan_steps
from vipl.errors import UserError
from vipl_evaluators.adroit.demonstrations import write_demonstration
from vipl_evaluators.adroit.environment import PenEnv
from vipl_evaluators.qualities import Way

PLANNER = Planner(samples=64, horizon_steps=16, noise_std=0.5)

_STEPS = 60
_HELD_STEPS = 8  # that the pen is to point well at the end
_ATTEMPTS = 20  # each at another target, but for the usual start


def generate_demonstrations(
    out: Path, *, number: int, planner: Planner = PLANNER, steps: int = _STEPS
) -> list[Path]:
    """Write `out/pen_NN.npz`; those that are there are kept.

    Args:
        out: Folder to write to.
        number: Of demonstrations.
        planner: How to plan.
        steps: After which an attempt is given up.

    Raises:
        UserError: If one was not solved in twenty attempts.
    """
    env = PenEnv()
    paths = [out / f"pen_{index:02d}.npz" for index in range(number)]
    for index, path in enumerate(paths):
        if path.is_file():
            continue
        for attempt in range(_ATTEMPTS):
            rng = np.random.default_rng([index, attempt])
            start = env.start_states(1, rng)[0] if index else env.start_state()
            way = solve(env, start, planner=planner, steps=steps, rng=rng)
            if way is not None:
                write_demonstration(path, *way)
                print(f"{path}: {len(way[1])} actions, attempt {attempt}", flush=True)
                break
        else:
            raise UserError(f"{path} was not solved in {_ATTEMPTS} attempts; the others are kept")
    env.close()
    return paths


def solve(
    env: PenEnv, start: Floats, *, planner: Planner, steps: int, rng: np.random.Generator
) -> Way | None:
    """Plan until the task has been solved for some steps on end; None where it is not."""
    states: list[Floats] = [start]
    actions: list[Floats] = []
    held = 0
    planned = plan_steps(env, start, oracle_score(env), planner=planner, rng=rng)
    for action, state in islice(planned, steps):
        states.append(state)
        actions.append(action)
        held = held + 1 if env.is_success(state) else 0
        if held == _HELD_STEPS:
            return np.array(states), np.array(actions)
    return None


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=path_argument, required=True, metavar="DIR")
    parser.add_argument(
        "--number", type=int, default=8, metavar="N", help="number of demonstrations (default: 8)"
    )
    args = parser.parse_args()
    generate_demonstrations(args.out, number=args.number)


if __name__ == "__main__":
    main()
