"""Control suites: an environment for each task and where its goal comes from is all they say."""

import inspect
import zlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from vipl.control.environment import ControlEnv, Floats
from vipl.control.meshes import check_grid
from vipl.control.opengl import choose_backend
from vipl.control.trajectories import Trajectory
from vipl.data.decoding.pictures import read_picture
from vipl.errors import UserError
from vipl.evaluation.evaluator import RANDOM_GOAL, Cell, Evaluator, Grid, Outcome
from vipl.evaluation.protocols.correlation import Correlation
from vipl.evaluation.protocols.dataset import Dataset
from vipl.evaluation.protocols.gain import Gain
from vipl.evaluation.protocols.minari_trajectories import load_trajectories
from vipl.evaluation.protocols.online_learning import OnlineRL
from vipl.evaluation.protocols.policy_learning import Imitation, OfflineRL
from vipl.evaluation.protocols.protocol import Begin, ControlProtocol, Goal, View
from vipl.evaluation.protocols.trajopt import TrajectoryOptimisation
from vipl.evaluation.suites.control_cells import control_cells
from vipl.models.encoder import Encoder
from vipl.rewards.goal import GoalReward, as_images

PROTOCOLS: Sequence[ControlProtocol] = (
    TrajectoryOptimisation(),
    OfflineRL(),
    Imitation(),
    OnlineRL(),
    Correlation(),
    Gain(),
)
"""Of every control suite; the first is the default."""

_EASY_FRAME = 20


