"""Policies learnt by acting: Stable-Baselines3's algorithms on episodes that act together.

Training goes from one evaluation to the next. Each part begins with new episodes and with random
numbers of its own, a function of seed and step, so that weights, optimisers, normalisation and
replayed transitions are all that a training needs to go on exactly.

Source: arXiv 2210.00030 learns online by the natural policy gradient; trust-region policy
optimisation (arXiv 1502.05477) takes the same direction, with a line search on its length.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from vipl.control.environment import Floats
from vipl.errors import UserError

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from vipl.control.batched_episodes import BatchedEpisodes

Algorithm = Literal["trpo", "ppo", "sac"]

_MINIBATCHES = 8


@dataclass(frozen=True)
class OnlineTraining:
    """How a policy is learnt by acting.

    Attributes:
        algorithm: "trpo" (the natural policy gradient within a trust region), "ppo" or "sac".
        steps: Of the environment, over all episodes.
        environments: Episodes that act together.
        rollout_episodes: That each of them acts between two updates (trpo, ppo).
        hidden: Sizes of the hidden layers.
        gamma: Discount.
        lr: Learning rate (trpo: of the value function); the algorithm's own if null.
        replay: Transitions that are kept (sac).
        evaluate_every: Steps from one evaluation to the next, rounded up to whole updates; what a
            training needs to go on is kept then.
        episodes: Of an evaluation.
    """

    algorithm: Algorithm = "trpo"
    steps: int = 500_000
    environments: int = 16
    rollout_episodes: int = 2
    hidden: tuple[int, ...] = (256, 256)
    gamma: float = 0.95
    lr: float | None = None
    replay: int = 100_000
    evaluate_every: int = 25_000
    episodes: int = 10

    def __post_init__(self) -> None:
        for name in (
            "steps", "environments", "rollout_episodes", "replay", "evaluate_every", "episodes",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}, expected 1 or more")
        if not 0 <= self.gamma < 1:
            raise UserError(f"gamma is {self.gamma}, expected 0 or more, and less than 1")
        if self.lr is not None and not self.lr > 0:
            raise UserError(f"lr is {self.lr}, expected more than 0")


def require_packages() -> None:
    """Import the algorithms.

    Raises:
        UserError: If they are not installed.
    """
    try:
        import sb3_contrib  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError("online RL needs Stable-Baselines3: pip install 'vipl[online]'") from error


class Learner:
    """A policy that learns from episodes.

    Args:
        episodes: To act in.
        training: How it learns.
        seed: Of everything random.
    """

    def __init__(self, episodes: "BatchedEpisodes", training: OnlineTraining, *, seed: int) -> None:
        from stable_baselines3.common.vec_env import VecNormalize

        self.training = training
        self._seed = seed
        self._episodes = episodes
        self._normaliser = VecNormalize(episodes, gamma=training.gamma)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._model = _make_model(training, self._normaliser, episodes.steps)

    @property
    def step(self) -> int:
        """Steps of the environment that it has learnt from."""
        return int(self._model.num_timesteps)

    def learn(self) -> Iterator[int]:
        """Learn; yield the number of steps at every evaluation."""
        training = self.training
        update = training.environments * training.rollout_episodes * self._episodes.steps
        part = -(-min(training.evaluate_every, training.steps) // update) * update
        while self.step < training.steps:
            with torch.random.fork_rng(devices=[]):
                self._begin_part()
                self._model.learn(part, reset_num_timesteps=False)
            yield self.step

    def act(self, observations: Floats) -> Floats:
        """Return the likeliest actions [N, A] within [-1, 1], of observations [N, I]."""
        normal = self._normaliser.normalize_obs(observations.astype(np.float32))
        actions, _ = self._model.predict(np.asarray(normal), deterministic=True)
        return np.asarray(actions, dtype=np.float64)

    def get_state(self) -> dict[str, Any]:
        """Return what is needed to go on, made of tensors and plain values."""
        from vipl.control.online_state import get_state

        return get_state(self._model, self._normaliser)

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned after some part."""
        from vipl.control.online_state import set_state

        set_state(self._model, self._normaliser, state)

    def _begin_part(self) -> None:
        """Draw what follows from seed and step alone, and begin new episodes."""
        seed = int(np.random.SeedSequence([self._seed, self.step]).generate_state(1)[0])
        self._model.set_random_seed(seed)
        self._episodes.seed(seed)
        self._model._last_obs = None


def _make_model(training: OnlineTraining, env: Any, steps: int) -> "BaseAlgorithm":
    from sb3_contrib import TRPO
    from stable_baselines3 import PPO, SAC

    rollout = training.rollout_episodes * steps
    options: dict[str, Any] = {
        "policy_kwargs": {"net_arch": list(training.hidden)},
        "gamma": training.gamma,
        "device": "cpu",
    }
    if training.lr is not None:
        options["learning_rate"] = training.lr
    if training.algorithm == "sac":
        # As many updates as there are steps.
        return SAC("MlpPolicy", env, buffer_size=training.replay, gradient_steps=-1, **options)
    size = -(-rollout * training.environments // _MINIBATCHES)
    algorithm = TRPO if training.algorithm == "trpo" else PPO
    return algorithm("MlpPolicy", env, n_steps=rollout, batch_size=size, **options)
