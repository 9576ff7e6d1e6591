"""Clips that begin anywhere, and solve their task along a demonstration's path: no planning.

The arm begins at its usual start, where demonstrations end, near any pose of one, or, if asked for,
far from all; the object at its start, part of the way, or at its goal; in half of the clips one or
two other things have been moved, such as another door or the kettle. Half of the clips may begin in
states that a planner came by instead: where a reward led it astray, they show the way back. The arm
walks to a place of the path from which the rest is still to be done, repeats the demonstration's
actions with a correction of the joints, and comes to rest in its last pose. The simulator says
whether that solved the task.

Only demonstrations that are not held out are followed.

Shapes: S state size, T steps.
"""

from typing import Literal, NamedTuple

import numpy as np

from vipl.control.environment import Floats
from vipl_evaluators.frankakitchen.demonstrations import load_index
from vipl_evaluators.frankakitchen.environment import ARM_JOINTS, KitchenEnv
from vipl_evaluators.frankakitchen.placement import knock, settle
from vipl_evaluators.qualities import Way

_CORRECTION = 10.0  # of an action, for a radian that a joint is off
_WALK_STEPS, _WALK_RADIANS = 40, 0.06  # at most; off at most, when it is there
_REST_STEPS, _REST_RADIANS = 6, 0.05  # the same, once the task is solved
_END_RADIANS = 0.25  # off at most, in the last state
_RADIANS_PER_STEP = 0.08  # that a joint goes, about
_EARLY_STEPS = (1, 7)  # before the object is met, to be on the path by then
_PLACES = 60  # to try, for a beginning
_FAR_RADIANS = (0.6, 1.6)  # that a joint is off a pose, at most


class Beginning(NamedTuple):
    """Where clips begin.

    Attributes:
        arm: At the usual start, where a demonstration ends, or near any of its poses.
        left: Least and most of the object's way that is left; 0 where the task is solved.
        share: Of the tries.
    """

    arm: Literal["start", "end", "any"]
    left: tuple[float, float]
    share: float


BEGINNINGS = (
    Beginning("start", (1.0, 1.0), 0.15),
    Beginning("end", (1.0, 1.0), 0.25),
    Beginning("any", (1.0, 1.0), 0.3),
    Beginning("end", (0.3, 0.95), 0.1),
    Beginning("any", (0.3, 0.95), 0.1),
    Beginning("any", (0.0, 0.0), 0.1),
)
"""Most with the object untouched: there the arm's place tells nothing about it."""


class Shares(NamedTuple):
    """How many of the beginnings show what no demonstration does, and a planner comes by.

    An encoder that has never seen such pictures takes them for any others: the planner was led
    there, and stayed.

    Attributes:
        knocked: With other things moved.
        far: With the arm far from every pose of a demonstration; of those that do not begin at the
            usual start.
    """

    knocked: float = 0.5
    far: float = 0.0


SHARES = Shares()
"""By default."""


class Followed(NamedTuple):
    """What is followed: a demonstration's.

    Attributes:
        arm: Positions [T + 1, 7] of the arm's joints.
        place: Of the object's joint, [T + 1].
        actions: [T, 9].
    """

    arm: Floats
    place: Floats
    actions: Floats


class Walk:
    """States and actions, as they come about.

    Args:
        env: Of the task.
        start: State [S].
    """

    def __init__(self, env: KitchenEnv, start: Floats) -> None:
        self._env = env
        self.states = [start]
        self.actions: list[Floats] = []

    @property
    def arm(self) -> Floats:
        """Where the arm's joints [7] are."""
        return self._env.qpos(self.states[-1])[:ARM_JOINTS]

    @property
    def is_solved(self) -> bool:
        """Whether the task is solved now."""
        return bool(self._env.is_success(self.states[-1]))

    def act(self, action: Floats, aim: Floats) -> None:
        """Do an action [9], corrected towards a pose [7]."""
        action = action.copy()
        action[:ARM_JOINTS] += _CORRECTION * (aim - self.arm)
        self.actions.append(np.clip(action, -1, 1))
        self.states.append(self._env.step(self.states[-1][None], self.actions[-1][None])[0])

    def go(self, aim: Floats, *, steps: int, within: float) -> None:
        """Move towards a pose [7] until every joint is within so many radians."""
        for _ in range(steps):
            if np.abs(aim - self.arm).max() < within:
                return
            self.act(np.zeros(self._env.action_size), aim)

    def way(self) -> Way:
        """Return states [T + 1, S] and actions [T, 9]."""
        return np.array(self.states), np.array(self.actions)