class ControlEvaluator(Evaluator):
    """A suite of control tasks, with every protocol, control, video and error curve.

    A subclass says how to make a task's environment and where its goal comes from. Settings of
    protocols are in `settings`.

    Args:
        setting: "hard": from the start of the goal's trajectory. "easy": from its frame 20, or
            half-way to its first success where that comes before. Policies learnt from
            trajectories begin at the start in both.
        steps: Length of an episode, instead of the setting's.
        image_size: Side of the pictures, in pixels.
        offsamples: Samples a pixel against jagged edges; 0 renders fastest.
        goal_image: A picture to use instead of the rendered goal; {task} and {camera} in its
            path are filled in.
        mesh_grid_m: Draw large meshes with their vertices merged in a grid of this width in metres,
            which is faster; 0.006 suits the kitchen. By default they are drawn as they are.

    Attributes:
        cameras: Names of the viewpoints.
        default_steps: Length of an episode, by setting.
        more_protocols: Protocols of the suite's own, beside vipl's.
        own_protocols: All of them, by name.
    """

    required: ClassVar[Sequence[str]] = (*Evaluator.required, "cameras")
    cameras: ClassVar[Sequence[str]]
    default_steps: ClassVar[Mapping[str, int]] = {"easy": 50, "hard": 100}
    higher_is_better: ClassVar[Mapping[str, bool]] = {
        "success": True,
        "ever_success": True,
        "best_success": True,
    }
    more_protocols: ClassVar[Sequence[ControlProtocol]] = ()
    own_protocols: ClassVar[Mapping[str, ControlProtocol]] = {one.name: one for one in PROTOCOLS}
    labels: ClassVar[Mapping[str, str]] = {
        "success": "solved at the end",
        "ever_success": "solved at any step",
        "best_success": "solved at the end, by the best policy on the way",
        "distance": "embedding distance to the goal",
    }

    def __init_subclass__(cls, **options: Any) -> None:
        """Add the suite's own protocols to those of the class above."""
        super().__init_subclass__(**options)
        if "dataset" not in inspect.signature(cls.make_trajectories).parameters:  # version 0.1's
            raise UserError(
                f"{cls.__name__}.make_trajectories must take the data set, too: "
                "def make_trajectories(self, task, env, dataset, *, seed=0)"
            )
        cls.own_protocols = {**cls.own_protocols, **{one.name: one for one in cls.more_protocols}}
        ours = cls.own_protocols.values()
        cls.protocols = {one.name: one.summary for one in ours}
        cls.sections = {one.name: one.settings for one in ours if one.settings is not None}
        cls.unheeded = {one.name: one.unheeded for one in ours}
        cls.protocol_metrics = {one.name: one.metrics for one in ours if one.metrics}
        cls.graded = tuple(name for one in ours for name in one.metrics)
        cls.labels = {**{k: v for one in ours for k, v in one.labels.items()}, **cls.labels}

    def __init__(
        self,
        *,
        setting: Literal["easy", "hard"] = "hard",
        steps: int | None = None,
        image_size: int = 224,
        offsamples: int = 0,
        goal_image: str | None = None,
        mesh_grid_m: float | None = None,
    ) -> None:
        if steps is not None and steps < 1:
            raise UserError(f"steps is {steps}, expected 1 or more")
        if image_size < 16 or image_size % 2:
            raise UserError(f"image_size is {image_size}, expected an even number, 16 or more")
        check_grid(mesh_grid_m)
        self.setting = setting
        self.steps = steps or self.default_steps[setting]
        self.image_size = image_size
        self.offsamples = offsamples
        self.goal_image = goal_image
        self.mesh_grid_m = mesh_grid_m
        self._current: tuple[str, ControlEnv] | None = None

    @classmethod
    def unit_of(cls, protocol: str) -> str:
        """Return the protocol's word, or else the suite's."""
        return cls.own_protocols[protocol].unit or cls.unit

    @classmethod
    def plans(cls, protocol: str) -> bool:
        """Tell what the protocol says."""
        return cls.own_protocols[protocol].plans

    @abstractmethod
    def make_env(self, task: str) -> ControlEnv:
        """Make the environment of a task; `env_options` are to be handed on to a `MujocoEnv`."""

    @property
    def env_options(self) -> dict[str, Any]:
        """What a `MujocoEnv` is to be made with: image_size, offsamples, threads, and mesh_grid_m.

        The last only where it is set: an environment may know of the others alone.
        """
        names = ["image_size", "offsamples", "threads"]
        if self.mesh_grid_m is not None:
            names.append("mesh_grid_m")
        return {name: getattr(self, name) for name in names}

    @abstractmethod
    def goal(self, task: str, env: ControlEnv) -> Goal:
        """Return the goal of a task; its environment helps to make states."""

    def make_trajectories(
        self, task: str, env: ControlEnv, dataset: Dataset, *, seed: int = 0
    ) -> list[Trajectory]:
        """Make the suite's own trajectories of a task.

        Args:
            task: Its name.
            env: Of the task.
            dataset: How many they are to be, and how good.
            seed: Of all that is random in them; policies are learnt from those of seed 0.

        Raises:
            UserError: By default: there are none.
        """
        raise UserError(
            "the suite has no trajectories of its own: name a Minari data set by the protocol's "
            "dataset.path"
        )

    def prepare(self) -> None:
        """Find out what to render with."""
        choose_backend()

    def cells(self, grid: Grid, *, oracle: bool) -> list[Cell]:
        """Return the cells of the encoder under test, then those of its controls."""
        return control_cells(
            grid,
            tasks=self.tasks(),
            cameras=self.cameras,
            protocols=[self.protocol(name) for name in self.own_protocols],
            oracle=oracle,
        )

    def run_cell(self, cell: Cell, encoder: Encoder | None, rng: np.random.Generator) -> Outcome:
        """Plan one episode, learn a policy and run some, or measure trajectories or plans."""
        env = self._env(cell.task)
        goal = self.goal(cell.task, env)
        if not env.is_success(goal.states[-1]):
            raise UserError(f"{cell.task}: its goal {goal.name} does not solve it")
        assert cell.camera is not None
        view = View(env, cell.camera, encoder)
        return self.protocol(cell.protocol).run(self, cell, view, goal, rng)

    def protocol(self, name: str) -> ControlProtocol:
        """Return one of the suite's protocols, with the settings that `settings` has for it."""
        protocol = self.own_protocols[name]
        return protocol.with_settings(self.settings.get(name, protocol.settings))

    def reward(self, cell: Cell, view: View, goal: Goal) -> tuple[GoalReward | None, str]:
        """Return the encoder's reward, None for the oracle, and the name of its goal."""
        if view.encoder is None:
            return None, goal.name
        picture, shown = self.goal_picture(cell, view.env, goal)
        return GoalReward(view.encoder, as_images(picture)), shown

    def trajectories(
        self, cell: Cell, env: ControlEnv, dataset: Dataset, *, seed: int = 0
    ) -> list[Trajectory]:
        """Return the trajectories of a cell's task, the suite's own or a Minari data set's."""
        if dataset.path is None:
            return self.make_trajectories(cell.task, env, dataset, seed=seed)
        return load_trajectories(
            dataset.path.format(task=cell.task),
            dataset.trajectories,
            env,
            image_key=dataset.image_key,
            section=f"{cell.protocol}.dataset",
        )

    def rendering(self, task: str) -> str:
        """Return what pictures of a state depend on, beside the camera."""
        kind = f"{type(self).__module__}:{type(self).__qualname__}"
        grid = "" if self.mesh_grid_m is None else f" mesh_grid_m {self.mesh_grid_m}"
        return f"{kind} v{self.version} {task} {self.image_size} {self.offsamples}{grid}"

    def _env(self, task: str) -> ControlEnv:
        """Return the task's environment; a process keeps one."""
        if self._current is None or self._current[0] != task:
            if self._current is not None:
                self._current[1].close()
            self._current = (task, self._made(task))
        return self._current[1]

    def _made(self, task: str) -> ControlEnv:
        env = self.make_env(task)
        side = getattr(env, "image_size", self.image_size)
        if side != self.image_size:
            env.close()
            raise UserError(
                f"{type(self).__name__}.make_env made an environment that draws {side} px, where "
                f"image_size is {self.image_size}: hand it **self.env_options"
            )
        return env

    def start(self, env: ControlEnv, goal: Goal) -> Floats:
        """Return the state [S] in which a planned episode begins."""
        return np.asarray(goal.states[self._start_frame(env, goal)])

    def begin(self, env: ControlEnv, goal: Goal) -> Begin:
        """Return where policies that act begin."""
        if self.setting == "hard":
            return env.start_states
        near = self.start(env, goal)
        return lambda number, rng: np.tile(near, (number, 1))

    def _start_frame(self, env: ControlEnv, goal: Goal) -> int:
        if self.setting == "hard":
            return 0
        first_success = int(env.is_success(goal.states).argmax())
        return min(_EASY_FRAME, first_success // 2)

    def shows_own_goal(self, cell: Cell) -> bool:
        """Tell whether the goal is that of the task, as the suite renders it."""
        return cell.variant != RANDOM_GOAL and self.goal_image is None

    def goal_picture(
        self, cell: Cell, env: ControlEnv, goal: Goal
    ) -> tuple[NDArray[np.uint8], str]:
        """Return what the encoder is shown as the goal, and its name."""
        assert cell.camera is not None
        if cell.variant == RANDOM_GOAL:
            others = sorted(set(self.tasks()) - {cell.task})
            draw = zlib.crc32(f"{cell.task}/{cell.seed}".encode())
            goal = self.goal(others[draw % len(others)], env)
        elif self.goal_image is not None:
            path = self.goal_image.format(task=cell.task, camera=cell.camera)
            return read_picture(Path(path))[None], path
        return env.render(goal.states[-1:], cell.camera), goal.name
