"""What planning and evaluation need of an environment: states that can be set, and pictures."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class ControlEnv(ABC):
    """One task of a simulator whose full state is a vector.

    Shapes: S state size, A action size, N sampled plans, H steps, P side of a picture in pixels.

    Attributes:
        action_size: A; every action lies in [-1, 1].
        fps_hz: Actions a second.
    """

    action_size: int
    fps_hz: float

    @abstractmethod
    def start_state(self) -> Floats:
        """Return the state [S] in which the task begins."""

    @abstractmethod
    def rollout(self, state: Floats, actions: Floats) -> Floats:
        """Return the states [N, H, S] that N action sequences [N, H, A] lead through from [S]."""

    def step(self, states: Floats, actions: Floats) -> Floats:
        """Return the states [N, S] after one action [N, A] each, from states [N, S]."""
        pairs = zip(states, actions, strict=True)
        return np.array([self.rollout(state, action[None, None])[0, 0] for state, action in pairs])

    def start_states(self, number: int, rng: np.random.Generator) -> Floats:
        """Return states [N, S] for policies to begin in: by default, always `start_state`."""
        return np.tile(self.start_state(), (number, 1))

    def proprioception(self, states: Floats) -> Floats:
        """Return what the robot feels of itself [..., P], of states [..., S]: by default nothing.

        It is what a policy sees beside a picture.
        """
        return np.empty((*states.shape[:-1], 0))

    def observe(self, states: Floats) -> Floats:
        """Return what a policy that knows the state sees of it: [..., O], of states [..., S]."""
        return states

    def recorded_states(self, observations: Any) -> Floats | None:
        """Return the states [T, S] that a data set's observations of T frames hold.

        By default None: what others recorded does not tell them.
        """
        del observations
        return None

    @abstractmethod
    def render(self, states: Floats, camera: str) -> NDArray[np.uint8]:
        """Return pictures, uint8 [N, P, P, 3], of states [N, S]."""

    @abstractmethod
    def true_reward(self, states: Floats) -> Floats:
        """Return the reward of the ground-truth state: float64 [...], of states [..., S]."""

    @abstractmethod
    def is_success(self, states: Floats) -> NDArray[np.bool_]:
        """Return whether the task is solved: bool [...], of states [..., S]."""

    def pose_errors(self, states: Floats, goal: Floats) -> Mapping[str, Floats]:
        """Return named distances to the goal state: float64 [T] each, of states [T, S]."""
        return {}

    def true_errors(self, states: Floats, goal: Floats) -> Floats:
        """Return how far the task is from done, less being nearer: float64 [T], of states [T, S].

        By default the first of `pose_errors`, which should be that of what the task is about;
        where there is none, minus `true_reward`.
        """
        errors = self.pose_errors(states, goal)
        return next(iter(errors.values())) if errors else -self.true_reward(states)

    def place_object(self, states: Floats, shares: Floats) -> Floats | None:
        """Return states [N, K, S] that differ from states [N, S] by where the task's object is.

        At a share of 0 it is where the task begins, at 1 where it ends; the robot stays as it is.
        By default None: the environment cannot tell the object from the rest.
        """
        del states, shares
        return None

    def close(self) -> None:  # noqa: B027 - not all hold something
        """Free what the environment holds."""