class Anywhere:
    """Makes clips of one task.

    Args:
        env: Of the task.
        visited: States [V, S] in which half of the clips begin; None or V = 0: no clip does.
        shares: Of the other beginnings.
    """

    def __init__(
        self, env: KitchenEnv, visited: Floats | None = None, *, shares: Shares = SHARES
    ) -> None:
        self.env = env
        self._shares = shares
        self._visited = np.empty((0, 0)) if visited is None else visited
        self.followed = [
            demo
            for demo in load_index()
            if (demo.task_name, demo.kind, demo.split) == (env.task.name, "start", "train")
        ]
        index = env.task.qpos_index
        qpos = [(demo.arrays["qpos"], demo.arrays["action"]) for demo in self.followed]
        self._paths = [Followed(q[:, :ARM_JOINTS], q[:, index], actions) for q, actions in qpos]

    def attempt(self, rng: np.random.Generator) -> Way | None:
        """Begin somewhere and follow a demonstration; None if that did not end as it does."""
        start = self._draw_start(rng)
        if start is None:
            return None
        walk, path = Walk(self.env, start), self._draw_path(rng)
        if walk.is_solved:
            walk.go(path.arm[-1], steps=_WALK_STEPS, within=_WALK_RADIANS / 2)
        else:
            self._solve(walk, path, rng)
        near = np.abs(path.arm[-1] - walk.arm).max() < _END_RADIANS
        return walk.way() if walk.is_solved and near and len(walk.states) > 3 else None

    def ways(self, start: Floats, rng: np.random.Generator) -> list[Way]:
        """Follow each demonstration from a state [S]; return the ways that solved the task."""
        ways = []
        for path in self._paths:
            walk = Walk(self.env, start)
            self._solve(walk, path, rng)
            if walk.is_solved:
                ways.append(walk.way())
        return ways

    def _draw_start(self, rng: np.random.Generator) -> Floats | None:
        if len(self._visited) and rng.random() < 1 / 2:
            state: Floats = self._visited[rng.integers(len(self._visited))]
            return self.env.state(self.env.qpos(state), self.env.qvel(state))
        shares = [beginning.share for beginning in BEGINNINGS]
        return self.begin(BEGINNINGS[rng.choice(len(BEGINNINGS), p=shares)], rng)

    def begin(self, beginning: Beginning, rng: np.random.Generator) -> Floats | None:
        """Draw a state [S] in which arm and object stand still; None if no place was free."""
        task = self.env.task
        place = task.goal + rng.uniform(*beginning.left) * (task.start - task.goal)
        knocked = _drawn(self._shares.knocked, rng)
        far = beginning.arm != "start" and _drawn(self._shares.far, rng)
        noise = 1.0
        for _ in range(_PLACES):
            kitchen = knock(self.env, rng) if knocked else None
            arm = self._draw_pose("far" if far else beginning.arm, noise, rng)
            state = settle(self.env, arm, place, kitchen=kitchen)
            if state is not None:
                return state
            noise *= 1.04  # a pose that touches something: look farther away
        return None

    def _draw_pose(self, arm: str, noise: float, rng: np.random.Generator) -> Floats:
        if arm == "start":
            home = self.env.start_qpos()[:ARM_JOINTS]
            return home + noise * rng.uniform(-0.05, 0.05, ARM_JOINTS)
        poses = self._draw_path(rng).arm
        if arm == "end":
            return np.asarray(poses[-1] + noise * rng.normal(scale=0.1, size=ARM_JOINTS))
        pose, width = poses[rng.integers(len(poses))], 0.6 * rng.uniform(0.2, 1)
        if arm == "far":
            width = rng.uniform(*_FAR_RADIANS)
        return np.asarray(pose + rng.uniform(-width, width, ARM_JOINTS))

    def _draw_path(self, rng: np.random.Generator) -> Followed:
        return self._paths[rng.integers(len(self._paths))]

    def _solve(self, walk: Walk, path: Followed, rng: np.random.Generator) -> None:
        for _ in range(2):
            joined = self._join(walk, path, rng)
            walk.go(path.arm[joined], steps=_WALK_STEPS, within=_WALK_RADIANS)
            for aim, action in zip(path.arm[joined:], path.actions[joined:], strict=False):
                walk.act(action, aim)
            if walk.is_solved:
                walk.go(path.arm[-1], steps=_REST_STEPS, within=_REST_RADIANS)
                return

    def _join(self, walk: Walk, path: Followed, rng: np.random.Generator) -> int:
        """Return where to join a path: near by, and before it moves the object on from here."""
        task = self.env.task
        errors = np.abs(path.place - task.goal) / task.joint_range
        error = self.env.object_error(walk.states[-1])
        if error > errors[0] - 0.05:
            met = np.abs(path.place - task.start) / task.joint_range > 0.02
        else:
            met = errors <= error
        last = int(met.argmax()) if met.any() else len(met) - 1
        last = max(1, last - int(rng.integers(*_EARLY_STEPS)))
        walk_steps = np.abs(path.arm[: last + 1] - walk.arm).max(axis=1) / _RADIANS_PER_STEP
        steps = walk_steps + np.arange(last, -1, -1) + rng.uniform(0, 6, size=last + 1)
        return int(steps.argmin())


def _drawn(share: float, rng: np.random.Generator) -> bool:
    """Whether this one is of the share; nothing is drawn where there is none."""
    return share > 0 and rng.random() < share
