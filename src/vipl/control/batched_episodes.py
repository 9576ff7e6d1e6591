"""Many episodes of one environment at once, as Stable-Baselines3 wants them.

Shapes: N episodes, S state size, A actions, I inputs of the policy.
"""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from vipl.control.environment import ControlEnv, Floats

Look = Callable[[Floats], tuple[Floats, Floats]]
"""States [N, S] to what the policy sees of them [N, I] and how good they are [N], in one batch."""


class BatchedEpisodes(VecEnv):
    """N episodes that act together: one batch of physics, pictures and embeddings a step.

    All are cut off after the same number of steps, and begin anew together.

    Args:
        env: Where they act.
        look: What is seen.
        begin: Gives N states [N, S] to begin in.
        number: N.
        steps: Of an episode.
        gains: Whether a step's reward is how much better the state is than the one before, rather
            than how good it is.

    Attributes:
        steps: Of an episode.
        mean_return: Sum of rewards of the last episodes that ended, on average.
    """

    def __init__(
        self,
        env: ControlEnv,
        look: Look,
        begin: Callable[[int, np.random.Generator], Floats],
        *,
        number: int,
        steps: int,
        gains: bool,
    ) -> None:
        self._env = env
        self._look = look
        self._begin = begin
        self.steps = steps
        self.mean_return = 0.0
        self._returns = np.zeros(number)
        self._gains = gains
        self._rng = np.random.default_rng()
        self._states = begin(number, np.random.default_rng(0))
        self._inputs, self._goodness = look(self._states)
        self._taken = 0
        self._actions = np.zeros((number, env.action_size))
        size = (self._inputs.shape[1],)
        self.render_mode = None
        super().__init__(
            number,
            gymnasium.spaces.Box(-np.inf, np.inf, size, np.float32),
            gymnasium.spaces.Box(-1, 1, (env.action_size,), np.float32),
        )

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed where episodes begin."""
        self._rng = np.random.default_rng(seed)
        return [seed] * self.num_envs

    def reset(self) -> NDArray[np.float32]:
        """Begin all episodes."""
        self._taken = 0
        self._returns = np.zeros(self.num_envs)
        self._states = self._begin(self.num_envs, self._rng)
        self._inputs, self._goodness = self._look(self._states)
        return self._inputs.astype(np.float32)

    def step_async(self, actions: NDArray[np.float32]) -> None:
        """Take note of actions [N, A]."""
        self._actions = actions.astype(np.float64)

    def step_wait(
        self,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Act; at the end of the episodes, observations are those of the new ones."""
        before = self._goodness
        self._states = self._env.step(self._states, self._actions)
        self._inputs, self._goodness = self._look(self._states)
        rewards = self._goodness - before if self._gains else self._goodness
        self._returns += rewards
        self._taken += 1
        ended = self._taken == self.steps
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        observations = self._inputs.astype(np.float32)
        if ended:
            self.mean_return = float(self._returns.mean())
            for info, last in zip(infos, observations, strict=True):
                info.update({"terminal_observation": last, "TimeLimit.truncated": True})
            observations = self.reset()
        return observations, rewards.astype(np.float32), np.full(self.num_envs, ended), infos

    def close(self) -> None:
        """Leave the environment open: it is its maker's."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of this object, once for each episode asked for."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: episodes have no attributes of their own."""
        raise AttributeError(f"episodes have no {attr_name} of their own")

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> list[Any]:
        """Refuse: episodes have no methods of their own."""
        raise AttributeError(f"episodes have no {method_name} of their own")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Return that none is wrapped."""
        return [False for _ in self._get_indices(indices)]
