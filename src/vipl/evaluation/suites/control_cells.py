"""The grid of a control suite: which encoder, reward and planner stand in which cell."""

from collections.abc import Iterable, Sequence

from vipl.errors import UserError
from vipl.evaluation.evaluator import (
    BUDGET,
    CONTROLS,
    MAIN,
    ORACLE,
    RANDOM_GOAL,
    SPARSE_REWARD,
    TRUE_REWARD,
    Cell,
    Grid,
)
from vipl.evaluation.protocols.protocol import ControlProtocol
from vipl.names import choose


def control_cells(
    grid: Grid,
    *,
    tasks: Iterable[str],
    cameras: Iterable[str],
    protocols: Sequence[ControlProtocol],
    oracle: bool,
) -> list[Cell]:
    """Return the cells of the encoder under test, then those of its controls.

    Args:
        grid: What the user asked for.
        tasks: Of the suite.
        cameras: Of the suite.
        protocols: Of the suite, with their settings; the first is the default.
        oracle: Whether the encoder under test is the oracle.

    Raises:
        UserError: If a name is unknown, or two keys do not go together.
    """
    known = list(tasks)
    chosen = choose("task", grid.tasks, known)
    views = choose("camera", grid.cameras, cameras)
    named = {protocol.name: protocol for protocol in protocols}
    protocol = named[choose("protocol", [grid.protocol] if grid.protocol else None, named)[0]]
    budgets = _budgets(grid.budgets, protocol)
    controls = _controls(grid.controls, protocol, len(known))
    variants = [MAIN] if oracle else [MAIN, *budgets, *controls]
    return [
        Cell(task, camera, seed, protocol.name, variant)
        for variant in variants
        for seed in grid.seeds
        for task in chosen
        # The ground-truth state looks the same from everywhere.
        for camera in (views[:1] if oracle or variant == ORACLE else views)
    ]


def _budgets(budgets: Sequence[int], protocol: ControlProtocol) -> list[str]:
    if budgets and not protocol.plans:
        raise UserError(f"budgets are of planning samples: they do not go with {protocol.name}")
    return [f"{BUDGET}{budget}" for budget in budgets if budget != protocol.settings.samples]


def _controls(wanted: Sequence[str], protocol: ControlProtocol, tasks: int) -> list[str]:
    controls = choose("control", wanted, CONTROLS) if wanted else []
    for control in (SPARSE_REWARD, TRUE_REWARD):
        if control in controls and not protocol.acts_for_reward:
            raise UserError(
                f"the control {control} goes with protocol=online_rl, not {protocol.name}"
            )
    if RANDOM_GOAL in controls and (tasks < 2 or not protocol.has_goal):
        controls.remove(RANDOM_GOAL)
    return controls
