"""What a suite of tasks is: the class that `--suite` names.

An evaluation is a grid of cells. The evaluator lists the cells and runs one; the runner owns
seeds, encoders, processes, resuming and writing.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # it brings torch, which results are read without
    from vipl.models.encoder import Encoder

MAIN = "main"
ORACLE = "oracle"
RANDOM = "random"
RANDOM_GOAL = "random_goal"
SPARSE_REWARD = "sparse_reward"
TRUE_REWARD = "true_reward"
CONTROLS = (ORACLE, RANDOM, RANDOM_GOAL, SPARSE_REWARD, TRUE_REWARD)
BUDGET = "samples="

TRAJOPT, OFFLINE_RL, IMITATION, ONLINE_RL = "trajopt", "offline_rl", "imitation", "online_rl"
CORRELATION, GAIN = "correlation", "gain"


@dataclass(frozen=True)
class Cell:
    """One place of the evaluation grid.

    Attributes:
        task: Name of the task.
        camera: Name of the viewpoint, or None where a suite has none.
        seed: Of everything random in the cell.
        protocol: How the encoder is used, such as "trajopt".
        variant: "main": the encoder under test, as configured. "oracle": the reward of the
            ground-truth state.
            "random": an untrained encoder of the same architecture. "random_goal": the encoder
            under test with another task's goal. "samples=N": it with another planning budget.
            "sparse_reward", "true_reward": its embeddings, rewarded by the ground-truth state:
            1 once the task is solved, or its dense reward.
    """

    task: str
    camera: str | None
    seed: int
    protocol: str
    variant: str = MAIN


@dataclass(frozen=True)
class Outcome:
    """What running a cell gave.

    Attributes:
        metrics: Name to value; the names are those of `Evaluator.metrics_of` the protocol.
        traces: Name to its values over the episode, one a step; lengths may differ.
        info: Anything else worth keeping, made of JSON values.
        frames: A video of the episode, uint8 [T, H, W, 3], or None.
        fps_hz: Of the video.
        states: The states [T + 1, S] of a simulated episode, or None.
        undefined: Metrics that have no value in this cell, such as a correlation with what never
            changes, with the reason. No mean counts them, and `info` keeps the reasons.
    """

    metrics: Mapping[str, float]
    traces: Mapping[str, Sequence[float]] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    frames: NDArray[np.uint8] | None = None
    fps_hz: float = 12.5
    states: NDArray[np.float64] | None = None
    undefined: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """What the user asked for; None means all.

    Attributes:
        tasks: Names.
        cameras: Names.
        seeds: Any integers of 0 or more.
        protocol: One of the evaluator's, or None for its first.
        controls: Of `CONTROLS`.
        budgets: Further numbers of planning samples to run.
        untrained: Whether the weights of the encoder under test are drawn from a cell's seed.
    """

    tasks: Sequence[str] | None = None
    cameras: Sequence[str] | None = None
    seeds: Sequence[int] = (0, 1, 2)
    protocol: str | None = None
    controls: Sequence[str] = (ORACLE, RANDOM, RANDOM_GOAL)
    budgets: Sequence[int] = ()
    untrained: bool = False


class Evaluator(ABC):
    """A suite. Subclass it, and name the class by `--suite module:Class` or an entry point.

    The arguments of the subclass's `__init__` are keys of the configuration: typed, with
    defaults, and documented in its docstring.

    Attributes:
        required: Class attributes that a suite cannot do without.
        version: Goes up when a change can move a result.
        higher_is_better: Every metric, and its direction; the first is the one that tables show.
        protocol_metrics: The same for protocols that have other metrics.
        graded: Metrics that are no yes or no, even where all values happen to be 0 or 1.
        protocols: Name to a line that says what it does; the first is the default.
        labels: Metrics and traces in words, with their units, where the name does not do.
        sections: Protocol to its settings, a frozen dataclass whose fields stand under the
            protocol's name in the configuration; its values are the defaults.
        unheeded: Protocol to the arguments of `__init__` that do not bear on it; records do not
            depend on them.
        unit: What reports call one run of a task.
        sampled_tasks: Whether the tasks are a sample of many alike, such as the clips of a data
            set: then an interval says how much the mean would vary with other tasks, and reports
            show their distribution, not each of them.
        settings: The same as `sections`, with what the user chose; the runner sets it.
        threads: Cores that a cell may use; the runner sets it. No result may depend on it.
        checkpoint: A file for a long cell to keep what it needs to go on after it was killed; the
            runner sets it before each cell, and removes it once the cell has finished.
    """

    required: ClassVar[Sequence[str]] = ("version", "higher_is_better")
    version: ClassVar[int]
    higher_is_better: ClassVar[Mapping[str, bool]]
    protocol_metrics: ClassVar[Mapping[str, Mapping[str, bool]]] = {}
    graded: ClassVar[Sequence[str]] = ()
    protocols: ClassVar[Mapping[str, str]] = {"default": "run every task"}
    labels: ClassVar[Mapping[str, str]] = {}
    sections: ClassVar[Mapping[str, Any]] = {}
    unheeded: ClassVar[Mapping[str, Sequence[str]]] = {}
    unit: ClassVar[str] = "episode"
    sampled_tasks: ClassVar[bool] = False
    settings: Mapping[str, Any] = MappingProxyType({})
    threads: int = 1
    checkpoint: Path | None = None

    @classmethod
    def metrics_of(cls, protocol: str) -> Mapping[str, bool]:
        """Return every metric of a protocol, and its direction; the first is the primary one."""
        return cls.protocol_metrics.get(protocol, cls.higher_is_better)

    @classmethod
    def unit_of(cls, protocol: str) -> str:
        """Return what reports call one run of a task by a protocol."""
        del protocol
        return cls.unit

    @classmethod
    def plans(cls, protocol: str) -> bool:
        """Tell whether `samples` among a protocol's settings, if any, is a planning budget."""
        del protocol
        return True

    def prepare(self) -> None:  # noqa: B027 - most suites need nothing
        """Check what the cells will need of this machine, before any worker is started.

        Raises:
            UserError: If it is not to be had.
        """

    def inputs(self) -> Mapping[str, str]:
        """Return what its arguments only name, such as the hash of a file, by a word for it.

        Records that were made of other inputs are not taken for these.
        """
        return {}

    @abstractmethod
    def tasks(self) -> Mapping[str, str]:
        """Return the tasks: name to a label of a few words."""

    @abstractmethod
    def cells(self, grid: Grid, *, oracle: bool) -> list[Cell]:
        """Return the cells of a grid, in the order in which to run them.

        Args:
            grid: What the user asked for.
            oracle: Whether the encoder under test is the oracle.

        Raises:
            UserError: If a name is unknown to the suite.
        """

    @abstractmethod
    def run_cell(self, cell: Cell, encoder: "Encoder | None", rng: np.random.Generator) -> Outcome:
        """Run one cell, under `torch.inference_mode`, in a process that may run others after it.

        Args:
            cell: One of `cells`.
            encoder: In evaluation mode; None stands for the oracle.
            rng: The only source of randomness; a function of the cell's seed and task.
        """
